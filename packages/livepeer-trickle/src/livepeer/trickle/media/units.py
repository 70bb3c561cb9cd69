"""Access units: what an encoder or a demuxer gives, and a muxer takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["video", "audio"]

_START_CODE: Final = b"\x00\x00\x01"
_SLICE, _IDR, _SEQUENCE_PARAMETERS = 1, 5, 7
_HEVC_SLICES: Final = range(10)
# Pictures that decoding can begin at, and parameter sets, which stand before those.
_HEVC_KEYS: Final = range(16, 35)
_MPEG_SEQUENCE, _MPEG_PICTURE = 0xB3, 0x00


def begins_h264_sequence(data: bytes) -> bool:
    """Whether an H.264 access unit is an IDR picture, whatever its container says of it.

    The demuxer can miss the random access flag of the first packet of a program.
    """
    at = data.find(_START_CODE)
    while 0 <= at < len(data) - 3:
        nal_type = data[at + 3] & 0x1F
        if nal_type in (_IDR, _SEQUENCE_PARAMETERS):
            return True
        if nal_type == _SLICE:
            return False
        at = data.find(_START_CODE, at + 3)
    return False


def begins_sequence(codec: str, data: bytes) -> bool | None:
    """Whether decoding can begin at a picture, by what is coded; None for codecs not known here."""
    if codec == "h264":
        return begins_h264_sequence(data)
    if codec == "hevc":
        return _first(data, shift=1, mask=0x3F, yes=_HEVC_KEYS, no=_HEVC_SLICES)
    if codec in ("mpeg1video", "mpeg2video"):
        yes, no = range(_MPEG_SEQUENCE, _MPEG_SEQUENCE + 1), range(_MPEG_PICTURE, 1)
        return _first(data, shift=0, mask=0xFF, yes=yes, no=no)
    return None


def _first(data: bytes, *, shift: int, mask: int, yes: range, no: range) -> bool:
    """Which of two kinds of unit comes first behind a start code."""
    at = data.find(_START_CODE)
    while 0 <= at < len(data) - 3:
        unit_type = data[at + 3] >> shift & mask
        if unit_type in yes:
            return True
        if unit_type in no:
            return False
        at = data.find(_START_CODE, at + 3)
    return False


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture, or one or more whole coded audio frames.

    Attributes:
        kind: Which elementary stream it belongs to.
        data: H.264 and H.265 in Annex B form, AAC with ADTS headers.
        pts: Presentation time in 90 kHz ticks.
        dts: Decoding time in 90 kHz ticks; the same as `pts` where pictures are not reordered.
        key: Decoding can begin here.
    """

    kind: Kind
    data: bytes
    pts: int
    dts: int
    key: bool
