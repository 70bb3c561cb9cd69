"""When each picture of an MPEG-TS stream was there, to its last byte, whoever wrote the stream.

Where a PES packet does not say how long it is, its end shows only with the next one; the time is
that of its last bytes all the same, so that no sender is charged for what a viewer may know late.
"""

from __future__ import annotations

from dataclasses import dataclass

_PACKET = 188
_SYNC = 0x47
_VIDEO = range(0xE0, 0xF0)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A picture that is there.

    Attributes:
        pts: Its presentation time in 90 kHz ticks.
        at: When its last bytes came, as they were timed.
    """

    pts: int
    at: float


class Arrivals:
    """Takes a stream's bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._pid: int | None = None
        self._pts: int | None = None
        self._at = 0.0
        self._missing: int | None = None

    def feed(self, data: bytes, at: float) -> list[Arrival]:
        """The pictures that are there with these bytes.

        Raises:
            ValueError: It is no transport stream.
        """
        data = self._rest + data
        whole = len(data) // _PACKET * _PACKET
        self._rest = data[whole:]
        found: list[Arrival] = []
        for start in range(0, whole, _PACKET):
            if data[start] != _SYNC:
                raise ValueError("the stream that came back is no MPEG-TS")
            self._packet(data, start, at, found)
        return found

    def flush(self) -> list[Arrival]:
        """The picture that ends with the stream."""
        found: list[Arrival] = []
        self._finish(found)
        return found

    def _packet(self, data: bytes, start: int, at: float, found: list[Arrival]) -> None:
        second = data[start + 1]
        pid = (second & 0x1F) << 8 | data[start + 2]
        begins = bool(second & 0x40)
        if not begins and pid != self._pid:
            return
        flags = data[start + 3]
        payload = start + 4
        if flags & 0x20:
            payload += 1 + data[payload]
        if not flags & 0x10:
            return
        if begins:
            if data[payload : payload + 3] != b"\0\0\1" or data[payload + 3] not in _VIDEO:
                return
            self._finish(found)
            self._begin(pid, data, payload)
        self._at = at
        if self._missing is not None:
            self._missing -= start + _PACKET - payload
            if self._missing <= 0:
                self._finish(found)

    def _begin(self, pid: int, data: bytes, at: int) -> None:
        self._pid = pid
        length = int.from_bytes(data[at + 4 : at + 6], "big")
        self._missing = length + 6 if length else None
        stamp = data[at + 9 : at + 14]
        self._pts = (
            (stamp[0] >> 1 & 7) << 30
            | stamp[1] << 22
            | (stamp[2] >> 1) << 15
            | stamp[3] << 7
            | stamp[4] >> 1
        )

    def _finish(self, found: list[Arrival]) -> None:
        if self._pts is not None:
            found.append(Arrival(self._pts, self._at))
        self._pts = self._missing = None
