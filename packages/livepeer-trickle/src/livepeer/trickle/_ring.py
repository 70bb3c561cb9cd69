"""The channel's state machine: a ring of segments and the leading edge. Pure, no I/O.

Source: go-livepeer `trickle/trickle_server.go` (`Stream`, `Segment`). Rules that look odd and are
wire behaviour: `Channel.next` is assigned, never maximised, so that it moves back when an old
segment is written; a finished segment stays readable until its slot is taken.

Two rules are ours. A segment that is evicted before its end is cut: go-livepeer ends it for its
readers as if it were whole, or forgets it and lets them wait for ever. And what is written to a
segment after its end goes nowhere, where go-livepeer still shows it to readers that are late.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._wire import CURRENT, NEXT

if TYPE_CHECKING:
    from collections.abc import Callable

SLOTS = 5
"""go-livepeer's depth of a channel."""


@dataclass(eq=False)
class Segment:
    """One numbered body: bytes that grow until its end, shared by all its readers.

    Attributes:
        seq: The segment's number.
        chunks: The bytes, as they came.
        size: How many bytes there are.
        ended: No more bytes will come.
        cut: It ended before its publisher was done; readers must not take it for whole.
    """

    seq: int
    chunks: list[bytes] = field(default_factory=list[bytes])
    size: int = 0
    ended: bool = False
    cut: bool = False
    _watchers: dict[Callable[[], None], None] = field(
        default_factory=dict["Callable[[], None]", None]
    )

    def append(self, chunk: bytes) -> bool:
        """Add bytes and wake the readers; False after the end, when they go nowhere."""
        if self.ended:
            return False
        self.chunks.append(chunk)
        self.size += len(chunk)
        self._wake()
        return True

    def end(self, *, cut: bool = False) -> None:
        """End the segment for its readers and for a publisher that waits to begin."""
        if not self.ended:
            self.ended = True
            self.cut = cut
            self._wake()

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` at each change from now on."""
        self._watchers[callback] = None

    def unwatch(self, callback: Callable[[], None]) -> None:
        """Call `callback` no more."""
        self._watchers.pop(callback, None)

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

    def __init__(self, name: str, content_type: str, now: float, slots: int = SLOTS) -> None:
        self.name = name
        self.content_type = content_type
        self.next = 0
        self.closed = False
        self.written_at = now
        self._slots: list[Segment | None] = [None] * slots

    def resolve(self, seq: int) -> int:
        """Turn -1 and -2 into the number that they stand for at this moment."""
        if seq == NEXT:
            return self.next
        if seq == CURRENT:
            return max(self.next - 1, 0)
        return seq

    def for_read(self, seq: int) -> Segment:
        """The segment that a reader attaches to; raises `NotHeld` where the wire says 470."""
        asked, seq = seq, self.resolve(seq)
        held = self.held(seq)
        if held is not None:
            return held
        at_edge = seq == self.next or (self.next == 0 and seq == 1)
        if self.closed or not at_edge:
            raise NotHeld(asked)
        return self._place(seq)

    def for_write(self, seq: int) -> Segment:
        """The segment that a publisher attaches to; it may have ended already."""
        seq = self.resolve(seq)
        return self.held(seq) or self._place(seq)

    def held(self, seq: int) -> Segment | None:
        """The segment if it is in the ring."""
        segment = self._slots[seq % len(self._slots)]
        return segment if segment is not None and segment.seq == seq else None

    def write(self, segment: Segment, chunk: bytes, now: float) -> bool:
        """Append bytes to a segment; the first ones move the leading edge behind it.

        False after the segment's end, when they go nowhere.
        """
        if not segment.size:
            self.next = segment.seq + 1
        self.written_at = now
        return segment.append(chunk)

    def finish(self, segment: Segment, now: float) -> None:
        """End a segment; one that stayed empty moves the edge as the first byte would."""
        if not segment.size:
            self.next = segment.seq + 1
            self.written_at = now
        segment.end()

    def rewind(self, segment: Segment) -> None:
        """Move the edge behind a segment: its publisher began, or was turned away."""
        self.next = segment.seq + 1

    def reset(self, below: int) -> None:
        """End every held segment with a number under `below`."""
        for segment in self._slots:
            if segment is not None and segment.seq < below:
                segment.end()

    def finish_held(self, seq: int) -> bool:
        """End one held segment early; False when it is not held."""
        held = self.held(seq)
        if held is None:
            return False
        held.end()
        return True

    def drop(self, segment: Segment) -> None:
        """Cut a segment and hold it no longer."""
        segment.end(cut=True)
        if self.held(segment.seq) is segment:
            self._slots[segment.seq % len(self._slots)] = None

    def close(self) -> None:
        """End everything and take no new reader."""
        self.closed = True
        for segment in self._slots:
            if segment is not None:
                segment.end()

    def _place(self, seq: int) -> Segment:
        evicted = self._slots[seq % len(self._slots)]
        if evicted is not None:
            evicted.end(cut=evicted.size > 0)
        segment = self._slots[seq % len(self._slots)] = Segment(seq)
        return segment
