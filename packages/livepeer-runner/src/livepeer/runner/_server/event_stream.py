"""The answer of a generator: an event stream that never lies about how it ended."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING

from starlette.responses import Response

from livepeer.runner._server import problems, sse
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from starlette.types import Receive, Scope, Send

    from livepeer.runner._server.gate import Gate

_HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """Sends framed events as they come, and one `[DONE]` at the end, whatever happened.

    The headers wait up to `first_wait_s` for the first event, so that an early failure keeps its
    status; a later one is an error event. A caller who leaves closes the source. The slot of the
    gate is held until the source is closed.
    """

    media_type = "text/event-stream"

    def __init__(
        self,
        where: str,
        gate: Gate,
        open_source: Callable[[], AsyncGenerator[bytes, None]],
        first_wait_s: float,
    ) -> None:
        super().__init__()
        self._where = where
        self._gate = gate
        self._open_source = open_source
        self._first_wait_s = first_wait_s
        self._started = False
        self._starting = asyncio.Lock()

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Run the stream to its end, or until the caller leaves.

        Raises:
            HTTPException: The source failed before anything was sent.
            AtCapacity: No slot was free, and no place in the queue.
        """
        gone = asyncio.create_task(_disconnected(receive))
        relay = asyncio.create_task(self._admit_and_relay(send))
        try:
            await asyncio.wait({relay, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not relay.done():
                await cancel_and_wait(relay)
            await cancel_and_wait(gone)
        if not relay.cancelled():
            relay.result()

    async def _admit_and_relay(self, send: Send) -> None:
        async with self._gate.slot():
            headers = asyncio.create_task(self._send_headers_later(send))
            try:
                await self._relay(send)
            finally:
                await cancel_and_wait(headers)

    async def _send_headers_later(self, send: Send) -> None:
        await asyncio.sleep(self._first_wait_s)
        await self._send_headers(send)

    async def _send_headers(self, send: Send) -> None:
        async with self._starting:
            if not self._started:
                await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
                self._started = True

    async def _relay(self, send: Send) -> None:
        try:
            async with aclosing(self._open_source()) as source:
                async for chunk in source:
                    if not self._started:
                        await self._send_headers(send)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except Exception as exc:
            failure = problems.author_failure(self._where, exc)
            if not self._started:
                # An item that no line can carry is the stream's failure, and is told in it.
                if not isinstance(exc, sse.UnsplittableItem):
                    raise failure from exc
                await self._send_headers(send)
            body = sse.error_event(str(failure.detail))
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await self._send_headers(send)
        await send({"type": "http.response.body", "body": sse.DONE, "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
