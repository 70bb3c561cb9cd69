"""The items of a generator as server-sent events, as they come."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

from livepeer.runner._server import sse
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from livepeer.runner._server.answer import Answer

_GAP_S: Final = 0.001
_MOST: Final = 64 * 1024


async def relay(
    answer: Answer,
    source: AsyncGenerator[list[bytes], None],
    first_wait_s: float,
    keep_alive_s: float,
) -> None:
    """Send the items of a source, those that are ready together with one write; then close it.

    The headers wait for the first item, so that an early failure keeps its status. The end of the
    stream is left to who called.

    Args:
        answer: Where they go.
        source: Compact JSON, one text an item.
        first_wait_s: How long the headers wait at most.
        keep_alive_s: After how much silence a comment is sent.

    Raises:
        UnsplittableItem: No line of a stream can hold an item; the headers are out.
        Exception: What the source raised.
    """
    async with (
        _Pulse(answer, first_wait_s, keep_alive_s),
        aclosing(source),
        _Gathered(answer) as out,
    ):
        async for items in source:
            for item in items:
                out.add(sse.event(item))
            await out.settle()


class _Gathered:
    """Sends at most once a millisecond, for to send costs more than most items.

    What comes after a longer silence goes at once. As a context: at its end all is sent, unless
    the stream is cancelled.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._loop = asyncio.get_running_loop()
        self._held: list[bytes] = []
        self._size = 0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Gathered:
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if error is not None and not isinstance(error, Exception):
            await cancel_and_wait(self._sending)
            return
        if self._sending is not None:
            await self._sending
        # An item that no line can hold is the stream's failure, and is told in it.
        if self._held or isinstance(error, sse.UnsplittableItem):
            await self._send()

    def add(self, frame: bytes) -> None:
        """Take an event."""
        self._held.append(frame)
        self._size += len(frame)

    async def settle(self) -> None:
        """Send what was taken, or see to it that it is sent soon."""
        silent_s = self._loop.time() - self._last
        if silent_s >= _GAP_S or self._size >= _MOST:
            await self._send()
        elif self._timer is None:
            self._timer = self._loop.call_later(_GAP_S - silent_s, self._later)

    def _later(self) -> None:
        self._timer = None
        # While one waits for a caller who reads slowly, what comes is held up to the limit.
        if self._held and (self._sending is None or self._sending.done()):
            self._sending = self._loop.create_task(self._drain())

    async def _drain(self) -> None:
        while self._held:
            await self._send()

    async def _send(self) -> None:
        frames, self._held = self._held, []
        self._size = 0
        self._last = self._loop.time()
        await self._answer.more(b"".join(frames))


class _Pulse:
    """What a stream says while its source is silent: its headers, and now and then a comment."""

    def __init__(self, answer: Answer, first_wait_s: float, keep_alive_s: float) -> None:
        self._answer = answer
        self._first_wait_s = first_wait_s
        self._keep_alive_s = keep_alive_s
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> None:
        loop = asyncio.get_running_loop()
        # Most streams have begun before it beats for the first time, and many are over.
        self._timer = loop.call_later(self._first_wait_s, self._start)

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._task is not None:
            await cancel_and_wait(self._task)

    def _start(self) -> None:
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        await self._answer.begin()
        while not self._answer.ended:
            silent_s = loop.time() - self._answer.sent_at
            if silent_s >= self._keep_alive_s:
                await self._answer.keep_alive()
            else:
                await asyncio.sleep(self._keep_alive_s - silent_s)
