"""Where the access units are in PES packets, and when they are due.

As a rule a packet of pictures is one unit, and one of sound some whole ones; then units are given
as soon as their packet is there. Of senders that cut elsewhere a parser finds the units, each of
which is whole only when the next one begins.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, cast

import av

from .units import AccessUnit, Kind, begins_sequence

if TYPE_CHECKING:
    from collections.abc import Callable

    from av.stream import Stream

    from ._pes import PES

_DELIMITERS: Final = {"h264": b"\x00\x00\x01\x09", "hevc": b"\x00\x00\x01\x46"}
_START_CODE: Final = b"\x00\x00\x01"
# A picture, a sequence, a group of pictures.
_MPEG_BEGINS: Final = (0x00, 0xB3, 0xB8)
# Of a sender's first packets one that begins in the middle of a unit shows its habit; later it may
# be an accident, and several show it.
_FIRST: Final = 8
_STRIKES: Final = 3

# With so much held back there are no units in it, and a parser would go on for ever.
_MOST_BYTES: Final = 16 * 1024 * 1024

_Stamp = tuple[int | None, int | None, bool]
_NO_STAMP: Final[_Stamp] = (None, None, False)


class Framing:
    """Makes the packets of one stream into access units.

    Args:
        kind: Pictures or sound.
        codec: By libavcodec's name.
    """

    def __init__(self, kind: Kind, codec: str) -> None:
        self._kind: Kind = kind
        self._codec = codec
        self._delimiter = _DELIMITERS.get(codec)
        self._parser: _Parser | None = None
        self._packets = self._strikes = 0
        self._previous = b""
        # Of the last unit, of the last with a time of its own, and how many came since that one.
        self._last: int | None = None
        self._stamped = self._since = self._step = 0

    def units(self, pes: PES) -> list[AccessUnit]:
        """The units that are whole with this packet."""
        stamp = pes.pts, pes.dts, pes.random_access
        if self._parser is None and not _begins_unit(self._codec, pes.data):
            self._strikes += 1
            if self._packets < _FIRST or self._strikes >= _STRIKES:
                self._parser = _Parser(self._codec, self._previous)
        self._packets += 1
        self._previous = pes.data
        if self._parser is not None:
            pieces = self._parser.add(pes.data, stamp)
            if self._parser.held > _MOST_BYTES:
                self._parser = _Parser(self._codec, b"")
        elif self._codec == "opus":
            pieces = _stamped(_opus_packets(pes.data), stamp)
        else:
            pieces = _stamped(self._split(pes.data), stamp)
        return self._units(pieces)

    def rest(self) -> list[AccessUnit]:
        """What is left before a gap."""
        pieces = [] if self._parser is None else self._parser.flush()
        units = self._units(pieces)
        self._last = self._parser = None
        self._packets = self._strikes = 0
        self._previous = b""
        return units

    def _split(self, data: bytes) -> list[bytes]:
        """Each picture of a packet, where delimiters say that there are several."""
        mark = self._delimiter
        at = -1 if mark is None else data.find(mark, 6)
        if mark is None or at < 0:
            return [data]
        pieces: list[bytes] = []
        begin = 0
        while at >= 0:
            at -= data[at - 1] == 0  # a start code may have a zero before it
            pieces.append(data[begin:at])
            begin, at = at, data.find(mark, at + 6)
        return [*pieces, data[begin:]]

    def _units(self, pieces: list[tuple[bytes, _Stamp]]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for data, (pts, dts, random_access) in pieces:
            if pts is None or dts is None:
                if self._last is None:
                    continue
                pts = dts = self._last + self._step
            else:
                if self._last is not None:
                    self._step = (dts - self._stamped) // self._since
                self._stamped, self._since = dts, 0
            self._last = dts
            self._since += 1
            key = self._kind == "audio" or random_access or begins_sequence(self._codec, data)
            units.append(AccessUnit(self._kind, data, max(pts, dts), dts, bool(key)))
        return units


def _stamped(units: list[bytes], stamp: _Stamp) -> list[tuple[bytes, _Stamp]]:
    """Units of one packet, whose time is that of the first."""
    return [(data, _NO_STAMP if at else stamp) for at, data in enumerate(units)]


class _Parser:
    """libavcodec's parser, with the times that it does not carry.

    A packet's time is that of the first unit that begins in it.

    Args:
        codec: By libavcodec's name.
        previous: The packet before the first one; the unit that it begins with was given already,
            and what follows that one in it is the beginning of the next.
    """

    def __init__(self, codec: str, previous: bytes) -> None:
        context = av.CodecContext.create(codec, "r")
        # PyAV's stubs leave the packets' type parameter open.
        self._parse = cast(
            "Callable[[bytes | None], list[av.Packet[Stream]]]",
            context.parse,  # pyright: ignore[reportUnknownMemberType]
        )
        self._stamps: deque[tuple[int, _Stamp]] = deque()
        self._taken = len(previous)
        self._given = sum(packet.size for packet in self._parse(previous)) if previous else 0
        self._skip = 0 if self._given or not previous else 1

    @property
    def held(self) -> int:
        """How many bytes went in and did not come out."""
        return self._taken - self._given

    def add(self, data: bytes, stamp: _Stamp) -> list[tuple[bytes, _Stamp]]:
        self._stamps.append((self._taken, stamp))
        self._taken += len(data)
        pieces = [self._stamped(bytes(packet)) for packet in self._parse(data)]
        skip, self._skip = self._skip, max(self._skip - len(pieces), 0)
        return pieces[skip:]

    def flush(self) -> list[tuple[bytes, _Stamp]]:
        return [self._stamped(bytes(packet)) for packet in self._parse(None)]

    def _stamped(self, data: bytes) -> tuple[bytes, _Stamp]:
        stamp = _NO_STAMP
        while self._stamps and self._stamps[0][0] <= self._given:
            stamp = self._stamps.popleft()[1]
        self._given += len(data)
        return data, stamp


def _begins_unit(codec: str, data: bytes) -> bool:
    """Whether a packet begins with a unit, as far as can be seen; True for codecs not known."""
    if codec in ("h264", "hevc", "mpeg1video", "mpeg2video"):
        at = data.find(_START_CODE, 0, 8)
        return at >= 0 and not _continues(codec, data[at + 3 : at + 6])
    if codec in _SYNCS:
        mask, sync = _SYNCS[codec]
        return int.from_bytes(data[:2], "big") & mask == sync
    return True


_SYNCS: Final = {
    "aac": (0xFFF6, 0xFFF0),
    "aac_latm": (0xFFE0, 0x56E0),
    "mp3": (0xFFE0, 0xFFE0),
    "ac3": (0xFFFF, 0x0B77),
    "eac3": (0xFFFF, 0x0B77),
}


def _continues(codec: str, head: bytes) -> bool:
    """Whether a start code is none that a picture begins with: that of a later slice, as a rule."""
    if len(head) < 3:
        return False
    if codec == "h264":
        return head[0] & 0x1F in (1, 5) and not head[1] & 0x80
    if codec == "hevc":
        return head[0] >> 1 & 0x3F < 32 and not head[2] & 0x80
    return head[0] not in _MPEG_BEGINS


def _opus_packets(data: bytes) -> list[bytes]:
    """Opus without the control headers of ETSI TS 102 005 draft's mapping to transport streams."""
    packets: list[bytes] = []
    at = 0
    while at + 3 <= len(data) and data[at] == 0x7F and data[at + 1] & 0xE0 == 0xE0:
        flags = data[at + 1]
        at += 2
        size = 0
        while at < len(data):
            size, at = size + data[at], at + 1
            if data[at - 1] != 0xFF:
                break
        at += 2 * (flags >> 4 & 1) + 2 * (flags >> 3 & 1)
        if flags >> 2 & 1 and at < len(data):
            at += 1 + data[at]
        packets.append(data[at : at + size])
        at += size
    return packets
