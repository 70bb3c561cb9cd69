"""How jobs reach the network: the protocol that direct and gateway mode share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._wire.encoding import without_secrets
from livepeer.client.errors import NodeUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from livepeer.client._answers.answer import Answer
    from livepeer.client._body.body import Body
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.jobs import BYOCJobRequest, Job

ABANDON_TIMEOUT_S: Final = 3.0
"""For the stop of a stream whose start was given up; a cancelled caller waits for it."""


@dataclass(frozen=True, kw_only=True)
class ChannelURLs:
    """The trickle channels of a stream, from the caller's side; None for one that it has not.

    Attributes:
        control: We publish parameters and keep-alives.
        events: We read what the runner reports.
        publish: We publish media (ingress).
        subscribe: We read media (egress).
        data: We read data.
    """

    control: str | None = None
    events: str | None = None
    publish: str | None = None
    subscribe: str | None = None
    data: str | None = None

    def __repr__(self) -> str:
        return without_secrets(self)


@dataclass(frozen=True, kw_only=True)
class GatewayMediaURLs:
    """Where a gateway takes and gives media, by other protocols than trickle; empty for nowhere.

    Attributes:
        whip: Media in by WebRTC.
        whep: Media out by WebRTC.
        rtmp: Media in by RTMP.
        rtmp_outputs: Where the gateway pushes media to by RTMP.
    """

    whip: str = ""
    whep: str = ""
    rtmp: str = ""
    rtmp_outputs: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return without_secrets(self)


@dataclass(frozen=True, kw_only=True)
class StreamHandle:
    """A started stream, as its transport needs to know it.

    Attributes:
        stream_id: The id that the node uses.
        capability: The capability's name.
        node_url: The orchestrator or gateway that has it.
        timeout_s: Seconds that the runner has to answer an update.
        channels: Its trickle channels; none behind a gateway, which keeps them to itself.
        media: Where a gateway takes and gives media.
        pay_after_s: Seconds from the start until it is paid again; 0 where the start paid nothing.
    """

    stream_id: str
    capability: str
    node_url: str
    timeout_s: int
    channels: ChannelURLs = field(default_factory=ChannelURLs)
    media: GatewayMediaURLs = field(default_factory=GatewayMediaURLs)
    pay_after_s: float = 0.0

    def __repr__(self) -> str:
        return without_secrets(self)


def may_have_started(error: BaseException) -> bool:
    """Whether a start that ended so may have reached the runner all the same."""
    if isinstance(error, NodeUnreachable):
        return error.connected
    return isinstance(error, asyncio.CancelledError | TimeoutError)


class JobTransport(Protocol):
    """Carries jobs: `OrchestratorTransport` directly, `GatewayTransport` through a gateway."""

    def call(
        self, job: Job, body: Body, *, route: str, at_most_once: bool = False
    ) -> AbstractAsyncContextManager[Answer]:
        """Run a batch job and give its answer, whose connection closes with the context.

        Args:
            job: It.
            body: Its body.
            route: The runner's path.
            at_most_once: Never send it again once it may have begun. One that was refused with 503
                surely did not begin if the orchestrator has nobody for it, or its runner says when
                to come again; any other 503 ends the call.

        Raises:
            InvalidJob: No such route, or `at_most_once` cannot be kept here.
        """
        ...

    async def start(
        self,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None,
        *,
        exclude: Collection[str] = frozenset(),
    ) -> StreamHandle:
        """Start a live stream, but not at the nodes whose URLs are in `exclude`."""
        ...

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters; what it answers."""
        ...

    async def pay(self, stream: StreamHandle) -> float | None:
        """Pay what a running stream owes now.

        Returns:
            Seconds until this has to be called again; None when nothing is ever owed.

        Raises:
            PaymentRequiredError: It was not paid, and will not be.
            ClientError: It was not paid this time; the payment is not lost, and is sent again as
                it was at the next call.
        """
        ...

    async def stop(self, stream: StreamHandle) -> None:
        """Stop a stream, paying where that is asked for; one that is gone already is no error."""
        ...

    async def status(self, stream: StreamHandle) -> dict[str, JSONValue] | None:
        """The runner's last status event, where a gateway keeps it."""
        ...

    def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner reports, until the stream ends."""
        ...

    def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, until the stream ends."""
        ...
