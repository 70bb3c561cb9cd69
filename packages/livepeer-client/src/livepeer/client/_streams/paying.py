"""What a stream owes while it runs, on a timer of its own: media may stand still for long."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import (
    ClientError,
    PaymentRequiredError,
    PriceTooHigh,
    SignerRefused,
    SpendLimit,
)

from .ends import EndReason, StreamEnd

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from livepeer.client._nodes.transport import StreamHandle
    from livepeer.client._wire.encoding import JSONValue

    from .watch import NodeWatch

MAX_REFUSALS: Final = 2
"""A stream that was not paid is tried once more before it ends."""

_log = logging.getLogger(__name__)


class Carrier(Protocol):
    """What a session needs of the way to its node; every `JobTransport` has it."""

    async def pay(self, stream: StreamHandle) -> float | None:
        """Pay what is owed now; seconds until the next is due, None when nothing ever is."""
        ...

    def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner reports, until the channel ends."""
        ...

    def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, until the channel ends."""
        ...


class StreamPayments:
    """The payments of one session.

    Args:
        carrier: Pays.
        stream: The stream.
        watch: Knows whether the node has it.
        again_s: Seconds until a payment that could not be made is tried again.
        sleep: Waits.
    """

    def __init__(
        self,
        carrier: Carrier,
        stream: StreamHandle,
        watch: NodeWatch,
        again_s: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._carrier = carrier
        self._stream = stream
        self._watch = watch
        self._again_s = again_s
        self._sleep = sleep
        self._unpaid: ClientError | None = None
        self._unpaid_since = 0.0
        # How often, one after the other, the orchestrator took no payment.
        self._refusals = 0

    async def run(self) -> StreamEnd:
        """Pay what is due, again and again; the end, when that cannot be paid."""
        await self._sleep(self._stream.pay_after_s)
        while True:
            try:
                due_s = await self._carrier.pay(self._stream)
                self._unpaid = None
                self._refusals = 0
            except ClientError as error:
                if self._unpaid is None:
                    self._unpaid_since = time.monotonic()
                self._unpaid = error
                # One that is gone takes no payment either; that is no fault of the money.
                if self._ends(error) and await self._watch.exists():
                    return self._not_paid(error)
                _log.warning("a payment of stream %s failed: %s", self._stream.stream_id, error)
                due_s = self._again_s
            if due_s is None:
                # Nothing ever will be; who ends the session ends this.
                await asyncio.get_running_loop().create_future()
            else:
                await self._sleep(due_s)

    def _ends(self, error: ClientError) -> bool:
        """Whether it will not be paid; anything else may pass while there is credit left."""
        if isinstance(error, (SpendLimit, PriceTooHigh, SignerRefused)):
            return not error.retryable
        self._refusals = self._refusals + 1 if isinstance(error, PaymentRequiredError) else 0
        return self._refusals >= MAX_REFUSALS

    def explain(self, end: StreamEnd) -> StreamEnd:
        """The same end, or that the stream was not paid, when the node closed it for that."""
        # It had the stream while that was owed already, and did not just go away.
        owed = self._unpaid if self._watch.heard_at > self._unpaid_since else None
        if owed is not None and end.reason is EndReason.ORCHESTRATOR:
            return self._not_paid(owed)
        return end

    def _not_paid(self, cause: ClientError) -> StreamEnd:
        error = cause
        if not isinstance(cause, PaymentRequiredError):
            error = PaymentRequiredError(
                f"the stream was not paid: {cause}", url=redact(self._stream.node_url)
            )
            error.__cause__ = cause
        return StreamEnd(reason=EndReason.PAYMENT, text=str(error), error=error)
