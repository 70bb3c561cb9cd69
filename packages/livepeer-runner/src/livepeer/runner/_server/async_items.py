"""The items of an async iterator, several at a time where they come without a wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable
from typing import TYPE_CHECKING, Final

from livepeer.runner._server.raised import as_error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

_log = logging.getLogger(__name__)

_AHEAD: Final = 64
_AHEAD_BYTES: Final = 256 * 1024
_SLICE_S: Final = 0.001


async def batches(
    items: AsyncIterator[object] | Awaitable[AsyncIterator[object]],
    encode: Callable[[object], bytes],
) -> AsyncGenerator[list[bytes], None]:
    """Iterate over the encoded items of an async iterator of the author's.

    Items that it gives one after the other without waiting for anything are one batch, for to send
    each costs more than most take. No item waits for the next for longer than a millisecond, and
    the first is alone. An error is raised after the items before it.

    Closing it, or cancelling the reader, closes the iterator, and waits for that.
    """
    source = await items if isinstance(items, Awaitable) else items
    reader = _Reader(source, encode)
    # Of its own, so that what the author's code awaits, and how long, is its own affair, and not
    # that of somebody who takes the items slowly.
    task = asyncio.create_task(reader.run(), name="items")
    task.add_done_callback(lambda _: reader.arrived.set())
    try:
        while True:
            if batch := reader.take():
                yield batch
            elif task.done():
                break
            else:
                # Only where there is nothing: what came, or ended, while the reader was away stays.
                reader.arrived.clear()
                await reader.arrived.wait()
        await task
    except (asyncio.CancelledError, GeneratorExit):
        if not task.done():
            reader.stop()
            task.cancel()
            await asyncio.wait({task})
            if not task.cancelled() and (error := task.exception()) is not None:
                _log.error("a stream that nobody reads any more ended badly", exc_info=error)
        raise


class _Reader:
    """Takes items as they come, and holds some of them until somebody wants them.

    Attributes:
        arrived: Set when there is something to take.
    """

    def __init__(self, source: AsyncIterator[object], encode: Callable[[object], bytes]) -> None:
        self.arrived = asyncio.Event()
        self._source = source
        self._encode = encode
        self._limit = 1
        self._ready: list[bytes] = []
        self._size = 0
        self._since = 0.0
        self._room = asyncio.Event()
        self._stopped = False

    async def run(self) -> None:
        """Until the iterator has ended, and is closed."""
        try:
            async for item in self._source:
                self._put(self._encode(item))
                if self._full():
                    await self._taken()
                if self._stopped:
                    return
        except (Exception, asyncio.CancelledError):
            raise
        except BaseException as exc:  # the author's; from a task it would end the loop
            raise as_error(exc) from exc
        finally:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

    def take(self) -> list[bytes]:
        """What is ready."""
        batch, self._ready = self._ready, []
        self._size = 0
        if batch:
            self._limit = _AHEAD
            self._room.set()
        return batch

    def stop(self) -> None:
        """Take no more than the item that is on its way."""
        self._stopped = True
        self._room.set()

    def _put(self, chunk: bytes) -> None:
        self.arrived.set()
        self._ready.append(chunk)
        self._size += len(chunk)

    def _full(self) -> bool:
        if len(self._ready) >= self._limit or self._size >= _AHEAD_BYTES:
            return True
        # Perhaps it has not waited itself, and others want their turn.
        return time.monotonic() - self._since >= _SLICE_S

    async def _taken(self) -> None:
        while self._ready and not self._stopped:
            self._room.clear()
            await self._room.wait()
        self._since = time.monotonic()
