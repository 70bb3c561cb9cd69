"""One HTTP answer, which several may want to give: the first who ends it has ended it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from livepeer.runner._server import sse
from livepeer.runner._server.headers import request_id

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from livepeer.runner._server.problems import Problem

_EVENTS: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]
_KEEP_ALIVE: Final = b": keep-alive\n\n"


class Answer:
    """The answer to one request.

    What comes after its end is dropped, so that work which goes on after its time can neither
    disturb the connection nor add to a stream that is over.

    Args:
        scope: Of the request, in ASGI's shape.
        receive: As ASGI hands it over.
        send: As ASGI hands it over.
    """

    __slots__ = ("_lock", "_receive", "_scope", "_send", "begun", "ended", "sent_at")

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        # Held for one message, which waits where the caller reads slowly.
        self._lock = asyncio.Lock()
        self.begun = False
        """Whether the headers of a stream are out."""
        self.ended = False
        """Whether nothing more can be said."""
        self.sent_at = 0.0
        """When something of a stream went out last, in the loop's time."""

    async def give(self, body: bytes, media_type: str) -> None:
        """Answer 200 with one body."""
        if self.ended:
            return
        self.ended = True
        headers = [
            (b"content-type", media_type.encode("latin-1")),
            (b"content-length", b"%d" % len(body)),
        ]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def begin(self) -> None:
        """Send the headers of a stream, if that was not done."""
        async with self._lock:
            if not self.begun and not self.ended:
                await self._send({"type": "http.response.start", "status": 200, "headers": _EVENTS})
                self.begun = True
                self.sent_at = asyncio.get_running_loop().time()

    async def more(self, data: bytes) -> None:
        """Send a part of a stream, after its headers."""
        if not self.begun:
            await self.begin()
        async with self._lock:
            if not self.ended:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
                self.sent_at = asyncio.get_running_loop().time()

    async def keep_alive(self) -> None:
        """Send a comment, which readers of a stream skip."""
        await self.more(_KEEP_ALIVE)

    async def finish(self, last: bytes = b"") -> None:
        """End a stream, its marker behind what comes last."""
        if not self.begun:
            await self.begin()
        async with self._lock:
            if not self.ended:
                self.ended = True
                await self._send({"type": "http.response.body", "body": last + sse.DONE})

    async def fail(self, problem: Problem) -> None:
        """End it with a problem: with its status, or with an error event in a stream."""
        if self.begun:
            await self.finish(sse.error_event(problem.body(request_id(self._scope))))
            return
        async with self._lock:
            if not self.ended:
                self.ended = True
                await problem.answer(self._scope)(self._scope, self._receive, self._send)
