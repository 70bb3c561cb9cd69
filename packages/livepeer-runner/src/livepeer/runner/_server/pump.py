"""Drive a blocking iterator on one thread, and take its items on the loop, several at a time."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from livepeer.runner._server.workers import Workers

_log = logging.getLogger(__name__)

_AHEAD: Final = 64
_AHEAD_BYTES: Final = 256 * 1024


class Pump:
    """An async iteration over a blocking iterator of the author's.

    The whole iteration stays on one thread, so that what a generator holds between two items
    (`torch.inference_mode()`, a database handle) stays where it was made. What it gives crosses to
    the loop in batches, for a crossing costs more than most items: a batch is whatever is ready
    when the loop wakes. The first item crosses alone, and the thread waits for that.

    Args:
        workers: Has the thread.
        make: Gives the iterator; called on the thread.
        encode: Turns an item into bytes; called on the thread.
        cancel: Is called when nobody wants the rest.
        ahead: Items that may be ready before the reader has taken them.
        ahead_bytes: The same in bytes; one item may be larger.
    """

    def __init__(
        self,
        workers: Workers,
        make: Callable[[], Iterable[object]],
        encode: Callable[[object], bytes],
        cancel: Callable[[], None],
        *,
        ahead: int = _AHEAD,
        ahead_bytes: int = _AHEAD_BYTES,
    ) -> None:
        self._workers = workers
        self._make = make
        self._encode = encode
        self._cancel = cancel
        self._ahead = ahead
        self._ahead_bytes = ahead_bytes
        self._limit = 1
        self._ready: list[bytes] = []
        self._size = 0
        self._woken = False
        self._stopped = False
        self._room = threading.Condition()
        self._arrived = asyncio.Event()

    async def batches(self) -> AsyncGenerator[list[bytes], None]:
        """Iterate over the encoded items; an error is raised after the items before it.

        Closing it, or cancelling the reader, closes the iterator as soon as it has yielded, and
        waits for that: until then its thread is not free.
        """
        loop = asyncio.get_running_loop()
        run = asyncio.ensure_future(self._workers.run(lambda: self._run(loop)))
        run.add_done_callback(lambda _: self._arrived.set())
        try:
            while True:
                if batch := self._take():
                    yield batch
                elif run.done():
                    break
                else:
                    # Only where there is nothing: what came, or ended, meanwhile stays.
                    self._arrived.clear()
                    await self._arrived.wait()
            await run
        except (asyncio.CancelledError, GeneratorExit):
            self._cancel()
            self._stop()
            await asyncio.wait({run})
            if not run.cancelled() and (error := run.exception()) is not None:
                _log.error("a stream that nobody reads any more ended badly", exc_info=error)
            raise

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stopped:
            return
        source = iter(self._make())
        try:
            for item in source:
                if not self._put(loop, self._encode(item)):
                    return
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()

    def _put(self, loop: asyncio.AbstractEventLoop, chunk: bytes) -> bool:
        """Hand an item over and wait while there are enough; False when no more is wanted."""
        with self._room:
            self._ready.append(chunk)
            self._size += len(chunk)
            asleep, self._woken = not self._woken, True
        if asleep:
            if loop.is_closed():
                return False
            loop.call_soon_threadsafe(self._arrived.set)
        if self._full():
            with self._room:
                self._room.wait_for(lambda: self._stopped or not self._full())
        return not self._stopped

    def _full(self) -> bool:
        return len(self._ready) >= self._limit or self._size >= self._ahead_bytes

    def _take(self) -> list[bytes]:
        with self._room:
            batch, self._ready = self._ready, []
            self._size = 0
            self._woken = False
            if batch:
                self._limit = self._ahead
                self._room.notify()
        return batch

    def _stop(self) -> None:
        with self._room:
            self._stopped = True
            self._room.notify()
