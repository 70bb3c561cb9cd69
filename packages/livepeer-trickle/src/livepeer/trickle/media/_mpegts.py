"""An MPEG-TS muxer for one program of at most one video and one audio stream. Pure.

libavformat has a muxer, and through PyAV it can be used only with interleaving: it holds a picture
back until the other stream has something, by a frame in the best case and for as long as a quiet
audio track stays quiet. Here every access unit goes out at once, its PES packet carries its length
(so that a demuxer need not wait for the next one to know that it is whole), and the tables can be
written where a segment begins. (ISO/IEC 13818-1.)
"""

from __future__ import annotations

from itertools import chain, cycle
from operator import itemgetter
from struct import Struct
from typing import TYPE_CHECKING, Final

from . import _psi

if TYPE_CHECKING:
    from .units import AccessUnit, Kind

PACKET_BYTES: Final = 188
_PAYLOAD_BYTES: Final = PACKET_BYTES - 4
_PAYLOAD: Final = Struct(f"{_PAYLOAD_BYTES}s")

_PMT_PID: Final = 0x1000
_PIDS: Final[dict[str, int]] = {"video": 0x100, "audio": 0x101}
_STREAM_IDS: Final[dict[str, int]] = {"video": 0xE0, "audio": 0xC0}

STREAM_TYPES: Final[dict[str, int]] = {
    "h264": 0x1B,
    "hevc": 0x24,
    "mpeg2video": 0x02,
    "aac": 0x0F,
    "aac_latm": 0x11,
    "mp2": 0x03,
    "mp3": 0x03,
    "ac3": 0x81,
    "eac3": 0x87,
}
"""Codecs that can be carried, by libavcodec's names."""

_H264_DELIMITER: Final = b"\x00\x00\x00\x01\x09\xf0"
_TIMESTAMP_MASK: Final = (1 << 33) - 1
_PCR_LEAD: Final = 9_000  # a decoder's clock runs 100 ms behind the timestamps, its buffer


def _timestamp(prefix: int, ticks: int) -> bytes:
    ticks &= _TIMESTAMP_MASK
    value = (
        prefix << 36
        | (ticks >> 30) << 33
        | 1 << 32
        | (ticks >> 15 & 0x7FFF) << 17
        | 1 << 16
        | (ticks & 0x7FFF) << 1
        | 1
    )
    return value.to_bytes(5, "big")


class TSMuxer:
    """Turns access units into transport stream packets, with nothing held back.

    Args:
        codecs: The codec of each stream that the program has, by libavcodec's name.

    Raises:
        ValueError: A codec that a transport stream of ours cannot carry.
    """

    def __init__(self, codecs: dict[Kind, str]) -> None:
        self._counters = dict.fromkeys((_psi.PAT_PID, _PMT_PID, *_PIDS.values()), 0)
        self._plain = {pid: _plain_headers(pid) for pid in _PIDS.values()}
        self._pat = _psi.pat(_PMT_PID)
        self._version = -1
        self.change(codecs)

    def change(self, codecs: dict[Kind, str]) -> None:
        """Go over to other streams; the tables say so when they are written next.

        Raises:
            ValueError: A codec that a transport stream of ours cannot carry.
        """
        unknown = [codec for codec in codecs.values() if codec not in STREAM_TYPES]
        if unknown or not codecs:
            raise ValueError(f"MPEG-TS cannot carry {unknown or 'no stream at all'}")
        self._codecs = dict(codecs)
        self._clock_pid = _PIDS["video" if "video" in codecs else "audio"]
        self._version += 1
        streams = {_PIDS[kind]: STREAM_TYPES[codec] for kind, codec in codecs.items()}
        self._pmt = _psi.pmt(self._clock_pid, streams, self._version)

    def tables(self) -> bytes:
        """The program's tables, two packets; a self-contained segment begins with them."""
        return self._table(_psi.PAT_PID, self._pat) + self._table(_PMT_PID, self._pmt)

    def mux(self, unit: AccessUnit, *, jumps: bool = False) -> bytes:
        """The packets of one access unit; `jumps` when its clock does not follow the last one."""
        pid = _PIDS[unit.kind]
        data = unit.data
        # A transport stream requires delimiters between pictures; MP4 has none.
        if self._codecs.get(unit.kind) == "h264" and data[4:5] != b"\x09" and data[3:4] != b"\x09":
            data = _H264_DELIMITER + data
        adaptation = b""
        if pid == self._clock_pid:
            clock = (unit.dts - _PCR_LEAD) & _TIMESTAMP_MASK
            flags = 0x10 | unit.key << 6 | jumps << 7
            adaptation = bytes([flags]) + (clock << 15 | 0x7E00).to_bytes(6, "big")
        return self._packets(pid, _pes(unit, data), adaptation)

    def _table(self, pid: int, section: bytes) -> bytes:
        payload = (b"\x00" + section).ljust(_PAYLOAD_BYTES, b"\xff")
        return self._header(pid, start=True, adaptation=False) + payload

    def _packets(self, pid: int, pes: bytes, adaptation: bytes) -> bytes:
        room = _PAYLOAD_BYTES - (1 + len(adaptation) if adaptation else 0)
        if adaptation or len(pes) < room:
            stuffing = max(room - len(pes), 0)
            packets = self._padded(pid, adaptation, stuffing, pes[:room], start=True)
        else:
            packets = [self._header(pid, start=True, adaptation=False), pes[:room]]
        count = max(len(pes) - room, 0) // _PAYLOAD_BYTES
        end = room + count * _PAYLOAD_BYTES
        if count:
            counter = self._counters[pid]
            self._counters[pid] = (counter + count) & 0xF
            headers = cycle(self._plain[pid][counter : counter + 16])
            payloads = map(itemgetter(0), _PAYLOAD.iter_unpack(pes[room:end]))
            packets += chain.from_iterable(zip(headers, payloads, strict=False))
        if end < len(pes):
            rest = pes[end:]
            packets += self._padded(pid, b"", _PAYLOAD_BYTES - len(rest), rest, start=False)
        return b"".join(packets)

    def _padded(
        self, pid: int, adaptation: bytes, stuffing: int, payload: bytes, *, start: bool
    ) -> list[bytes]:
        """A packet whose adaptation field fills what the payload leaves."""
        if not adaptation and stuffing:
            # The length byte is the first byte of stuffing; flags, if there is room, the second.
            field = b"\x00" + b"\xff" * (stuffing - 2) if stuffing > 1 else b""
        else:
            field = adaptation + b"\xff" * stuffing
        header = self._header(pid, start=start, adaptation=True)
        return [header, bytes([len(field)]), field, payload]

    def _header(self, pid: int, *, start: bool, adaptation: bool) -> bytes:
        counter = self._counters[pid]
        self._counters[pid] = (counter + 1) & 0xF
        value = 0x47 << 24 | start << 22 | pid << 8 | (0x30 if adaptation else 0x10) | counter
        return value.to_bytes(4, "big")


def _plain_headers(pid: int) -> tuple[bytes, ...]:
    """Headers of packets that go on with a PES packet, for each counter, twice around."""
    first = 0x47000010 | pid << 8
    return tuple((first | counter & 0xF).to_bytes(4, "big") for counter in range(32))


def _pes(unit: AccessUnit, data: bytes) -> bytes:
    if unit.pts == unit.dts:
        stamps, flags = _timestamp(2, unit.pts), 0x80
    else:
        stamps, flags = _timestamp(3, unit.pts) + _timestamp(1, unit.dts), 0xC0
    length = 3 + len(stamps) + len(data)
    # Only video may leave the length open, and must where 16 bits cannot say it.
    bounded = length if length <= 0xFFFF else 0
    head = bytes([0, 0, 1, _STREAM_IDS[unit.kind]]) + bounded.to_bytes(2, "big")
    return head + bytes([0x84, flags, len(stamps)]) + stamps + data
