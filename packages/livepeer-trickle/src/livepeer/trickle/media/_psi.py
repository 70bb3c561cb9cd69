"""The tables of a transport stream: which programs there are, and what they hold. Pure.

(ISO/IEC 13818-1, 2.4.4; the descriptors of private streams: ETSI EN 300 468, ETSI TS 102 366, and
the format identifiers of the SMPTE registration authority.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .units import Kind

PAT_PID: Final = 0
_PAT_ID, _PMT_ID = 0x00, 0x02
_PRIVATE: Final = 0x06
_REGISTRATION: Final = 0x05

_STREAM_TYPES: Final[dict[int, tuple[Kind, str]]] = {
    0x01: ("video", "mpeg1video"),
    0x02: ("video", "mpeg2video"),
    0x10: ("video", "mpeg4"),
    0x1B: ("video", "h264"),
    0x24: ("video", "hevc"),
    0x33: ("video", "vvc"),
    # The same type for all three layers; one decoder takes them all.
    0x03: ("audio", "mp3"),
    0x04: ("audio", "mp3"),
    0x0F: ("audio", "aac"),
    0x11: ("audio", "aac_latm"),
    0x81: ("audio", "ac3"),
    0x82: ("audio", "dca"),
    0x84: ("audio", "eac3"),
    0x87: ("audio", "eac3"),
}
_DESCRIPTORS: Final[dict[int, tuple[Kind, str]]] = {
    0x6A: ("audio", "ac3"),
    0x7A: ("audio", "eac3"),
    0x7B: ("audio", "dca"),
}
_FORMATS: Final[dict[bytes, tuple[Kind, str]]] = {
    b"AC-3": ("audio", "ac3"),
    b"EAC3": ("audio", "eac3"),
    b"DTS1": ("audio", "dca"),
    b"DTS2": ("audio", "dca"),
    b"DTS3": ("audio", "dca"),
    b"Opus": ("audio", "opus"),
    b"HEVC": ("video", "hevc"),
}


class Elementary(NamedTuple):
    """One stream of a program: its PID, its kind, and its codec by libavcodec's name."""

    pid: int
    kind: Kind
    codec: str


def _table() -> tuple[int, ...]:
    entries: list[int] = []
    for byte in range(256):
        crc = byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
        entries.append(crc)
    return tuple(entries)


_CRC_TABLE: Final = _table()


def crc32(data: bytes) -> int:
    """The checksum of a section; 0 over a whole one that is sound."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc << 8 & 0xFFFFFFFF) ^ _CRC_TABLE[crc >> 24 ^ byte]
    return crc


def section(table_id: int, identifier: int, body: bytes, version: int = 0) -> bytes:
    """A section that is in force, of one table that has no other."""
    head = identifier.to_bytes(2, "big") + bytes([0xC1 | (version & 0x1F) << 1, 0, 0]) + body
    length = 0xB000 | len(head) + 4
    whole = bytes([table_id]) + length.to_bytes(2, "big") + head
    return whole + crc32(whole).to_bytes(4, "big")


def pat(pmt_pid: int) -> bytes:
    """The table of a stream with one program."""
    return section(_PAT_ID, 1, b"\x00\x01" + (0xE000 | pmt_pid).to_bytes(2, "big"))


def pmt(clock_pid: int, streams: dict[int, int], version: int = 0) -> bytes:
    """The table of a program: stream types by PID."""
    body = (0xE000 | clock_pid).to_bytes(2, "big") + b"\xf0\x00"
    for pid, stream_type in streams.items():
        body += bytes([stream_type]) + (0xE000 | pid).to_bytes(2, "big") + b"\xf0\x00"
    return section(_PMT_ID, 1, body, version)


class SectionBuffer:
    """Puts sections together that come in the payloads of one PID."""

    def __init__(self) -> None:
        self._data = b""
        self._open = False

    def add(self, payload: bytes, *, starts: bool) -> Iterator[bytes]:
        """The sections that are whole with this payload, and whose checksum is right."""
        if starts:
            pointer = payload[0] if payload else 0
            self._data = self._data + payload[1 : 1 + pointer] if self._open else b""
            yield from self._take()
            self._data, self._open = payload[1 + pointer :], True
        elif self._open:
            self._data += payload
        yield from self._take()

    def _take(self) -> Iterator[bytes]:
        while self._open and len(self._data) >= 3:
            length = 3 + (int.from_bytes(self._data[1:3], "big") & 0xFFF)
            if self._data[0] == 0xFF:  # stuffing to the end of the packet
                self._open = False
            elif len(self._data) < length:
                return
            else:
                whole, self._data = self._data[:length], self._data[length:]
                if length >= 12 and crc32(whole) == 0 and whole[5] & 1:
                    yield whole
        if not self._open:
            self._data = b""


def pmt_pid(whole: bytes) -> int | None:
    """The PID of the first program's table; None when this is no table of programs, or empty."""
    if whole[0] != _PAT_ID:
        return None
    for at in range(8, len(whole) - 4 - 3, 4):
        number = int.from_bytes(whole[at : at + 2], "big")
        if number:
            return int.from_bytes(whole[at + 2 : at + 4], "big") & 0x1FFF
    return None


def elementaries(whole: bytes) -> list[Elementary] | None:
    """The streams of a program whose codecs we know; None when this is no program's table."""
    if whole[0] != _PMT_ID:
        return None
    at = 12 + (int.from_bytes(whole[10:12], "big") & 0xFFF)
    end = len(whole) - 4
    found: list[Elementary] = []
    while at + 5 <= end:
        stream_type = whole[at]
        pid = int.from_bytes(whole[at + 1 : at + 3], "big") & 0x1FFF
        length = int.from_bytes(whole[at + 3 : at + 5], "big") & 0xFFF
        known = _known(stream_type, whole[at + 5 : min(at + 5 + length, end)])
        if known is not None:
            found.append(Elementary(pid, *known))
        at += 5 + length
    return found


def _known(stream_type: int, descriptors: bytes) -> tuple[Kind, str] | None:
    if stream_type != _PRIVATE:
        return _STREAM_TYPES.get(stream_type)
    at = 0
    while at + 2 <= len(descriptors):
        tag, length = descriptors[at], descriptors[at + 1]
        if tag in _DESCRIPTORS:
            return _DESCRIPTORS[tag]
        if tag == _REGISTRATION and descriptors[at + 2 : at + 6] in _FORMATS:
            return _FORMATS[descriptors[at + 2 : at + 6]]
        at += 2 + length
    return None
