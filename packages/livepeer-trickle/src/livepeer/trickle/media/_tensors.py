"""Pictures and sound as torch tensors, and back.

Below the frames: it knows PyAV's alone. Arithmetic is done in float32, whatever goes in or comes
out.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeGuard

from ._arrays import on_device, picture_to_array, pixels_to_picture, rows_to_picture
from ._device import (
    after_codec,
    device_of,
    levels_of_nv12,
    lies_as_nv12,
    load_torch,
    picture_of_levels,
)
from ._numpy import np
from ._refusals import named
from ._sound import sound_to_array

if TYPE_CHECKING:
    from collections.abc import Iterator

    import av
    from numpy.typing import NDArray

    from ._device import Device, DType, Tensor

TensorRange = Literal["signed", "unit", "uint8"]
"""What the values of a picture mean: -1 to 1, 0 to 1, or 0 to 255."""

# From a value to one of 0 to 255: factor and offset.
_TO_LEVELS: Final[dict[TensorRange, tuple[float, float]]] = {
    "signed": (127.5, 127.5),
    "unit": (255.0, 0.0),
    "uint8": (1.0, 0.0),
}

# Values of a float tensor that are worked on at a time: 1 MiB, which stays in the cache.
_BLOCK: Final = 256 * 1024


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Whether a value is a torch tensor; loads torch for nobody who has not."""
    module = sys.modules.get("torch")
    return module is not None and isinstance(value, module.Tensor)


def picture_to_tensor(
    raw: av.VideoFrame,
    range: TensorRange,
    device: Device | None,
    dtype: DType | None,
) -> Tensor:
    """A picture as (1, height, width, 3) of RGB, private and contiguous."""
    lib = load_torch()
    if lies_as_nv12(raw):
        with after_codec(device_of(raw)):
            levels = levels_of_nv12(raw)
    else:
        levels = lib.from_numpy(picture_to_array(raw, "rgb24"))
        if device is None and on_device(raw):
            device = device_of(raw)
    if device is not None:
        levels = levels.to(device)
    return _in_range(levels, range, dtype).unsqueeze(0)


def tensor_to_picture(
    tensor: Tensor, range: TensorRange | None, like: av.VideoFrame
) -> av.VideoFrame:
    """A picture coded as `like` is, and on a device where `like` is.

    Raises:
        TypeError: It is no tensor.
        ValueError: The tensor's shape or type does not fit, or it has no values.
    """
    lib = load_torch()
    _check_tensor(tensor)
    pixels = _pixels(tensor)
    if range is None:
        range = "uint8" if tensor.dtype == lib.uint8 else "signed"
    _check(range)
    if tensor.dtype == lib.uint8 and range != "uint8":
        raise ValueError(f"a tensor of {_describe(tensor)} is not in the range {range!r}")
    height, width, channels = pixels.shape
    if pixels.device.type != "cpu" and height % 2 == 0 and width % 2 == 0:
        return picture_of_levels(_levels(pixels, range, 0.0), like)
    pixels = pixels.cpu()
    if tensor.dtype == lib.uint8:
        array: NDArray[Any] = pixels.numpy()
        return pixels_to_picture(array, like)
    apart = channels > 1 and pixels.stride(2) != 1
    blocks = _blocks(pixels, range, max(1, _BLOCK // (width * channels)))
    return rows_to_picture(blocks, (height, width, channels), like, apart=apart)


def _blocks(pixels: Tensor, range: TensorRange, rows: int) -> Iterator[NDArray[Any]]:
    """Levels of some rows at a time, always in the same memory, with half a level more.

    By which what cuts off the fraction rounds.
    """
    lib = load_torch()
    room: Tensor = lib.empty_like(pixels[:rows], dtype=lib.float32)
    for part in lib.split(pixels, rows):
        yield _levels(part, range, 0.5, room[: len(part)]).numpy()


def sound_to_tensor(raw: av.AudioFrame, device: Device | None, dtype: DType | None) -> Tensor:
    """Sound as (1, channels, samples) in [-1, 1]."""
    lib = load_torch()
    array = sound_to_array(raw)
    samples = lib.from_numpy(array).to(lib.float32)
    if array.dtype.kind == "i":
        samples = samples / float(-int(np.iinfo(array.dtype).min))
    tensor: Tensor = samples.to(device=device, dtype=dtype or lib.float32).unsqueeze(0)
    return tensor


def tensor_to_samples(tensor: Tensor) -> NDArray[Any]:
    """An array of (channels, samples) float32.

    Raises:
        TypeError: It is no tensor.
        ValueError: The tensor's shape or type does not fit, or it has no values.
    """
    lib = load_torch()
    _check_tensor(tensor)
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


def _check_tensor(tensor: object) -> None:
    lib = load_torch()
    if not is_tensor(tensor):
        raise TypeError(f"{named(tensor)} is no torch tensor: from_ndarray takes numpy arrays")
    if tensor.layout != lib.strided:
        raise ValueError(f"a tensor of {_describe(tensor)} is sparse: .to_dense()")
    if tensor.is_meta:
        raise ValueError(f"a tensor of {_describe(tensor)} is on the meta device: it has no values")


def _describe(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def _pixels(tensor: Tensor) -> Tensor:
    """(height, width, channels), without what autograd knows of it."""
    lib = load_torch()
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


def _expected(tensor: Tensor) -> str:
    shape = tuple(tensor.shape)
    expected = "a picture is (1, height, width, 3) or (height, width, 3)"
    if len(shape) in (3, 4) and shape[-3] in (1, 3, 4):
        turn = "(0, 2, 3, 1)" if len(shape) == 4 else "(1, 2, 0)"
        return f"{expected}; this looks like channels first: .permute{turn}"
    if len(shape) == 4 and shape[0] > 1:
        return f"{expected}; return a list of the pictures of a batch"
    return expected


def _check(range: str) -> None:
    if range not in _TO_LEVELS:
        raise ValueError(f"range {range!r} is none of {', '.join(map(repr, _TO_LEVELS))}")


def _in_range(levels: Tensor, range: TensorRange, dtype: DType | None) -> Tensor:
    lib = load_torch()
    _check(range)
    if range == "uint8":
        whole = levels if levels.dtype == lib.uint8 else levels.round_()
        return whole.to(dtype or lib.uint8)
    factor, offset = _TO_LEVELS[range]
    values = levels.to(lib.float32).mul_(1 / factor)
    if offset:
        values.sub_(offset / factor)
    return values if dtype is None else values.to(dtype)


def _levels(pixels: Tensor, range: TensorRange, more: float, room: Tensor | None = None) -> Tensor:
    """From 0 to 255 in float32, in a new tensor or in `room`, with the strides of the old."""
    lib = load_torch()
    factor, offset = _TO_LEVELS[range]
    start = lib.tensor(offset + more, dtype=lib.float32, device=pixels.device)
    levels: Tensor = lib.add(start, pixels.to(lib.float32), alpha=factor, out=room)
    return levels.clamp_(0.0, 255.0)
