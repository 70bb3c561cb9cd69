"""ADTS headers for AAC that comes without them, as from MP4. Pure (ISO/IEC 13818-7, 14496-3)."""

from __future__ import annotations

_HEADER_BYTES = 7
_ESCAPED_RATE = 15
_LOW_OBJECT_TYPES = range(1, 5)


def is_adts(data: bytes) -> bool:
    """Whether `data` begins with the sync word of an ADTS header."""
    return len(data) >= _HEADER_BYTES and data[0] == 0xFF and data[1] & 0xF6 == 0xF0


class ADTSHeader:
    """Writes the header for frames of one AudioSpecificConfig.

    Raises:
        ValueError: ADTS cannot say this configuration: extended object types, an explicit sample
            rate, or channels described by a program config element.
    """

    def __init__(self, config: bytes) -> None:
        if len(config) < 2:
            raise ValueError("the AAC stream has no AudioSpecificConfig")
        bits = int.from_bytes(config[:2], "big")
        object_type, rate, channels = bits >> 11, bits >> 7 & 0xF, bits >> 3 & 0xF
        if object_type not in _LOW_OBJECT_TYPES:
            raise ValueError(f"ADTS has no AAC object type {object_type}")
        if rate == _ESCAPED_RATE:
            raise ValueError("ADTS has no explicit sample rate")
        if not 1 <= channels <= 7:
            raise ValueError(f"ADTS has no channel configuration {channels}")
        # Sync word, MPEG-4, no CRC; profile, rate index and channels; buffer fullness "variable".
        self._template = (
            0xFFF1 << 40 | (object_type - 1) << 38 | rate << 34 | channels << 30 | 0x7FF << 2
        )

    def wrap(self, frame: bytes) -> bytes:
        """One raw AAC frame with its header."""
        header = self._template | (len(frame) + _HEADER_BYTES) << 13
        return header.to_bytes(_HEADER_BYTES, "big") + frame
