"""Pictures and sound as torch tensors, and back.

The only module that knows torch, which is imported when it is called and not before. Below the
frames: it knows PyAV's alone. Arithmetic is done in float32, whatever goes in or comes out.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeGuard, cast

import av
import numpy as np

from ._arrays import (
    PLANAR,
    coded_as,
    color_like,
    picture_to_array,
    pixels_to_picture,
    planar_of,
    planes_to_picture,
    sound_to_array,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import torch
    from av.video.frame import CudaContext
    from numpy.typing import NDArray

TensorRange = Literal["signed", "unit", "uint8"]
"""What the values of a picture mean: -1 to 1, 0 to 1, or 0 to 255."""

# From a value to one of 0 to 255: factor and offset.
_TO_LEVELS: Final[dict[TensorRange, tuple[float, float]]] = {
    "signed": (127.5, 127.5),
    "unit": (255.0, 0.0),
    "uint8": (1.0, 0.0),
}

# Weights of red and blue in luma, by the number of the matrix (ITU-T H.273, table 4); what is
# unspecified counts as BT.601, as in swscale.
_BT601: Final = (0.299, 0.114)
_WEIGHTS: Final = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
}
_FULL_RANGE: Final = 2


def is_tensor(value: object) -> TypeGuard[torch.Tensor]:
    """Whether a value is a torch tensor; loads torch for nobody who has not."""
    module = sys.modules.get("torch")
    return module is not None and isinstance(value, module.Tensor)


def picture_to_tensor(
    raw: av.VideoFrame,
    range: TensorRange,
    device: torch.device | str | None,
    dtype: torch.dtype | None,
) -> torch.Tensor:
    """A picture as (1, height, width, 3) of RGB, private and contiguous."""
    lib = _torch()
    if raw.sw_format is not None and raw.sw_format.name == "nv12" and _is_even(raw):
        with _after_codec(_device_of(raw)):
            levels = levels_of_nv12(raw)
    else:
        levels = lib.from_numpy(picture_to_array(raw, "rgb24"))
        if device is None and raw.sw_format is not None:
            device = _device_of(raw)
    if device is not None:
        levels = levels.to(device)
    return _in_range(levels, range, dtype).unsqueeze(0)


def tensor_to_picture(
    tensor: torch.Tensor, range: TensorRange | None, like: av.VideoFrame
) -> av.VideoFrame:
    """A picture coded as `like` is, and on a device where `like` is.

    Raises:
        ValueError: The tensor's shape or type does not fit.
    """
    lib = _torch()
    pixels = _pixels(tensor)
    if range is None:
        range = "uint8" if tensor.dtype == lib.uint8 else "signed"
    if tensor.dtype == lib.uint8 and range != "uint8":
        raise ValueError(f"a tensor of {_describe(tensor)} is not in the range {range!r}")
    height, width, _ = pixels.shape
    if pixels.device.type != "cpu" and height % 2 == 0 and width % 2 == 0:
        return picture_of_levels(_levels(pixels, range, 0.0), like)
    if tensor.dtype != lib.uint8:
        # Half a level more, so that what cuts off the fraction rounds.
        pixels = _levels(pixels, range, 0.5)
    array: NDArray[Any] = pixels.cpu().numpy()
    return pixels_to_picture(array, like)


def sound_to_tensor(
    raw: av.AudioFrame, device: torch.device | str | None, dtype: torch.dtype | None
) -> torch.Tensor:
    """Sound as (1, channels, samples) in [-1, 1]."""
    lib = _torch()
    array = sound_to_array(raw)
    samples = lib.from_numpy(array).to(lib.float32)
    if array.dtype.kind == "i":
        samples = samples / float(-int(np.iinfo(array.dtype).min))
    tensor: torch.Tensor = samples.to(device=device, dtype=dtype or lib.float32).unsqueeze(0)
    return tensor


def tensor_to_samples(tensor: torch.Tensor) -> NDArray[Any]:
    """An array of (channels, samples) float32.

    Raises:
        ValueError: The tensor's shape or type does not fit.
    """
    lib = _torch()
    samples = tensor.detach()
    if samples.ndim == 3 and samples.shape[0] == 1:
        samples = samples[0]
    if samples.ndim not in (1, 2) or not samples.is_floating_point():
        raise ValueError(
            f"a tensor of {_describe(tensor)} does not fit: sound is (1, channels, samples),"
            " (channels, samples) or (samples,) of floats in [-1, 1]"
        )
    array: NDArray[Any] = samples.to(lib.float32).cpu().numpy()
    return array


def levels_of_nv12(raw: av.VideoFrame) -> torch.Tensor:
    """RGB from 0 to 255 as (height, width, 3) float32, computed where the NV12 picture lies."""
    lib = _torch()
    luma, chroma = (plane.to(lib.float32) for plane in plane_tensors(raw))
    coding = _coding(raw.sw_format.name if raw.sw_format else raw.format.name, raw, luma.device)
    height, width = luma.shape
    levels: torch.Tensor = (luma - coding.offset[0]).unsqueeze(-1) * coding.to_rgb[0]
    colors = (chroma - coding.offset[1:]) @ coding.to_rgb[1:]
    # Each chroma sample is that of a square of four pixels.
    levels.view(height // 2, 2, width // 2, 2, 3).add_(colors[:, None, :, None, :])
    return levels.clamp_(0.0, 255.0)


def nv12_of_levels(levels: torch.Tensor, like: av.VideoFrame) -> tuple[torch.Tensor, torch.Tensor]:
    """Planes of (height, width) and (height / 2, width / 2, 2) uint8 of RGB from 0 to 255.

    Args:
        levels: (height, width, 3) float32 with even sizes.
        like: Its range and matrix are those of the planes.
    """
    lib = _torch()
    coding = _coding(like.format.name, like, levels.device)
    height, width, _ = levels.shape
    luma = levels @ coding.to_yuv[:, 0] + coding.offset[0]
    squares = levels.reshape(height // 2, 2, width // 2, 2, 3).mean(dim=(1, 3))
    chroma = squares @ coding.to_yuv[:, 1:] + coding.offset[1:]
    return (
        luma.round_().clamp_(0, 255).to(lib.uint8),
        chroma.round_().clamp_(0, 255).to(lib.uint8),
    )


def picture_of_levels(levels: torch.Tensor, like: av.VideoFrame) -> av.VideoFrame:
    """A picture coded as `like` is, of RGB from 0 to 255, computed where the tensor lies.

    Args:
        levels: (height, width, 1, 3 or 4) float32 with even sizes.
        like: Where it lies on the same device, the picture does; else it is brought to the host.
    """
    lib = _torch()
    height, width, channels = levels.shape
    rgb = levels.expand(height, width, 3) if channels == 1 else levels[..., :3]
    luma, chroma = nv12_of_levels(rgb, like)
    if like.sw_format is not None and luma.device == _device_of(like):
        with _after_codec(luma.device):
            raw = av.VideoFrame.from_dlpack(
                (luma, chroma), format="nv12", cuda_context=_cuda_context(luma.device.index)
            )
        color_like(raw, like)
        return raw
    # One transfer, which waits for the device.
    parts = [luma.flatten(), chroma[..., 0].flatten(), chroma[..., 1].flatten()]
    flat: NDArray[np.uint8] = lib.cat(parts).cpu().numpy()
    return coded_as(planes_to_picture(flat, width, height, planar_of(like)), like)


def plane_tensors(raw: av.VideoFrame) -> list[torch.Tensor]:
    """The planes where they lie, by DLPack; no copy."""
    lib = _torch()
    # As capsules: torch would ask for an order of streams, which PyAV refuses.
    tensors: list[torch.Tensor] = []
    for plane in raw.planes:
        export = cast("Callable[[], object]", plane.__dlpack__)  # pyright: ignore[reportUnknownMemberType]
        tensors.append(lib.utils.dlpack.from_dlpack(export()))
    return tensors


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError("tensors need torch: pip install torch", name="torch") from error
    return torch


def _describe(tensor: torch.Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _pixels(tensor: torch.Tensor) -> torch.Tensor:
    """(height, width, channels), without what autograd knows of it."""
    lib = _torch()
    pixels = tensor.detach()
    if pixels.ndim == 4 and pixels.shape[0] == 1:
        pixels = pixels[0]
    if pixels.ndim == 2:
        pixels = pixels.unsqueeze(-1)
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3, 4) or 0 in pixels.shape:
        raise ValueError(f"a tensor of {_describe(tensor)} does not fit: {_expected(tensor)}")
    if not (pixels.is_floating_point() or pixels.dtype == lib.uint8):
        raise ValueError(
            f"a tensor of {_describe(tensor)} does not fit: a picture is of floats in [-1, 1],"
            " or of uint8 from 0 to 255"
        )
    return pixels


def _expected(tensor: torch.Tensor) -> str:
    shape = tuple(tensor.shape)
    expected = "a picture is (1, height, width, 3) or (height, width, 3)"
    if len(shape) in (3, 4) and shape[-3] in (1, 3, 4):
        turn = "(0, 2, 3, 1)" if len(shape) == 4 else "(1, 2, 0)"
        return f"{expected}; this looks like channels first: .permute{turn}"
    if len(shape) == 4 and shape[0] > 1:
        return f"{expected}; return a list of the pictures of a batch"
    return expected


def _in_range(levels: torch.Tensor, range: TensorRange, dtype: torch.dtype | None) -> torch.Tensor:
    lib = _torch()
    if range not in _TO_LEVELS:
        raise ValueError(f"range {range!r} is none of {', '.join(map(repr, _TO_LEVELS))}")
    if range == "uint8":
        whole = levels if levels.dtype == lib.uint8 else levels.round_()
        return whole.to(dtype or lib.uint8)
    factor, offset = _TO_LEVELS[range]
    values = levels.to(lib.float32).mul_(1 / factor)
    if offset:
        values.sub_(offset / factor)
    return values if dtype is None else values.to(dtype)


def _levels(pixels: torch.Tensor, range: TensorRange, more: float) -> torch.Tensor:
    """From 0 to 255 in float32; a new tensor with the strides of the old."""
    lib = _torch()
    if range not in _TO_LEVELS:
        raise ValueError(f"range {range!r} is none of {', '.join(map(repr, _TO_LEVELS))}")
    factor, offset = _TO_LEVELS[range]
    start = lib.tensor(offset + more, dtype=lib.float32, device=pixels.device)
    levels: torch.Tensor = lib.add(start, pixels.to(lib.float32), alpha=factor)
    return levels.clamp_(0.0, 255.0)


class _Coding(NamedTuple):
    """How RGB of 0 to 255 is coded: yuv = rgb @ to_yuv + offset, and back."""

    to_yuv: torch.Tensor
    to_rgb: torch.Tensor
    offset: torch.Tensor


def _coding(format: str, raw: av.VideoFrame, device: torch.device) -> _Coding:
    weights = _WEIGHTS.get(int(raw.colorspace), _BT601)
    full = format == PLANAR[1] or int(raw.color_range) == _FULL_RANGE
    return _coding_on(weights, full, device)


@lru_cache(maxsize=16)
def _coding_on(weights: tuple[float, float], full: bool, device: torch.device) -> _Coding:
    lib = _torch()
    red, blue = weights
    green = 1.0 - red - blue
    luma, chroma = (1.0, 1.0) if full else (219 / 255, 224 / 255)
    u, v = chroma / (2 * (1 - blue)), chroma / (2 * (1 - red))
    matrix = np.array(
        [
            [luma * red, -u * red, v * (1 - red)],
            [luma * green, -u * green, -v * green],
            [luma * blue, u * (1 - blue), -v * blue],
        ]
    )

    def tensor(values: NDArray[np.float64]) -> torch.Tensor:
        there: torch.Tensor = lib.from_numpy(values.astype(np.float32)).to(device)
        return there

    offset = np.array([0.0 if full else 16.0, 128.0, 128.0])
    return _Coding(tensor(matrix), tensor(np.linalg.inv(matrix)), tensor(offset))


def _is_even(raw: av.VideoFrame) -> bool:
    return raw.width % 2 == 0 and raw.height % 2 == 0


def _device_of(raw: av.VideoFrame) -> torch.device:
    _, index = raw.planes[0].__dlpack_device__()
    device: torch.device = _torch().device("cuda", index)
    return device


@contextmanager
def _after_codec(device: torch.device) -> Generator[None]:
    """Put what is done on torch's stream between what the codec does before and after.

    FFmpeg works on the default stream of the device's primary context.
    """
    lib = _torch()
    codec, mine = lib.cuda.default_stream(device), lib.cuda.current_stream(device)
    mine.wait_stream(codec)
    try:
        yield
    finally:
        codec.wait_stream(mine)


@lru_cache(maxsize=16)
def _cuda_context(index: int) -> CudaContext:
    from av.video.frame import CudaContext

    return CudaContext(device_id=index, primary_ctx=True)
