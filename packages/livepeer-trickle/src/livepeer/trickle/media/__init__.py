"""Media over trickle: MPEG-TS segments to frames and back. Needs the `media` extra."""

from __future__ import annotations

try:
    from ._hardware import Hardware, hardware_fault
    from ._tensors import TensorRange
    from .adts import ADTSHeader, is_adts
    from .clock import TIME_BASE, restarts, to_ticks
    from .encoder import AudioEncoder, EncoderOptions, VideoEncoder
    from .frames import AudioFrame, VideoFrame, as_frame
    from .pipe import BytePipe
    from .reader import Item, MediaReader, ReaderStats, StreamInfo
    from .segmenter import Piece, Segmenter
    from .units import AccessUnit, Kind, begins_h264_sequence
except ModuleNotFoundError as error:
    if error.name not in ("av", "numpy"):
        raise
    raise ModuleNotFoundError(
        f"livepeer.trickle.media needs {error.name}: pip install 'livepeer-trickle[media]'",
        name=error.name,
    ) from error

__all__ = [
    "TIME_BASE",
    "ADTSHeader",
    "AccessUnit",
    "AudioEncoder",
    "AudioFrame",
    "BytePipe",
    "EncoderOptions",
    "Hardware",
    "Item",
    "Kind",
    "MediaReader",
    "Piece",
    "ReaderStats",
    "Segmenter",
    "StreamInfo",
    "TensorRange",
    "VideoEncoder",
    "VideoFrame",
    "as_frame",
    "begins_h264_sequence",
    "hardware_fault",
    "is_adts",
    "restarts",
    "to_ticks",
]
