"""The author's batch code in this process: blocking code on threads, async code on the loop."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, Final, cast

from livepeer.runner._context import CURRENT
from livepeer.runner._server.answered import Answered
from livepeer.runner._server.async_items import batches
from livepeer.runner._server.pump import Pump
from livepeer.runner._server.raised import as_error, is_cancelled
from livepeer.runner._server.reading import read_arguments
from livepeer.runner._server.workers import Workers
from livepeer.runner.errors import InvalidResult
from livepeer.runner.state import PipelineState

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from livepeer.runner._context import Call
    from livepeer.runner._schema.contract import Contract
    from livepeer.runner.batch import Pipeline
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

_LARGE_BYTES: Final = 1024 * 1024


class ThreadCaller:
    """Runs a pipeline's hooks and endpoints in this process; a `Caller`.

    Args:
        pipeline: The author's instance.
        contracts: Its endpoints.
        settings: How many threads there are, and how long they may take to end.
    """

    def __init__(
        self, pipeline: Pipeline, contracts: Sequence[Contract], settings: Settings
    ) -> None:
        self._pipeline = pipeline
        self._endpoints = [(contract, _method(pipeline, contract)) for contract in contracts]
        self._stop_timeout_s = settings.stop_timeout_s
        self._workers = Workers(settings.concurrency, name=type(pipeline).__name__)
        self._set_up = False

    @property
    def state(self) -> PipelineState:
        """A batch pipeline that is ready is OK, with or without work."""
        return PipelineState.OK if self._set_up else PipelineState.LOADING

    @property
    def message(self) -> str | None:
        """Nothing beside the state."""
        return None

    async def setup(self) -> None:
        """Run the author's `setup()`."""
        await self._workers.hook(self._pipeline.setup)
        self._set_up = True

    async def close(self) -> None:
        """Run the author's `teardown()` if `setup()` succeeded, and end the threads.

        `teardown()` never runs beside a call: where one does not come back, there is none.
        """
        left_s = 0.0 if self._set_up else self._stop_timeout_s
        try:
            if self._set_up and await self._at_rest():
                await self._workers.hook(self._pipeline.teardown)
                left_s = self._stop_timeout_s
        finally:
            # What had its time is not waited for again.
            await self._workers.close(left_s)

    async def call(self, endpoint: int, body: bytes, content_type: str, call: Call) -> Answered:
        """Parse a body, call an endpoint, and serialize what it returns.

        It comes back when the work has really ended, also when it is cancelled.

        Raises:
            InvalidParams: The body does not fit.
            Exception: What the author's code raised.
        """
        CURRENT.set(call)
        contract, method = self._endpoints[endpoint]
        parse = partial(read_arguments, contract, body, content_type)
        if contract.blocking:
            given = _early(parse, len(body))
            work = lambda: _settled(contract, method(**given()))  # noqa: E731 - for its brevity
            settled = await self._workers.run(work, cancel=call.cancel)
            if isinstance(settled, Answered):
                return settled
            awaited: Awaitable[object] = settled
        else:
            awaited = method(**await self._parsed(parse, len(body), call))
        try:
            return _answered(contract, await awaited)
        except Exception:
            raise
        except BaseException as exc:
            if is_cancelled(exc):
                raise
            raise as_error(exc) from exc

    def stream(
        self, endpoint: int, body: bytes, content_type: str, call: Call
    ) -> AsyncGenerator[list[bytes], None]:
        """As `call`, for an endpoint that gives items: those that are ready at the same time.

        Closing it closes the author's generator within one item, and waits for that.
        """
        CURRENT.set(call)
        contract, method = self._endpoints[endpoint]
        parse = partial(read_arguments, contract, body, content_type)
        if contract.blocking:
            given = _early(parse, len(body))
            make = lambda: _iterable(method(**given()))  # noqa: E731 - as above
            return Pump(self._workers, make, contract.dump, call.cancel).batches()
        parsed = partial(self._parsed, parse, len(body), call)
        return _batches(method, parsed, contract.dump)

    async def _at_rest(self) -> bool:
        stuck = await self._workers.rest(self._stop_timeout_s)
        if stuck:
            _log.warning(
                "teardown() is not run: %d of the calls that were cut still run after %g s",
                stuck,
                self._stop_timeout_s,
            )
        return not stuck

    async def _parsed(
        self, parse: Callable[[], dict[str, object]], size: int, call: Call
    ) -> dict[str, object]:
        """The arguments of async code, whose loop is not kept by a large body."""
        if size <= _LARGE_BYTES:
            return parse()
        return await self._workers.run(parse, cancel=call.cancel)


def _early(parse: Callable[[], dict[str, object]], size: int) -> Callable[[], dict[str, object]]:
    """What gives blocking code its arguments: parsed here already, unless the body is large.

    On the threads it would cost half as much again, for they get into each other's way.
    """
    if size > _LARGE_BYTES:
        return parse
    arguments = parse()
    return lambda: arguments


def _method(pipeline: Pipeline, contract: Contract) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(pipeline, contract.method)
    return method


def _settled(contract: Contract, value: object) -> Answered | Awaitable[object]:
    """The answer; or what a decorator around an async method handed on, for the loop to await."""
    return value if inspect.isawaitable(value) else _answered(contract, value)


def _answered(contract: Contract, value: object) -> Answered:
    return Answered(contract.dump(value), contract.media_type_of(value))


async def _batches(
    method: Callable[..., AsyncIterator[object] | Awaitable[AsyncIterator[object]]],
    arguments: Callable[[], Awaitable[dict[str, object]]],
    encode: Callable[[object], bytes],
) -> AsyncGenerator[list[bytes], None]:
    given = await arguments()
    try:
        async with aclosing(batches(method(**given), encode)) as source:
            async for batch in source:
                yield batch
    except asyncio.CancelledError as exc:
        if is_cancelled(exc):
            raise
        raise as_error(exc) from exc


def _iterable(result: object) -> Iterable[object]:
    if not isinstance(result, Iterable):
        raise InvalidResult(f"predict() gave a {type(result).__name__} where it declares items")
    return cast("Iterable[object]", result)
