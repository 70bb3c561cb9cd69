"""Pictures as numpy arrays, and back. Below the frames: it knows PyAV's alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import av
from av.error import FFmpegError
from av.video.reformatter import Interpolation

from ._numpy import np
from ._refusals import channels_first, check_array

if TYPE_CHECKING:
    from collections.abc import Iterable

    from av.frame import Frame
    from av.video.plane import VideoPlane
    from numpy.typing import NDArray

PLANAR: Final = ("yuv420p", "yuvj420p")
"""What frames of a stream are: 4:2:0 with limited, and with full range."""

_CHANNELS: Final = {
    "gray": 1,
    "rgb24": 3,
    "bgr24": 3,
    "rgba": 4,
    "bgra": 4,
    "argb": 4,
    "abgr": 4,
}
_KNOWN: Final = ", ".join([*_CHANNELS, *PLANAR])
_BY_CHANNELS: Final = {1: "gray", 3: "rgb24", 4: "rgba"}
# Numbers of the matrices that swscale knows (ITU-T H.273, table 4).
_UNSPECIFIED: Final = 2
_MATRICES: Final = frozenset({0, 1, _UNSPECIFIED, 4, 5, 6, 7, 9})

# The mean of each 2 by 2 pixels as chroma, right to one level of 255. swscale's default takes
# four rows, which blurs, and drops to slower code for RGB: twice the time.
_EXACT: Final = int(Interpolation.AREA | Interpolation.FULL_CHR_H_INP)


# 16K, twice: FFmpeg and x264 take little more.
_MOST_PIXELS: Final = 1 << 27
_LONGEST: Final = 16_384


def new_picture(width: int, height: int, format: str) -> av.VideoFrame:
    """A picture to write into.

    Raises:
        ValueError: It would be too large.
    """
    if max(width, height) > _LONGEST or width * height > _MOST_PIXELS:
        raise ValueError(
            f"a picture of {width}x{height} is too large: {_LONGEST} pixels are the most in each"
            f" direction, and {_MOST_PIXELS} in all"
        )
    return av.VideoFrame(width, height, format)


def describe(array: NDArray[Any]) -> str:
    """The shape and type of an array, for messages."""
    return f"{array.shape} {array.dtype}"


def view(plane: VideoPlane) -> NDArray[np.uint8]:
    """The bytes of a plane as (rows, bytes of a row), without what pads the rows; not a copy."""
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, abs(plane.line_size))
    return rows[: plane.height]


def copied(raw: av.VideoFrame) -> av.VideoFrame:
    """The same picture in memory of its own; without what FFmpeg attaches, such as captions."""
    twin = av.VideoFrame(raw.width, raw.height, raw.format.name)
    for here, there in zip(raw.planes, twin.planes, strict=True):
        source, target = view(here), view(there)
        width = min(source.shape[1], target.shape[1])
        np.copyto(target[:, :width], source[:, :width])
    color_like(twin, raw)
    time_like(twin, raw)
    return twin


def time_like(raw: Frame, like: Frame) -> None:
    """Give a frame the presentation time of another, if that has one."""
    raw.pts = like.pts
    if like.time_base is not None:
        raw.time_base = like.time_base


def converted(raw: av.VideoFrame, format: str) -> av.VideoFrame:
    """The picture in another pixel format; itself where it has that.

    Whatever its matrix is: one that swscale refuses counts as BT.601, and stays on the label.

    Raises:
        FFmpegError: The formats cannot be converted.
        ValueError: There is no such format.
    """
    matrix = raw.colorspace
    if matrix in _MATRICES:
        return raw.reformat(format=format, interpolation=_EXACT, threads=1)
    raw.colorspace = _UNSPECIFIED
    try:
        changed = raw.reformat(format=format, interpolation=_EXACT, threads=1)
    finally:
        raw.colorspace = matrix
    changed.colorspace = matrix
    return changed


def on_device(raw: av.VideoFrame) -> bool:
    """Whether a picture lies in the memory of a device."""
    return raw.format.name == "cuda"


def on_host(raw: av.VideoFrame) -> av.VideoFrame:
    """The picture itself, or planar and in this machine's memory when it lies on a device."""
    if not on_device(raw):
        return raw
    return converted(raw, PLANAR[0])


def picture_to_array(raw: av.VideoFrame, format: str) -> NDArray[np.uint8]:
    """A private copy in another pixel format.

    Raises:
        ValueError: The format is unknown, or not of 8 bits, or needs even sizes.
    """
    if format in PLANAR and (raw.width % 2 or raw.height % 2):
        raise ValueError(
            f"a picture of {raw.width}x{raw.height} is no {format} array, which has even sizes:"
            " take the planes one by one"
        )
    raw = on_host(raw)
    try:
        changed = converted(raw, format)
        array = changed.to_ndarray()
    except (FFmpegError, ValueError) as error:
        raise ValueError(
            f"a picture of {raw.format.name} is no {format} array ({error}): take one of {_KNOWN}"
        ) from error
    if array.dtype != np.uint8:
        raise ValueError(f"{format} is an array of {array.dtype}: take a format of 8 bits")
    # PyAV gives the frame's own memory for packed formats.
    if changed is raw and format not in PLANAR:
        return np.array(array, np.uint8)
    return np.ascontiguousarray(array, np.uint8)


def array_to_picture(array: NDArray[Any], format: str | None, like: av.VideoFrame) -> av.VideoFrame:
    """A planar picture, coded as `like` is, of pixels.

    Raises:
        TypeError: It is no array.
        ValueError: The array's shape or type does not fit.
    """
    check_array(array, ": from_tensor takes tensors, numpy.asarray makes arrays of lists")
    if array.dtype != np.uint8:
        raise ValueError(
            f"an array of {describe(array)} does not fit: pixels are uint8, from 0 to 255."
            " Scale it, then .clip(0, 255).astype(numpy.uint8); or give a float tensor in [-1, 1]"
            f"{channels_first(array.shape)}"
        )
    if format in PLANAR:
        return coded_as(_stacked(array, format), like)
    if format is None:
        pixels = array[..., np.newaxis] if array.ndim == 2 else array
        if pixels.ndim != 3 or pixels.shape[2] not in _BY_CHANNELS or not pixels.size:
            raise ValueError(
                f"an array of {describe(array)} does not fit: a picture is (height, width, 3)"
                " for RGB, (height, width, 4) for RGBA, (height, width) for gray"
                f"{channels_first(array.shape)}"
            )
        return pixels_to_picture(pixels, like)
    return coded_as(_packed(_pixels(array, format), format), like)


def pixels_to_picture(pixels: NDArray[Any], like: av.VideoFrame) -> av.VideoFrame:
    """A planar picture of (height, width, 1, 3 or 4) RGB from 0 to 255, floats cut off."""
    # Channels that lie apart, as models give them, are taken as planes: to bring them together
    # would cost twice what all the rest does.
    apart = pixels.shape[2] > 1 and pixels.strides[2] != pixels.itemsize
    return rows_to_picture([pixels], pixels.shape, like, apart=apart)


def rows_to_picture(
    blocks: Iterable[NDArray[Any]], shape: tuple[int, ...], like: av.VideoFrame, *, apart: bool
) -> av.VideoFrame:
    """A planar picture of pixels that come some rows at a time; see `pixels_to_picture`."""
    height, width, channels = shape
    raw = new_picture(width, height, "gbrp" if apart else _BY_CHANNELS[channels])
    planes = [view(plane) for plane in raw.planes]
    row = 0
    for block in blocks:
        end = row + len(block)
        if apart:
            for plane, channel in zip(planes, (1, 2, 0), strict=True):
                _write(block[..., channel], plane[row:end, :width])
        else:
            _write_packed(block, planes[0][row:end])
        row = end
    return coded_as(raw, like)


def planes_to_picture(
    samples: NDArray[np.uint8], width: int, height: int, format: str
) -> av.VideoFrame:
    """A planar picture of its planes' samples, one plane after the other without padding."""
    raw, begin = new_picture(width, height, format), 0
    for plane in raw.planes:
        size = plane.width * plane.height
        source = samples[begin : begin + size].reshape(plane.height, plane.width)
        _write(source, view(plane)[:, : plane.width])
        begin += size
    return raw


def coded_as(raw: av.VideoFrame, like: av.VideoFrame) -> av.VideoFrame:
    """The picture in the planar format, range and matrix of another."""
    format = planar_of(like)
    color_like(raw, like)
    try:
        return converted(raw, format)
    except FFmpegError as error:
        raise ValueError(f"the picture cannot be coded as {format}: {error}") from error


def planar_of(raw: av.VideoFrame) -> str:
    """The planar format of a picture, or the one that it would be brought to."""
    return raw.format.name if raw.format.name in PLANAR else PLANAR[0]


def color_like(raw: av.VideoFrame, like: av.VideoFrame) -> None:
    """Label a picture with the range, matrix, primaries and transfer of another."""
    raw.color_range, raw.colorspace = like.color_range, like.colorspace
    raw.color_primaries, raw.color_trc = like.color_primaries, like.color_trc


def _pixels(array: NDArray[np.uint8], format: str) -> NDArray[np.uint8]:
    channels = _CHANNELS.get(format)
    if channels is None:
        raise ValueError(f"{format!r} is not a format of an array here: one of {_KNOWN}")
    pixels = array[..., np.newaxis] if array.ndim == 2 and channels == 1 else array
    if pixels.ndim != 3 or pixels.shape[2] != channels or not pixels.size:
        expected = "(height, width)" if channels == 1 else f"(height, width, {channels})"
        raise ValueError(
            f"an array of {describe(array)} does not fit: {format} is {expected} uint8"
            f"{channels_first(array.shape)}"
        )
    return pixels


def _packed(pixels: NDArray[Any], format: str) -> av.VideoFrame:
    # Copied, because swscale reads beyond the last pixel; PyAV's frames have room for that.
    raw = new_picture(pixels.shape[1], pixels.shape[0], format)
    _write_packed(pixels, view(raw.planes[0]))
    return raw


def _write_packed(pixels: NDArray[Any], rows: NDArray[np.uint8]) -> None:
    _, width, channels = pixels.shape
    _write(pixels, rows[:, : width * channels].reshape(pixels.shape))


def _stacked(array: NDArray[np.uint8], format: str) -> av.VideoFrame:
    """A picture of planes below each other: (height * 3 / 2, width), as PyAV lays them out."""
    if array.ndim != 2 or array.shape[0] % 3 or array.shape[1] % 2 or not array.size:
        raise ValueError(
            f"an array of {describe(array)} does not fit: {format} is (height * 3 / 2, width)"
            " uint8 with even sizes"
        )
    return planes_to_picture(array.reshape(-1), array.shape[1], array.shape[0] // 3 * 2, format)


def _write(source: NDArray[Any], target: NDArray[np.uint8]) -> None:
    # A NaN is not worth a warning for each frame; it becomes some color.
    with np.errstate(invalid="ignore"):
        np.copyto(target, source, casting="unsafe")
