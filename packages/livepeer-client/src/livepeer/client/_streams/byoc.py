"""A live stream of a BYOC capability: its parameters and its status."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .ends import StreamSettings
from .live import StreamJob

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from livepeer.client._net.http import HTTP
    from livepeer.client._nodes.transport import JobTransport, StreamHandle
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.jobs import BYOCJobRequest

    from .ends import Reconnect, Reconnected
    from .session import StreamSession

_MAX_ID = 128


class BYOCJob(StreamJob):
    """A stream job. An async context manager that stops it.

    `Client.start_stream` and `start_byoc_job` make these. While the job runs, and when it was
    started directly at an orchestrator, it writes keep-alives to the control channel (a runner
    takes a silent one for a caller that is gone), reads the events, pays what is due, and asks
    again and again whether the orchestrator still has the stream. One that died or went silent is
    known within 3 seconds; `end` says what happened, and with `reconnect` the job goes on at
    another one, with the parameters that were in force.

    Args:
        transport: The way to the nodes.
        http: The connections of the client.
        request: What is started.
        params: The runner's parameters.
        settings: How the stream is kept alive and watched.
        reconnect: Go on at another orchestrator when one, or its runner, is lost; with limits of
            one's own, or True for `Reconnect()`.
        on_reconnect: Told of each time, on the loop; it must not block.
        on_stop: Told once, when the job is over.
    """

    def __init__(
        self,
        transport: JobTransport,
        http: HTTP,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None = None,
        *,
        settings: StreamSettings | None = None,
        reconnect: bool | Reconnect = False,
        on_reconnect: Callable[[Reconnected], None] | None = None,
        on_stop: Callable[[BYOCJob], None] | None = None,
    ) -> None:
        self._byoc = _BYOCWay(transport, request, params)
        super().__init__(
            request.capability,
            self._byoc,
            http,
            settings=settings or StreamSettings(),
            reconnect=reconnect,
            on_reconnect=on_reconnect,
            on_stop=on_stop,
        )

    async def update(self, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters and return what it answers, None when that is no JSON.

        While the job looks for another orchestrator, this waits for it.

        Raises:
            RunnerError: The runner refuses them; the old ones stay in force.
            StreamError: The stream is stopped, or has ended.
            ClientError: They did not reach it.
        """
        # An orchestrator would pass it on: it does not look whether the stream exists.
        while True:
            session = await self._standing()
            answer = await self._byoc.update(session.handle, params)
            # One that was begun meanwhile may not have them.
            if self._byoc.number == session.number:
                return answer

    async def status(self) -> dict[str, JSONValue] | None:
        """The runner's last status event as a gateway keeps it, or None when it has none.

        None does not mean that the stream ended: once in a stream's life, after a minute, a
        gateway forgets the status until the next event.

        Raises:
            StreamError: There is no gateway; read `events` instead.
        """
        return await self._byoc.transport.status(self.session.handle)


class _BYOCWay:
    """How BYOC streams start and stop, by a transport."""

    def __init__(
        self,
        transport: JobTransport,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None,
    ) -> None:
        self.transport = transport
        self.number = 0
        self._request = request
        self._params = None if params is None else dict(params)

    async def start(self, number: int, exclude: frozenset[str]) -> StreamHandle:
        self.number = number
        return await self.transport.start(
            _numbered(self._request, number), self._params, exclude=exclude
        )

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        answer = await self.transport.update(stream, params)
        self._params = {**(self._params or {}), **params}
        return answer

    async def stop(self, session: StreamSession) -> None:
        await self.transport.stop(session.handle)

    async def pay(self, stream: StreamHandle) -> float | None:
        return await self.transport.pay(stream)

    def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        return self.transport.events(stream)

    def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        return self.transport.data(stream)


def _numbered(request: BYOCJobRequest, number: int) -> BYOCJobRequest:
    """The request of a session: each has an id of its own.

    A second stream of one id closes the channels of the first, which may be standing yet.
    """
    if number == 1:
        return request
    mark = f"-r{number}"
    return replace(request, id=request.id[: _MAX_ID - len(mark)] + mark)
