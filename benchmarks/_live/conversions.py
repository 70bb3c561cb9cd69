"""The hooks' work where there is no SDK, each written as cheaply as the libraries allow."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, cast

import av
from av.video.reformatter import Interpolation

from .job import IDENTITY, NUMPY, SLOW, SLOW_S, TENSOR

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Convert = Callable[[av.VideoFrame], av.VideoFrame]

# The mean of each 2 by 2 pixels as chroma; the default costs half as much again.
_EXACT = int(Interpolation.AREA | Interpolation.FULL_CHR_H_INP)


def conversion(hook: str) -> Convert:
    """What is done to a decoded picture; the result has its time."""
    made: dict[str, Callable[[], Convert]] = {
        IDENTITY: lambda: _same,
        SLOW: lambda: _slow,
        NUMPY: lambda: _numpy,
        TENSOR: _tensor,
    }
    return made[hook]()


def _same(frame: av.VideoFrame) -> av.VideoFrame:
    return frame


def _slow(frame: av.VideoFrame) -> av.VideoFrame:
    time.sleep(SLOW_S)
    return frame


def _numpy(frame: av.VideoFrame) -> av.VideoFrame:
    pixels = cast("NDArray[np.uint8]", frame.to_ndarray(format="rgb24"))
    return _picture(255 - pixels, frame)


def _tensor() -> Convert:
    """RGB, float32 in [-1, 1], and back; in place wherever that is possible."""
    import torch

    def convert(frame: av.VideoFrame) -> av.VideoFrame:
        levels = torch.from_numpy(frame.to_ndarray(format="rgb24")).unsqueeze(0)
        tensor = -levels.to(torch.float32).mul_(1 / 127.5).sub_(1.0)
        # With half a level more, for what is cut off.
        levels = tensor.mul_(127.5).add_(128.0).clamp_(0, 255).to(torch.uint8)
        return _picture(levels[0].numpy(), frame)

    return convert


def _picture(pixels: NDArray[np.uint8], source: av.VideoFrame) -> av.VideoFrame:
    """RGB as the encoder takes it: not copied, and by swscale's cheapest way that is exact."""
    made = av.VideoFrame.from_numpy_buffer(pixels, "rgb24")
    made.pts, made.time_base = source.pts, source.time_base
    return made.reformat(format="yuv420p", interpolation=_EXACT, threads=1)
