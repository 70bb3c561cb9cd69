"""Frames as an author sees them: pictures and sound with their presentation times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

import av
import numpy as np
from av.frame import Frame

from .clock import TIME_BASE

if TYPE_CHECKING:
    from fractions import Fraction

    from numpy.typing import NDArray

__all__ = ["AudioFrame", "VideoFrame"]


_Raw = TypeVar("_Raw", bound=Frame)


class _Timed(Generic[_Raw]):
    """The clock that every frame has: that of its source."""

    __slots__ = ("raw",)

    def __init__(self, raw: _Raw) -> None:
        self.raw = raw

    @property
    def pts(self) -> int:
        """Presentation time, of sound that of the first sample, in units of `time_base`."""
        return self.raw.pts or 0

    @property
    def time_base(self) -> Fraction:
        """The unit of `pts` in seconds."""
        return self.raw.time_base or TIME_BASE

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)


class VideoFrame(_Timed[av.VideoFrame]):
    """One picture.

    A frame of a stream is planar YUV 4:2:0 with 8 bits (`yuv420p`, or `yuvj420p` for full range),
    whatever the source was: three planes, Y of height by width and U, V of half of both.

    Attributes:
        raw: The PyAV frame beneath. What is written into it directly may be seen in later frames;
            write through `planes`.
        sample_aspect_ratio: Width to height of one pixel, None when the source does not say.
    """

    __slots__ = ("sample_aspect_ratio",)

    def __init__(self, raw: av.VideoFrame, *, sample_aspect_ratio: Fraction | None = None) -> None:
        super().__init__(raw)
        self.sample_aspect_ratio = sample_aspect_ratio

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.raw.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.raw.height

    @property
    def format(self) -> str:
        """The pixel format, by FFmpeg's name."""
        return self.raw.format.name

    @property
    def planes(self) -> tuple[NDArray[np.uint8], ...]:
        """The planes as arrays of (height, width), writable in place.

        The decoder still refers to a frame that it gave out; the first access makes a private
        copy where it does (0.1 ms at 720p), so that a write changes this frame and no other.
        """
        self.raw.make_writable()
        return tuple(
            np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[
                : plane.height, : plane.width
            ]
            for plane in self.raw.planes
        )

    def to_ndarray(self, format: str = "rgb24") -> NDArray[np.uint8]:
        """A copy as one array, converted: (height, width, 3) for `rgb24` and `bgr24`.

        Converting to RGB costs about 0.5 ms at 720p.
        """
        return np.asarray(self.raw.to_ndarray(format=format), np.uint8)

    @classmethod
    def from_ndarray(
        cls, array: NDArray[np.uint8], *, like: VideoFrame, format: str = "rgb24"
    ) -> VideoFrame:
        """A frame of an array, with the presentation time of `like`.

        Raises:
            ValueError: The array's shape or type does not fit `format`.
        """
        raw = av.VideoFrame.from_ndarray(array, format=format)
        raw.pts, raw.time_base = like.pts, like.time_base
        return cls(raw, sample_aspect_ratio=like.sample_aspect_ratio)

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height} {self.format}, time={self.time:.3f})"


class AudioFrame(_Timed[av.AudioFrame]):
    """A stretch of sound.

    Attributes:
        raw: The PyAV frame beneath.
    """

    __slots__ = ()

    @property
    def sample_rate(self) -> int:
        """Samples per second and channel."""
        return self.raw.sample_rate

    @property
    def samples(self) -> int:
        """Samples per channel in this frame."""
        return self.raw.samples

    @property
    def layout(self) -> str:
        """The channel layout, by FFmpeg's name: `mono`, `stereo`, `5.1`."""
        return self.raw.layout.name

    @property
    def format(self) -> str:
        """The sample format, by FFmpeg's name; `fltp` (float32, planar) for AAC."""
        return self.raw.format.name

    def to_ndarray(self) -> NDArray[Any]:
        """A copy of the samples: (channels, samples) for planar formats, else (1, all).

        Float32 for the `fltp` that AAC is decoded to.
        """
        return self.raw.to_ndarray()

    @classmethod
    def from_ndarray(cls, array: NDArray[Any], *, like: AudioFrame) -> AudioFrame:
        """A frame of an array in the format, layout, rate and time of `like`.

        Raises:
            ValueError: The array's shape or type does not fit.
        """
        raw = av.AudioFrame.from_ndarray(array, format=like.format, layout=like.layout)  # pyright: ignore[reportArgumentType]
        raw.sample_rate = like.sample_rate
        raw.pts, raw.time_base = like.pts, like.time_base
        return cls(raw)

    def __repr__(self) -> str:
        return f"AudioFrame({self.samples} at {self.sample_rate} Hz, time={self.time:.3f})"
