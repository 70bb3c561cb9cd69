"""The body of a call, as it comes in: in so much time, and all of them in so much memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from livepeer.runner.errors import AtCapacity, BodyTooSlow

if TYPE_CHECKING:
    from starlette.types import Message, Receive


class Intake:
    """Reads the bodies of calls that have no slot yet.

    Args:
        timeout_s: How long a body may take to come in.
        room_bytes: What bodies may hold together while they come in. One that comes in a single
            piece, as those below 64 KiB do, is not counted.
    """

    def __init__(self, timeout_s: float, room_bytes: int) -> None:
        self._timeout_s = timeout_s
        self._room_bytes = room_bytes
        self._held = 0
        self._deadlines = _Deadlines(timeout_s)

    async def read(self, receive: Receive) -> bytes | None:
        """The body of a request; None when its caller left before its end.

        Raises:
            BodyTooSlow: It was not there in time.
            AtCapacity: Bodies that come in hold all the room there is.
            Problem: It is larger than it may be.
        """
        task = asyncio.current_task()
        assert task is not None
        deadlines = self._deadlines
        deadlines.begin(task)
        try:
            message = await receive()
            if message["type"] == "http.request" and not message.get("more_body", False):
                body: bytes = message.get("body", b"")
                return body
            return await self._rest(message, receive)
        except asyncio.CancelledError:
            if deadlines.is_late(task) and task.uncancel() == 0:
                raise BodyTooSlow(
                    f"the body was not there within {self._timeout_s:g} s; send it without a pause"
                ) from None
            raise
        finally:
            deadlines.end(task)

    async def _rest(self, message: Message, receive: Receive) -> bytes | None:
        body = bytearray()
        try:
            while message["type"] == "http.request":
                piece: bytes = message.get("body", b"")
                self._held += len(piece)
                body += piece
                if not message.get("more_body", False):
                    return bytes(body)
                if self._held > self._room_bytes:
                    raise AtCapacity("busy: too many large bodies come in; try again later")
                message = await receive()
            return None
        finally:
            self._held -= len(body)


class _Deadlines:
    """Cancels the tasks that take longer than all of them may.

    One timer for all, for most are over before a timer of their own would have been worth making.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        # In the order of their deadlines, for all have the same time.
        self._waiting: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, task: asyncio.Task[Any]) -> None:
        """From now on the time of a task runs."""
        loop = task.get_loop()
        self._waiting[task] = deadline = loop.time() + self._timeout_s
        if self._timer is None:
            self._timer = loop.call_at(deadline, self._look, loop)

    def end(self, task: asyncio.Task[Any]) -> None:
        """It was in time, or has been told."""
        self._waiting.pop(task, None)
        self._late.discard(task)

    def is_late(self, task: asyncio.Task[Any]) -> bool:
        """Whether it was cancelled from here."""
        return task in self._late

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        now = loop.time()
        for task, deadline in list(self._waiting.items()):
            if deadline > now:
                self._timer = loop.call_at(deadline, self._look, loop)
                return
            del self._waiting[task]
            self._late.add(task)
            task.cancel()
