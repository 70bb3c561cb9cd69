"""Access units: what an encoder or a demuxer gives, and a muxer takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["video", "audio"]

_START_CODE: Final = b"\x00\x00\x01"
_SLICE, _IDR, _SEQUENCE_PARAMETERS = 1, 5, 7


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
