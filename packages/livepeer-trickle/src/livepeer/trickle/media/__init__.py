"""Media over trickle: MPEG-TS segments to frames and back. Needs the `media` extra."""

from __future__ import annotations

try:
    from .adts import ADTSHeader, is_adts
    from .clock import TIME_BASE, to_ticks
    from .encoder import AudioEncoder, EncoderOptions, VideoEncoder
    from .frames import AudioFrame, VideoFrame
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
    "Item",
    "Kind",
    "MediaReader",
    "Piece",
    "ReaderStats",
    "Segmenter",
    "StreamInfo",
    "VideoEncoder",
    "VideoFrame",
    "begins_h264_sequence",
    "is_adts",
    "to_ticks",
]
