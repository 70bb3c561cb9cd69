"""Frames in memory that somebody else owns, such as memory shared with another process."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import av
import numpy as np
from av.error import FFmpegError

from livepeer.trickle.errors import MediaError

from ._sound import sound_planes
from .frames import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = [
    "AudioDescription",
    "Description",
    "VideoDescription",
    "describe",
    "pack",
    "unpack",
]

_ALIGN: Final = 64
_PACKED: Final = {"rgb24": 3, "bgr24": 3, "rgba": 4, "bgra": 4, "argb": 4, "abgr": 4}
_PLANAR: Final = frozenset({"yuv420p", "yuvj420p"})


class VideoDescription(NamedTuple):
    """Everything of a picture but its pixels.

    Attributes:
        width: In pixels.
        height: In pixels.
        format: The pixel format, by FFmpeg's name.
        strides: Bytes from one row to the next, for each plane; the planes follow each other.
        rows: Rows of each plane.
        pts: Presentation time.
        time_base: Its unit, as numerator and denominator.
        aspect: The sample aspect ratio, as numerator and denominator; None when unknown.
        rate: Pictures in a second, as numerator and denominator; None when the source does not say.
        color: Range, matrix, primaries and transfer, in FFmpeg's numbers.
    """

    width: int
    height: int
    format: str
    strides: tuple[int, ...]
    rows: tuple[int, ...]
    pts: int
    time_base: tuple[int, int]
    aspect: tuple[int, int] | None
    rate: tuple[int, int] | None
    color: tuple[int, int, int, int]

    @property
    def size(self) -> int:
        """Bytes of all planes."""
        return sum(stride * rows for stride, rows in zip(self.strides, self.rows, strict=True))


class AudioDescription(NamedTuple):
    """Everything of a stretch of sound but its samples.

    Attributes:
        samples: For each channel.
        layout: The channel layout, by FFmpeg's name.
        format: The sample format, by FFmpeg's name.
        sample_rate: Samples per second and channel.
        planes: How many planes there are.
        stride: Bytes of each plane; the planes follow each other.
        pts: Presentation time of the first sample.
        time_base: Its unit, as numerator and denominator.
    """

    samples: int
    layout: str
    format: str
    sample_rate: int
    planes: int
    stride: int
    pts: int
    time_base: tuple[int, int]

    @property
    def size(self) -> int:
        """Bytes of all planes."""
        return self.planes * self.stride


Description = VideoDescription | AudioDescription


class _Kept(np.ndarray[Any, np.dtype[np.uint8]]):
    """Refers to something for as long as it is referred to: by a picture over it, for one."""

    keep: object


def describe(frame: VideoFrame | AudioFrame) -> Description:
    """What `pack` would return.

    Raises:
        MediaError: The picture lies on a device, or has no planes that can be copied.
    """
    return _describe_sound(frame) if isinstance(frame, AudioFrame) else _describe_picture(frame)


def pack(frame: VideoFrame | AudioFrame, memory: memoryview) -> Description:
    """Copy a frame's planes into memory; 0.1 ms at 720p.

    Args:
        frame: Is only read, so that a picture that the decoder refers to is not copied for it.
            One on a device is brought here first.
        memory: Writable bytes, at least `describe(frame).size`.

    Returns:
        What `unpack` needs besides the memory.

    Raises:
        MediaError: The memory is too small, or the picture has no planes to copy.
    """
    if isinstance(frame, VideoFrame):
        frame = frame.on_host()
    about = describe(frame)
    if about.size > len(memory):
        raise MediaError(f"{frame!r} needs {about.size} bytes, and there are {len(memory)}")
    if isinstance(about, VideoDescription):
        assert isinstance(frame, VideoFrame)
        for plane, (there, stride) in zip(frame.raw.planes, _planes(about, memory), strict=True):
            here = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            width = min(stride, plane.line_size)
            np.copyto(there[:, :width], here[: len(there), :width])
        return about
    assert isinstance(frame, AudioFrame)
    for index, channel in enumerate(sound_planes(frame.raw)):
        begin = index * about.stride
        memory[begin : begin + about.stride] = memoryview(channel)[: about.stride]
    return about


def unpack(
    about: Description, memory: memoryview, keep: object = None
) -> tuple[VideoFrame | AudioFrame, bool]:
    """The frame that `pack` wrote.

    A picture in one of the usual formats is made over the memory, without a copy: what is written
    into one is in the other. Other pictures, and sound, are copied.

    Args:
        about: What `pack` returned.
        memory: The same bytes, perhaps in another process.
        keep: Referred to for as long as a picture over the memory lives, by whomever it is held.

    Returns:
        The frame, and whether it lies over the memory.

    Raises:
        MediaError: The description does not fit the memory.
    """
    try:
        if about.size > len(memory):
            raise ValueError(f"{about.size} bytes in {len(memory)} bytes of memory")
        if isinstance(about, AudioDescription):
            return _sound(about, memory), False
        if about.width <= 0 or about.height <= 0:
            raise ValueError("it has no size")
        array = _over(about, memory)
        if array is not None:
            array.keep = keep
            raw = av.VideoFrame.from_numpy_buffer(array, about.format, width=about.width)
            return _picture(about, raw), True
        raw = av.VideoFrame(about.width, about.height, about.format)
        if about.rows != tuple(plane.height for plane in raw.planes) or min(about.strides) < 0:
            raise ValueError("its planes are others")
        for plane, (there, stride) in zip(raw.planes, _planes(about, memory), strict=True):
            here = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
            width = min(stride, plane.line_size)
            np.copyto(here[: len(there), :width], there[:, :width])
            here[: len(there), width:] = 0  # or it would show what lay in this memory before
        return _picture(about, raw), False
    except (FFmpegError, ValueError, TypeError) as error:
        raise MediaError(f"no frame is described by {about}: {error}") from error


def _describe_sound(frame: AudioFrame) -> AudioDescription:
    raw = frame.raw
    return AudioDescription(
        frame.samples,
        frame.layout,
        frame.format,
        frame.sample_rate,
        len(sound_planes(raw)),
        _sound_stride(raw),
        frame.pts,
        frame.time_base.as_integer_ratio(),
    )


def _sound_stride(raw: av.AudioFrame) -> int:
    channels = 1 if raw.format.is_planar else raw.layout.nb_channels
    return raw.samples * raw.format.bytes * channels


def _describe_picture(frame: VideoFrame) -> VideoDescription:
    raw, format_, planes = frame.raw, frame.format, frame.raw.planes
    if not planes or any(plane.buffer_ptr == 0 or plane.line_size <= 0 for plane in planes):
        raise MediaError(
            f"{frame!r} has no planes in this machine's memory, or its rows lie upside down:"
            " convert it before"
        )
    width = -(-frame.width // _ALIGN) * _ALIGN
    if format_ in _PLANAR:
        strides: tuple[int, ...] = (width, width // 2, width // 2)
    elif format_ in _PACKED or format_ == "gray":
        strides = (width * _PACKED.get(format_, 1),)
    else:
        strides = tuple(plane.line_size for plane in planes)
    aspect, rate = frame.sample_aspect_ratio, frame.frame_rate
    return VideoDescription(
        frame.width,
        frame.height,
        format_,
        strides,
        tuple(plane.height for plane in planes),
        frame.pts,
        frame.time_base.as_integer_ratio(),
        None if aspect is None else aspect.as_integer_ratio(),
        None if rate is None else rate.as_integer_ratio(),
        (
            int(raw.color_range),
            int(raw.colorspace),
            int(raw.color_primaries),
            int(raw.color_trc),
        ),
    )


def _planes(about: VideoDescription, memory: memoryview) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """Each plane as an array of (rows, stride), and its stride."""
    begin = 0
    for stride, rows in zip(about.strides, about.rows, strict=True):
        yield np.ndarray((rows, stride), np.uint8, memory, begin), stride
        begin += stride * rows


def _over(about: VideoDescription, memory: memoryview) -> _Kept | None:
    """The memory in the shape that PyAV makes a picture over; None where it cannot."""
    stride = about.strides[0]
    if about.width * _PACKED.get(about.format, 1) > stride:
        raise ValueError("the rows are shorter than the picture")
    if about.format in _PLANAR:
        # PyAV 18 works out the height in steps of four rows.
        if about.width % 2 or about.height % 4:
            return None
        return _Kept((about.height * 3 // 2, stride), np.uint8, memory)
    if about.format == "gray":
        return _Kept((about.height, about.width), np.uint8, memory, 0, (stride, 1))
    pixel = _PACKED.get(about.format)
    if pixel is None:
        return None
    shape = (about.height, about.width, pixel)
    return _Kept(shape, np.uint8, memory, 0, (stride, pixel, 1))


def _picture(about: VideoDescription, raw: av.VideoFrame) -> VideoFrame:
    raw.pts, raw.time_base = about.pts, _fraction(about.time_base)
    raw.color_range, raw.colorspace, raw.color_primaries, raw.color_trc = about.color
    aspect = None if about.aspect is None else _fraction(about.aspect)
    rate = None if about.rate is None else _fraction(about.rate)
    return VideoFrame(raw, sample_aspect_ratio=aspect, frame_rate=rate, private=True)


def _sound(about: AudioDescription, memory: memoryview) -> AudioFrame:
    layout: Any = about.layout  # PyAV's stubs know a few names only
    if about.samples <= 0 or about.sample_rate <= 0:
        raise ValueError("it has no samples, or no rate")
    raw = av.AudioFrame(format=about.format, layout=layout, samples=about.samples)
    if (about.planes, about.stride) != (len(sound_planes(raw)), _sound_stride(raw)):
        raise ValueError("its planes are others")
    for index, plane in enumerate(sound_planes(raw)):
        begin = index * about.stride
        memoryview(plane)[: about.stride] = memory[begin : begin + about.stride]
    raw.sample_rate = about.sample_rate
    raw.pts, raw.time_base = about.pts, _fraction(about.time_base)
    return AudioFrame(raw)


@lru_cache(maxsize=64)
def _fraction(parts: tuple[int, int]) -> Fraction:
    # A stream has the same few for all its frames, and each is reduced when it is made.
    return Fraction(*parts)
