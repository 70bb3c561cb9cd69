"""Make a live stream greener: the function form of a pipeline, on tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from livepeer.runner import BaseParams, pipeline, serve

if TYPE_CHECKING:
    import torch

    from livepeer.runner.frames import VideoFrame


class GreenParams(BaseParams):
    """What a caller may set, at the start and while the stream runs."""

    amount: float = Field(0.3, ge=-2, le=2, description="Added to green, which is from -1 to 1.")


@pipeline(name="green-shift", params=GreenParams)
def green_shift(frame: VideoFrame, params: GreenParams) -> torch.Tensor:
    """Add to the green channel of each picture."""
    picture = frame.to_tensor()
    picture[..., 1] = (picture[..., 1] + params.amount).clamp(-1, 1)
    return picture


if __name__ == "__main__":
    serve(green_shift)
