"""The channel's state machine: a ring of five segments and the leading edge. Pure, no I/O.

Source: go-livepeer `trickle/trickle_server.go` (`Stream`, `Segment`). Rules that look odd and are
wire behaviour: `Channel.next` is assigned, never maximised, so that it moves back when an old
segment is written; a finished segment stays readable until its slot is taken.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._wire import CURRENT, NEXT

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 5


@dataclass(eq=False)
class Segment:
    """One numbered body: bytes that grow until it is finished, shared by all its readers."""

    seq: int
    chunks: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    finished: bool = False
    _watchers: set[Callable[[], None]] = field(default_factory=lambda: set())

    def append(self, chunk: bytes) -> None:
        """Add bytes and wake the readers."""
        self.chunks.append(chunk)
        self.size += len(chunk)
        self._wake()

    def finish(self) -> None:
        """End the segment for its readers and for a publisher that waits to begin."""
        if not self.finished:
            self.finished = True
            self._wake()

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` at each change from now on; returns what ends that."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    def _wake(self) -> None:
        for callback in tuple(self._watchers):
            callback()


class NotHeld(LookupError):
    """The segment is neither in the ring nor at the leading edge."""

    def __init__(self, seq: int) -> None:
        super().__init__(seq)
        self.seq = seq


class Channel:
    """One channel: what it holds, where its edge is, and whether it is closed."""

    def __init__(self, name: str, content_type: str, now: float) -> None:
        self.name = name
        self.content_type = content_type
        self.next = 0
        self.closed = False
        self.written_at = now
        self._slots: list[Segment | None] = [None] * SLOTS

    def resolve(self, seq: int) -> int:
        """Turn -1 and -2 into the number that they stand for at this moment."""
        if seq == NEXT:
            return self.next
        if seq == CURRENT:
            return max(self.next - 1, 0)
        return seq

    def for_read(self, seq: int) -> Segment:
        """The segment that a reader attaches to; raises `NotHeld` where the wire says 470."""
        seq = self.resolve(seq)
        held = self._held(seq)
        if held is not None:
            return held
        at_edge = seq == self.next or (self.next == 0 and seq == 1)
        if self.closed or not at_edge:
            raise NotHeld(seq)
        return self._place(seq)

    def for_write(self, seq: int) -> Segment:
        """The segment that a publisher attaches to; it may be finished already."""
        seq = self.resolve(seq)
        return self._held(seq) or self._place(seq)

    def write(self, segment: Segment, chunk: bytes, now: float) -> None:
        """Append bytes to a segment; the first ones move the leading edge behind it."""
        if not segment.size:
            self.next = segment.seq + 1
        self.written_at = now
        segment.append(chunk)

    def end(self, segment: Segment, now: float) -> None:
        """Finish a segment; one that stayed empty moves the edge as the first byte would."""
        if not segment.size:
            self.next = segment.seq + 1
            self.written_at = now
        segment.finish()

    def rewind(self, segment: Segment) -> None:
        """Move the edge behind a segment whose late publisher was turned away."""
        self.next = segment.seq + 1

    def reset(self, below: int) -> None:
        """Finish every held segment with a number under `below`."""
        for segment in self._slots:
            if segment is not None and segment.seq < below:
                segment.finish()

    def finish_held(self, seq: int) -> bool:
        """Finish one held segment early; False when it is not held."""
        held = self._held(seq)
        if held is None:
            return False
        held.finish()
        return True

    def close(self) -> None:
        """Finish everything and take no new reader."""
        self.closed = True
        for segment in self._slots:
            if segment is not None:
                segment.finish()

    def _held(self, seq: int) -> Segment | None:
        segment = self._slots[seq % SLOTS]
        return segment if segment is not None and segment.seq == seq else None

    def _place(self, seq: int) -> Segment:
        # go-livepeer leaves a segment that a reader's wish evicts unfinished, and its readers
        # waiting for ever; to finish it is the same wire for everybody who behaves.
        evicted = self._slots[seq % SLOTS]
        if evicted is not None:
            evicted.finish()
        segment = self._slots[seq % SLOTS] = Segment(seq)
        return segment
