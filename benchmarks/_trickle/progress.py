"""How far readers are, in a file that the processes share: a publisher must not outrun them.

A server keeps five segments. A publisher that sends as fast as it can would leave its reader
behind, and what is lost costs nothing; so it waits until every reader is near.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path

WINDOW = 3
"""How many segments a publisher may be ahead: with the two at the edge, all that a server holds."""

POLL_S = 0.001

_COUNT = struct.Struct("q")


class Progress:
    """One count of finished segments for each reader."""

    def __init__(self, path: Path, readers: int) -> None:
        self.path = path
        self.readers = readers
        handle = os.open(path, os.O_RDWR)
        try:
            self._map = mmap.mmap(handle, readers * _COUNT.size)
        finally:
            os.close(handle)

    @classmethod
    def create(cls, readers: int) -> Progress:
        """A new file with all counts zero."""
        handle, name = tempfile.mkstemp(prefix="livepeer-benchmark-")
        with os.fdopen(handle, "wb") as file:
            file.write(bytes(readers * _COUNT.size))
        return cls(Path(name), readers)

    def remove(self) -> None:
        """Forget the file."""
        self._map.close()
        with suppress(OSError):
            self.path.unlink()

    def done(self, segments: int, reader: int = 0) -> None:
        """A reader has finished so many segments."""
        _COUNT.pack_into(self._map, reader * _COUNT.size, segments)

    @property
    def least(self) -> int:
        """How many segments the slowest reader has finished."""
        counts: list[int] = [count for (count,) in _COUNT.iter_unpack(self._map[:])]
        return min(counts)

    async def turn(self, seq: int) -> None:
        """Wait until segment `seq` may be published."""
        # Nothing tells one process of the other's counts; this one looks again and again.
        while seq - self.least > WINDOW:  # noqa: ASYNC110
            await asyncio.sleep(POLL_S)
