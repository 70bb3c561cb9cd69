"""Frames as an author sees them: pictures and sound with their presentation times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import av

from ._arrays import (
    array_to_picture,
    copied,
    on_device,
    on_host,
    picture_to_array,
    view,
)
from ._numpy import np
from ._refusals import check_like, misfit
from ._sound import array_to_sound, copied_sound, sound_to_array
from ._tensors import (
    is_tensor,
    picture_to_tensor,
    sound_to_tensor,
    tensor_to_picture,
    tensor_to_samples,
)
from ._timed import Timed, fraction

if TYPE_CHECKING:
    from fractions import Fraction
    from typing import TypeAlias

    from numpy.typing import NDArray

    from ._device import Device, DType, Tensor as Tensor
    from ._tensors import TensorRange

    Array: TypeAlias = NDArray[Any]

__all__ = ["AudioFrame", "VideoFrame", "as_frame"]


class VideoFrame(Timed[av.VideoFrame]):
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
        frame_rate: Pictures in a second by what the source says of itself; None when it does not.

    Args:
        raw: See above.
        sample_aspect_ratio: See above.
        frame_rate: See above.
        private: Nobody else refers to the picture, so that `planes` need not copy it.
    """

    __slots__ = ("_private", "frame_rate", "sample_aspect_ratio")

    def __init__(
        self,
        raw: av.VideoFrame,
        *,
        sample_aspect_ratio: Fraction | None = None,
        frame_rate: Fraction | None = None,
        private: bool = False,
    ) -> None:
        super().__init__(raw)
        self.sample_aspect_ratio = fraction(sample_aspect_ratio)
        self.frame_rate = fraction(frame_rate)
        self._private = raw if private else None

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
        copy (0.1 ms at 720p), so that a write changes this frame and no other. A frame on a device
        is brought to this machine's memory, and stays there.

        The arrays keep their memory, also beyond the frame. Once the frame was returned or emitted
        they are still those of the picture that is published: what is written into them may be
        seen there, while `planes` gives those of a new private copy.
        """
        if self._private is not self.raw:
            raw = on_host(self.raw)
            # Never in place: that would free the memory that somebody's arrays are made over.
            self.raw = self._private = copied(raw) if raw is self.raw else raw
            self._sent = None
        return tuple(view(plane)[:, : plane.width] for plane in self.raw.planes)

    def sent(self, at: VideoFrame | None = None) -> VideoFrame:
        """The picture as it is now, for an encoder: a frame of its own over the same memory.

        Neither what is written through `planes` of this frame from now on, nor another `pts`, can
        be seen in what is returned.

        Args:
            at: Whose presentation time the sent frame has; None for this one's.
        """
        # Two encoders never get one PyAV frame, into which each writes its own time.
        raw = copied(on_host(self.raw)) if self._sent is self.raw else self.raw
        twin = self._over(raw)
        self._hand_on(twin, at)
        self._private = None
        return twin

    @property
    def on_device(self) -> bool:
        """Whether the picture lies on a device, from where `on_host` brings it."""
        return on_device(self.raw)

    def on_host(self) -> VideoFrame:
        """The frame itself, or a planar copy when it lies on a device."""
        raw = on_host(self.raw)
        if raw is self.raw:
            return self
        host = self._over(raw, private=True)
        host._time = self._time
        return host

    def _over(self, raw: av.VideoFrame, *, private: bool = False) -> VideoFrame:
        """Another picture of the same stream."""
        return VideoFrame(
            raw,
            sample_aspect_ratio=self.sample_aspect_ratio,
            frame_rate=self.frame_rate,
            private=private,
        )

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
            TypeError: It is no array, or `like` no frame of this kind.
            ValueError: The array's shape or type does not fit; the text shows both.
        """
        check_like(like, VideoFrame)
        raw = array_to_picture(array, format, like.raw)
        return like._over(raw, private=True)._at(pts, like)

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
            TypeError: It is no tensor, or `like` no frame of this kind.
            ValueError: The tensor's shape or type does not fit; the text shows both.
        """
        check_like(like, VideoFrame)
        raw = tensor_to_picture(tensor, range, like.raw)
        return like._over(raw, private=True)._at(pts, like)

    def __repr__(self) -> str:
        return f"VideoFrame({self.width}x{self.height} {self.format}, time={self.time:.3f})"


class AudioFrame(Timed[av.AudioFrame]):
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

    def sent(self, at: AudioFrame | None = None) -> AudioFrame:
        """The sound for an encoder: a frame of its own over the same memory.

        Args:
            at: Whose presentation time the sent frame has; None for this one's.
        """
        twin = AudioFrame(copied_sound(self.raw) if self._sent is self.raw else self.raw)
        self._hand_on(twin, at)
        return twin

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
            TypeError: It is no array, or `like` no frame of this kind.
            ValueError: The array's shape or type does not fit; the text shows both.
        """
        check_like(like, AudioFrame)
        rate = like.sample_rate if sample_rate is None else sample_rate
        raw = array_to_sound(array, like.raw, rate)
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
            TypeError: It is no tensor, or `like` no frame of this kind.
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
    raise TypeError(misfit(value, type(like).__name__))
