"""Frames as an author sees them: pictures and sound with their presentation times."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

import av
from av.frame import Frame

from ._arrays import (
    array_to_picture,
    array_to_sound,
    on_host,
    picture_to_array,
    sound_to_array,
    view,
)
from ._numpy import np
from ._tensors import (
    is_tensor,
    picture_to_tensor,
    sound_to_tensor,
    tensor_to_picture,
    tensor_to_samples,
)
from .clock import TIME_BASE

if TYPE_CHECKING:
    from numbers import Rational
    from typing import Self, TypeAlias

    from numpy.typing import NDArray

    from ._device import Device, DType, Tensor as Tensor
    from ._tensors import TensorRange

    Array: TypeAlias = NDArray[Any]

__all__ = ["AudioFrame", "VideoFrame", "as_frame"]


_Raw = TypeVar("_Raw", bound=Frame)


def _fraction(ratio: Rational | None) -> Fraction | None:
    """PyAV 19 has a rational of its own, which lacks what a fraction can do."""
    if ratio is None or isinstance(ratio, Fraction):
        return ratio
    return Fraction(int(ratio.numerator), int(ratio.denominator))


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
        return _fraction(self.raw.time_base) or TIME_BASE

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def _at(self, pts: int | None, like: _Timed[_Raw]) -> Self:
        """This frame, at a time of another's clock; at its own time without one."""
        self.raw.pts, self.raw.time_base = like.pts if pts is None else pts, like.time_base
        return self


class VideoFrame(_Timed[av.VideoFrame]):
    """One picture.

    A frame of a stream is planar YUV 4:2:0 with 8 bits (`yuv420p`, or `yuvj420p` for full range),
    whatever the source was: three planes, Y of height by width and U, V of half of both. With
    hardware decoding it may lie in the memory of a device; then `format` is `cuda`.

    Arrays and tensors are RGB, and private copies: neither does a write into them change the
    frame, nor the other way round. The range and the matrix (BT.601, BT.709, BT.2020) are those
    that the source names, BT.601 where it names none, and a frame that is made of an array or a
    tensor is coded as its source. Each direction keeps a color to three levels of 255, by the
    rounding of swscale; colors that RGB has not are cut off.

    Attributes:
        raw: The PyAV frame beneath. What is written into it directly may be seen in later frames;
            write through `planes`.
        sample_aspect_ratio: Width to height of one pixel, None when the source does not say.
    """

    __slots__ = ("sample_aspect_ratio",)

    def __init__(self, raw: av.VideoFrame, *, sample_aspect_ratio: Fraction | None = None) -> None:
        super().__init__(raw)
        self.sample_aspect_ratio = _fraction(sample_aspect_ratio)

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
        copy where it does (0.1 ms at 720p), so that a write changes this frame and no other. A
        frame on a device is brought to this machine's memory, and stays there.
        """
        self.raw = on_host(self.raw)
        self.raw.make_writable()
        return tuple(view(plane)[:, : plane.width] for plane in self.raw.planes)

    def on_host(self) -> VideoFrame:
        """The frame itself, or a planar copy when it lies on a device."""
        raw = on_host(self.raw)
        if raw is self.raw:
            return self
        return VideoFrame(raw, sample_aspect_ratio=self.sample_aspect_ratio)

    def to_ndarray(self, format: str = "rgb24") -> NDArray[np.uint8]:
        """A copy as one contiguous array, converted.

        CPU at 720p: 0.4 ms for `rgb24`.

        Args:
            format: `rgb24`, `bgr24`: (height, width, 3). `rgba`, `bgra`: (height, width, 4), all
                opaque. `gray`: (height, width), 0 to 255 whatever the range. `yuv420p`:
                (height * 3 / 2, width), the planes after each other, for even sizes. Others of
                FFmpeg's formats with 8 bits, as PyAV shapes them.

        Raises:
            ValueError: The format is unknown, not of 8 bits, or needs even sizes.
        """
        return picture_to_array(self.raw, format)

    @classmethod
    def from_ndarray(
        cls,
        array: Array,
        *,
        like: VideoFrame,
        format: str | None = None,
        pts: int | None = None,
    ) -> VideoFrame:
        """A frame of an array, which is copied. CPU at 720p: 1.3 ms for `rgb24`.

        Args:
            array: Of uint8, as `to_ndarray` gives it: (height, width, 3) is RGB,
                (height, width, 4) RGBA, whose opacity is ignored, (height, width) gray; of any
                size, not only of that of `like`.
            like: Its presentation time, pixel aspect and way of coding colors are taken.
            format: `rgb24`, `bgr24`, `rgba`, `bgra`, `argb`, `abgr`, `gray`, `yuv420p` or
                `yuvj420p`; None for what the shape says.
            pts: Presentation time in units of `like.time_base`, where it is not that of `like`.

        Raises:
            ValueError: The array's shape or type does not fit; the text shows both.
        """
        raw = array_to_picture(array, format, like.raw)
        return cls(raw, sample_aspect_ratio=like.sample_aspect_ratio)._at(pts, like)

    def to_tensor(
        self,
        device: Device | None = None,
        *,
        range: TensorRange = "signed",
        dtype: DType | None = None,
    ) -> Tensor:
        """A copy as a torch tensor of (1, height, width, 3), contiguous.

        CPU at 720p: about 1 ms for float32, 0.4 ms for `uint8`. With a device, 8 bits a channel go
        there and are converted there. A frame that lies on a CUDA device never leaves it.

        Args:
            device: Where the tensor is to be: None for where the frame lies.
            range: `signed` for values from -1 to 1, `unit` for 0 to 1, `uint8` for 0 to 255.
            dtype: None for float32, and for uint8 with that range.

        Raises:
            ModuleNotFoundError: torch is not installed.
            ValueError: An unknown range.
        """
        return picture_to_tensor(self.raw, range, device, dtype)

    @classmethod
    def from_tensor(
        cls,
        tensor: Tensor,
        *,
        like: VideoFrame,
        range: TensorRange | None = None,
        pts: int | None = None,
    ) -> VideoFrame:
        """A frame of a torch tensor, which is only read.

        CPU at 720p: about 2 ms for float32, 1.3 ms for uint8, whatever the order in memory (so a
        permuted tensor needs no `contiguous()`). On a device it is coded there; the frame stays
        there if `like` lies there, and else 1.5 bytes a pixel are brought to this machine.

        Args:
            tensor: (1, height, width, C) or (height, width, C), C of 3 for RGB, 4 for RGBA, whose
                opacity is ignored, or 1 for gray; or (height, width) for gray; of any size. Of
                uint8 or any float type. Values out of the range are cut off; NaN is not looked
                for, and becomes some color.
            like: Its presentation time, pixel aspect and way of coding colors are taken.
            range: What the values mean, see `to_tensor`; None for `uint8` where that is the type,
                else `signed`.
            pts: Presentation time in units of `like.time_base`, where it is not that of `like`.

        Raises:
            ValueError: The tensor's shape or type does not fit; the text shows both.
        """
        raw = tensor_to_picture(tensor, range, like.raw)
        return cls(raw, sample_aspect_ratio=like.sample_aspect_ratio)._at(pts, like)

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

    def to_ndarray(self) -> Array:
        """A copy of the samples as (channels, samples), in the type that the source has.

        Float32 in [-1, 1] for what AAC, MP3 and Opus are decoded to.
        """
        return sound_to_array(self.raw)

    @classmethod
    def from_ndarray(
        cls,
        array: Array,
        *,
        like: AudioFrame,
        sample_rate: int | None = None,
        pts: int | None = None,
    ) -> AudioFrame:
        """A frame of an array, which is copied.

        Args:
            array: (channels, samples), or (samples,) for one channel; as many channels as `like`,
                one or two; any number of samples. Float32 or float64 in [-1, 1], int16 or int32.
            like: Its presentation time and, for as many channels, its layout are taken.
            sample_rate: Samples per second; None for that of `like`.
            pts: Presentation time in units of `like.time_base`, where it is not that of `like`.

        Raises:
            ValueError: The array's shape or type does not fit; the text shows both.
        """
        raw = array_to_sound(array, like.raw, sample_rate or like.sample_rate)
        return cls(raw)._at(pts, like)

    def to_tensor(self, device: Device | None = None, *, dtype: DType | None = None) -> Tensor:
        """A copy as a torch tensor of (1, channels, samples) in [-1, 1], float32 by default.

        Raises:
            ModuleNotFoundError: torch is not installed.
        """
        return sound_to_tensor(self.raw, device, dtype)

    @classmethod
    def from_tensor(
        cls,
        tensor: Tensor,
        *,
        like: AudioFrame,
        sample_rate: int | None = None,
        pts: int | None = None,
    ) -> AudioFrame:
        """A frame of a torch tensor of floats in [-1, 1]; as `from_ndarray`.

        Args:
            tensor: (1, channels, samples), (channels, samples) or (samples,), on any device.
            like: Its presentation time and, for as many channels, its layout are taken.
            sample_rate: Samples per second; None for that of `like`.
            pts: Presentation time in units of `like.time_base`, where it is not that of `like`.

        Raises:
            ValueError: The tensor's shape or type does not fit; the text shows both.
        """
        samples = tensor_to_samples(tensor)
        return cls.from_ndarray(samples, like=like, sample_rate=sample_rate, pts=pts)

    def __repr__(self) -> str:
        return f"AudioFrame({self.samples} at {self.sample_rate} Hz, time={self.time:.3f})"


def as_frame(
    value: object, like: VideoFrame | AudioFrame, *, pts: int | None = None
) -> VideoFrame | AudioFrame:
    """A frame of the kind of `like`: the value itself, or made of an array or a tensor.

    Args:
        value: A frame, an array or a tensor.
        like: See `VideoFrame.from_ndarray`.
        pts: Presentation time of a frame that is made, where it is not that of `like`.

    Raises:
        TypeError: It is none of these.
        ValueError: The array or tensor does not fit.
    """
    if isinstance(value, type(like)):
        return value
    if isinstance(value, np.ndarray):
        array = cast("Array", value)
        if isinstance(like, VideoFrame):
            return VideoFrame.from_ndarray(array, like=like, pts=pts)
        return AudioFrame.from_ndarray(array, like=like, pts=pts)
    if is_tensor(value):
        if isinstance(like, VideoFrame):
            return VideoFrame.from_tensor(value, like=like, pts=pts)
        return AudioFrame.from_tensor(value, like=like, pts=pts)
    kind = type(like).__name__
    raise TypeError(
        f"a {type(value).__name__} is no {kind}, nor an array or a tensor to make one of"
    )
