"""What is sent and how it is measured: the same for every client."""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from _face.roles import cpu_seconds, say

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from .progress import Progress

_STAMP = struct.Struct("q")


@dataclass(frozen=True)
class Plan:
    """One run.

    Attributes:
        segments: How many segments are published.
        pieces: How many writes make a segment.
        piece_bytes: The size of a write.
        pause_s: How long to wait before each write; then each carries the time that it was made.
    """

    segments: int
    pieces: int
    piece_bytes: int
    pause_s: float = 0.0

    @property
    def total_bytes(self) -> int:
        """What all segments hold together."""
        return self.segments * self.pieces * self.piece_bytes

    @property
    def gigabytes(self) -> float:
        """`total_bytes` in units of 10^9."""
        return self.total_bytes / 1e9

    def plain(self) -> dict[str, object]:
        """The plan as it is told to another process."""
        return asdict(self)

    @classmethod
    def parse(cls, text: str) -> Plan:
        """A plan that was told as JSON."""
        return cls(**json.loads(text))


class Load:
    """A run as one role of one client sees it.

    A client announces by `measured` when it is connected and when all is through; CPU is counted
    in between. A publisher waits for `turn` before each segment and sends `body()`, or, in a
    paced run, the `frames()`. A subscriber gives each chunk to `take` and counts by `done`.
    """

    def __init__(self, url: str, plan: Plan, progress: Progress) -> None:
        self.url = url
        self.plan = plan
        self.readers = progress.readers
        self.turn = progress.turn
        self.done = progress.done
        self.piece = b"x" * plan.piece_bytes
        self.received = 0
        self.delays: list[float] = []
        self._partial = bytearray()
        self.take = self._take_frames if plan.pause_s else self._take

    @property
    def paced(self) -> bool:
        """Whether pieces are sent at a pace, for their delay, and not as fast as possible."""
        return self.plan.pause_s > 0

    def body(self) -> list[bytes]:
        """The pieces of one segment."""
        return [self.piece] * self.plan.pieces

    async def frames(self) -> AsyncIterator[bytes]:
        """The pieces of one segment at their pace, each with its time."""
        filling = bytes(self.plan.piece_bytes - _STAMP.size)
        for _ in range(self.plan.pieces):
            await asyncio.sleep(self.plan.pause_s)
            yield _STAMP.pack(time.monotonic_ns()) + filling

    def _take(self, chunk: bytes) -> None:
        self.received += len(chunk)

    def _take_frames(self, chunk: bytes) -> None:
        now = time.monotonic_ns()
        self.received += len(chunk)
        self._partial += chunk
        while len(self._partial) >= self.plan.piece_bytes:
            (sent,) = _STAMP.unpack_from(self._partial)
            self.delays.append((now - sent) / 1e6)
            del self._partial[: self.plan.piece_bytes]

    @asynccontextmanager
    async def measured(self) -> AsyncGenerator[None]:
        """Say that all is ready, wait for the word, and report what was used in the context.

        What follows the context waits for another word: a publisher that closes its channel would
        take away what its reader has not read yet.
        """
        say({"ready": True})
        await asyncio.to_thread(sys.stdin.readline)
        begin, cpu = time.monotonic(), cpu_seconds()
        yield
        say(
            {
                "cpu": cpu_seconds() - cpu,
                "wall": time.monotonic() - begin,
                "received": self.received,
                "delays": self.delays,
            }
        )
        await asyncio.to_thread(sys.stdin.readline)
