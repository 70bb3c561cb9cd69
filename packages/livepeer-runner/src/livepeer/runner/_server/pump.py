"""Drive a blocking iterator on one thread, and take its items on the loop."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from livepeer.runner._server.workers import Workers

_log = logging.getLogger(__name__)


class Pump:
    """An async iteration over a blocking iterator of the author's.

    The whole iteration stays on one thread, so that what a generator holds between two items
    (`torch.inference_mode()`, a database handle) stays where it was made. The thread runs at most
    `ahead` items before the reader.
    """

    def __init__(
        self,
        workers: Workers,
        make: Callable[[], Iterable[object]],
        encode: Callable[[object], bytes],
        *,
        ahead: int = 64,
    ) -> None:
        self._workers = workers
        self._make = make
        self._encode = encode
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._room = threading.Semaphore(ahead)
        self._stopped = threading.Event()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Iterate over the encoded items; an error is raised after the items before it.

        Closing it, or cancelling the reader, closes the iterator as soon as it has yielded, and
        waits for that: until then its thread is not free.
        """
        loop = asyncio.get_running_loop()
        run = asyncio.ensure_future(self._workers.run(lambda: self._run(loop)))
        run.add_done_callback(lambda _: self._chunks.put_nowait(None))
        try:
            while (chunk := await self._chunks.get()) is not None:
                self._room.release()
                yield chunk
            await run
        except (asyncio.CancelledError, GeneratorExit):
            self._stopped.set()
            self._room.release()
            await asyncio.wait({run})
            if not run.cancelled() and (error := run.exception()) is not None:
                _log.error("a stream that nobody reads any more ended badly", exc_info=error)
            raise

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._stopped.is_set():
            return
        source = iter(self._make())
        try:
            for item in source:
                chunk = self._encode(item)
                self._room.acquire()
                if self._stopped.is_set() or loop.is_closed():
                    return
                loop.call_soon_threadsafe(self._chunks.put_nowait, chunk)
        finally:
            close = getattr(source, "close", None)
            if close is not None:
                close()
