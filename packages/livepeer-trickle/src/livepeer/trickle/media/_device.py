"""Pictures in the memory of a device: NV12 to RGB and back by torch, with no copy to the host.

Also the only module that imports torch, when it is called and not before.

Nothing here is of one kind of device but `device_of` and what it is used for. Of FFmpeg's only
CUDA's pictures can be seen by torch.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

import av

from ._arrays import PLANAR, coded_as, color_like, on_device, planar_of, planes_to_picture
from ._numpy import np

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import TypeAlias

    import torch
    from av.video.frame import CudaContext
    from numpy.typing import NDArray

    Tensor: TypeAlias = torch.Tensor
    Device: TypeAlias = torch.device | str
    DType: TypeAlias = torch.dtype

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


def load_torch() -> Any:
    """The module torch, which nothing of ours loads before.

    Raises:
        ModuleNotFoundError: It is not installed.
    """
    try:
        import torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise ModuleNotFoundError("tensors need torch: pip install torch", name="torch") from error
    return torch


def lies_as_nv12(raw: av.VideoFrame) -> bool:
    """Whether a picture is on a device, in the form that is understood there."""
    if not on_device(raw) or raw.width % 2 or raw.height % 2:
        return False
    return raw.sw_format is not None and raw.sw_format.name == "nv12"


def levels_of_nv12(raw: av.VideoFrame) -> Tensor:
    """RGB from 0 to 255 as (height, width, 3) float32, computed where the NV12 picture lies."""
    lib = load_torch()
    luma, chroma = (plane.to(lib.float32) for plane in plane_tensors(raw))
    coding = _coding(raw, luma.device)
    height, width = luma.shape
    levels: Tensor = (luma - coding.offset[0]).unsqueeze(-1) * coding.to_rgb[0]
    colors = (chroma - coding.offset[1:]) @ coding.to_rgb[1:]
    # Each chroma sample is that of a square of four pixels.
    levels.view(height // 2, 2, width // 2, 2, 3).add_(colors[:, None, :, None, :])
    return levels.clamp_(0.0, 255.0)


def nv12_of_levels(levels: Tensor, like: av.VideoFrame) -> tuple[Tensor, Tensor]:
    """Planes of (height, width) and (height / 2, width / 2, 2) uint8 of RGB from 0 to 255.

    Args:
        levels: (height, width, 3) float32 with even sizes.
        like: Its range and matrix are those of the planes.
    """
    lib = load_torch()
    coding = _coding(like, levels.device)
    height, width, _ = levels.shape
    luma = levels @ coding.to_yuv[:, 0] + coding.offset[0]
    squares = levels.reshape(height // 2, 2, width // 2, 2, 3).mean(dim=(1, 3))
    chroma = squares @ coding.to_yuv[:, 1:] + coding.offset[1:]
    return (
        luma.round_().clamp_(0, 255).to(lib.uint8),
        chroma.round_().clamp_(0, 255).to(lib.uint8),
    )


def picture_of_levels(levels: Tensor, like: av.VideoFrame) -> av.VideoFrame:
    """A picture coded as `like` is, of RGB from 0 to 255, computed where the tensor lies.

    Args:
        levels: (height, width, 1, 3 or 4) float32 with even sizes.
        like: Where it lies on the same device, the picture does; else it is brought to the host.
    """
    lib = load_torch()
    height, width, channels = levels.shape
    rgb = levels.expand(height, width, 3) if channels == 1 else levels[..., :3]
    luma, chroma = nv12_of_levels(rgb, like)
    if on_device(like) and luma.device == device_of(like):
        with after_codec(luma.device):
            raw = av.VideoFrame.from_dlpack(
                (luma, chroma), format="nv12", cuda_context=_cuda_context(luma.device.index)
            )
        color_like(raw, like)
        return raw
    # One transfer, which waits for the device.
    parts = [luma.flatten(), chroma[..., 0].flatten(), chroma[..., 1].flatten()]
    flat: NDArray[np.uint8] = lib.cat(parts).cpu().numpy()
    return coded_as(planes_to_picture(flat, width, height, planar_of(like)), like)


def plane_tensors(raw: av.VideoFrame) -> list[Tensor]:
    """The planes where they lie, by DLPack; no copy."""
    lib = load_torch()
    # As capsules: torch would ask for an order of streams, which PyAV refuses.
    tensors: list[Tensor] = []
    for plane in raw.planes:
        export = cast("Callable[[], object]", plane.__dlpack__)  # pyright: ignore[reportUnknownMemberType]
        tensors.append(lib.utils.dlpack.from_dlpack(export()))
    return tensors


class _Coding(NamedTuple):
    """How RGB of 0 to 255 is coded: yuv = rgb @ to_yuv + offset, and back."""

    to_yuv: Tensor
    to_rgb: Tensor
    offset: Tensor


def _coding(raw: av.VideoFrame, device: torch.device) -> _Coding:
    weights = _WEIGHTS.get(int(raw.colorspace), _BT601)
    full = raw.format.name == PLANAR[1] or int(raw.color_range) == _FULL_RANGE
    return _coding_on(weights, full, device)


@lru_cache(maxsize=16)
def _coding_on(weights: tuple[float, float], full: bool, device: torch.device) -> _Coding:
    lib = load_torch()
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

    def tensor(values: NDArray[np.float64]) -> Tensor:
        there: Tensor = lib.from_numpy(values.astype(np.float32)).to(device)
        return there

    offset = np.array([0.0 if full else 16.0, 128.0, 128.0])
    return _Coding(tensor(matrix), tensor(np.linalg.inv(matrix)), tensor(offset))


def device_of(raw: av.VideoFrame) -> torch.device:
    """The CUDA device that a picture lies on."""
    _, index = raw.planes[0].__dlpack_device__()
    device: torch.device = load_torch().device("cuda", index)
    return device


@contextmanager
def after_codec(device: torch.device) -> Generator[None]:
    """Put what is done on torch's stream between what the codec does before and after.

    FFmpeg works on the default stream of the device's primary context.
    """
    lib = load_torch()
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
