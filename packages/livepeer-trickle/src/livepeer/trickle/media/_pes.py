"""PES packets, put together of the packets of one PID. Pure (ISO/IEC 13818-1, 2.4.3.6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from ._psi import Elementary

_START: Final = 0x40_0000
_ADAPTATION: Final = 0x20
_PAYLOAD: Final = 0x10
_NO_LIMIT: Final = 16 * 1024 * 1024
_DISCONTINUITY, _RANDOM_ACCESS = 0x80, 0x40
# So often a sender must have shown the end of a packet before it is believed.
_TRUST: Final = 3


@dataclass(slots=True)
class PES:
    """One PES packet.

    Attributes:
        stream: Of which stream.
        data: Its payload; as a rule one access unit, or several of sound.
        pts: Presentation time in 90 kHz ticks; None where the packet has none.
        dts: Decoding time; the same as `pts` where the packet says no other.
        random_access: The container says that decoding can begin here.
    """

    stream: Elementary
    data: bytes
    pts: int | None
    dts: int | None
    random_access: bool


class Assembly:
    """The PES packet that is under way on one PID.

    A packet of sound says how long it is. Pictures are often sent without a length; then the next
    packet's beginning ends them, or, a whole frame earlier, the stuffing: a sender fills a packet
    up only when it has nothing more of this PES packet to put into it. That is the common way, but
    not the only one, so it is believed of a sender that was seen to do so, and no more once it was
    seen to do otherwise.

    Attributes:
        stream: What is put together.
        counter: The continuity counter that is due.
        room: How many bytes are to come yet; 0 when nothing can be added without looking at it.
        chunks: What there is.
        ready: PES packets that are whole.
    """

    __slots__ = (
        "_last", "_left", "_length", "_open", "_random_access", "_stuffed", "_trust", "chunks",
        "counter", "ready", "room", "stream",
    )  # fmt: skip

    def __init__(self, stream: Elementary) -> None:
        self.stream = stream
        self.counter = -1
        self.room = 0
        self.chunks: list[bytes] = []
        self.ready: list[PES] = []
        self._last = b""
        self._open = False
        self._length = self._left = 0
        self._stuffed = False
        self._random_access = False
        self._trust = 0

    def add(self, header: int, payload: bytes) -> int:
        """Take a packet of any kind; 1 when there were packets missing before it, else 0."""
        flags, stuffed = 0, False
        if header & _ADAPTATION:
            flags, stuffed = _adaptation(payload)
            payload = payload[1 + payload[0] :]
            if flags & _DISCONTINUITY:
                self.counter = -1
        if not header & _PAYLOAD:
            return 0
        counter, due, self.counter = header & 0xF, self.counter, header + 1 & 0xF
        missing = due not in (-1, counter)
        last = self.chunks[-1] if self.chunks else self._last
        if missing and counter == due - 1 & 0xF and payload == last:
            self.counter = due
            return 0  # a packet may be sent twice
        if missing:
            self._lose()
        if header & _START:
            self._begin(payload, bool(flags & _RANDOM_ACCESS))
        else:
            self._continue(payload)
        self._after(stuffed)
        return int(missing)

    def finish(self) -> PES | None:
        """The packet that is under way, as it is; None when it is not readable as one."""
        data, length = b"".join(self.chunks), self._length
        self._last = self.chunks[-1]
        self.chunks.clear()
        self.room, self._open = 0, False
        if len(data) < 9 or data[:3] != b"\x00\x00\x01":
            return None
        at = 9 + data[8]
        pts = dts = None
        if data[7] & 0x80 and len(data) >= 14:
            pts = dts = _stamp(data, 9)
            if data[7] & 0x40 and len(data) >= 19:
                dts = _stamp(data, 14)
        body = data[at : 6 + length] if length else data[at:]
        return PES(self.stream, body, pts, dts, self._random_access) if body else None

    def abandon(self) -> PES | None:
        """The packet that is under way, if it seems to be whole; the next begins anywhere."""
        whole = not self._length and (self._stuffed or self._trust < _TRUST)
        pes = self.finish() if self._open and whole else None
        self.chunks.clear()
        self.counter, self.room, self._open = -1, 0, False
        return pes

    def _begin(self, payload: bytes, random_access: bool) -> None:
        if self._open:
            self._believe(self._stuffed)
            self._end()
        self._random_access = random_access
        self.chunks.append(payload)
        self._open = True
        self._length = int.from_bytes(payload[4:6], "big") if len(payload) >= 6 else 0
        self.room = (self._length + 6 if self._length else _NO_LIMIT) - len(payload)

    def _continue(self, payload: bytes) -> None:
        if self._stuffed:
            # It was no end after all: this sender fills packets up where it likes.
            self._trust = -_NO_LIMIT
        if not self._open:
            return
        self.chunks.append(payload)
        self.room = (self.room or self._left) - len(payload)

    def _after(self, stuffed: bool) -> None:
        self._stuffed = stuffed and not self._length
        if not self._open:
            return
        if self.room <= 0 or (self._stuffed and self._trust >= _TRUST):
            self._end()
        elif self._stuffed:
            # What follows must be looked at.
            self._left, self.room = self.room, 0

    def _believe(self, shown: bool) -> None:
        if shown and not self._length and self._trust < _TRUST:
            self._trust += 1

    def _lose(self) -> None:
        """Packets are missing: what came before them is given as it is, what follows left out."""
        self._stuffed = False
        if self._open:
            self._end()

    def _end(self) -> None:
        pes = self.finish()
        if pes is not None:
            self.ready.append(pes)


def _adaptation(payload: bytes) -> tuple[int, bool]:
    """The flags of the field that `payload` begins with, and whether it is filled up."""
    length = payload[0]
    if not length:
        return 0, True
    flags = payload[1]
    fields = 1 + 6 * (flags >> 4 & 1) + 6 * (flags >> 3 & 1) + (flags >> 2 & 1)
    # Private data and extensions are of any length.
    return flags, not flags & 0x03 and length > fields


def _stamp(data: bytes, at: int) -> int:
    high, middle, low = data[at], data[at + 1 : at + 3], data[at + 3 : at + 5]
    return (
        (high >> 1 & 7) << 30
        | (int.from_bytes(middle, "big") >> 1) << 15
        | int.from_bytes(low, "big") >> 1
    )
