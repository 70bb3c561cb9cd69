"""Draw the edges of a live stream: the class form of a pipeline, with every hook, in torch."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch.nn import functional

from livepeer.runner import BaseParams, model_dir, pipeline, serve

if TYPE_CHECKING:
    from pathlib import Path

    from livepeer.runner.frames import VideoFrame

_log = logging.getLogger(__name__)


class EdgeParams(BaseParams):
    """What a caller may set, at the start and while the stream runs."""

    threshold: float = Field(
        0.1, ge=0, le=1, description="Weaker edges are black; black beside white is 1."
    )


@pipeline(name="edge-detect", params=EdgeParams)
class EdgeDetect:
    """The strength of the edges in each picture, by Sobel's operator: white on black."""

    @classmethod
    def prepare_models(cls) -> None:
        """When an image is built: keep the kernels, in the place of a model's weights."""
        _weights().parent.mkdir(parents=True, exist_ok=True)
        torch.save(sobel(), _weights())

    def on_ready(self, **params: object) -> None:
        """Once, before the first stream: load what was prepared, where anything was."""
        kernels = torch.load(_weights(), weights_only=True) if _weights().is_file() else sobel()
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.kernels = kernels.to(self.device)
        _log.info("ready on %s with %s", self.device, params)

    def transform(self, frame: VideoFrame, params: EdgeParams) -> torch.Tensor:
        """One picture; `params` are those in force when it came."""
        gray = frame.to_tensor(device=self.device).mean(-1).add(1).div(2)
        across, down = functional.conv2d(
            functional.pad(gray.unsqueeze(0), (1, 1, 1, 1), mode="replicate"), self.kernels
        )[0]
        strength = torch.hypot(across, down).clamp(max=1)
        strength[strength < params.threshold] = 0
        return (strength * 2 - 1)[None, :, :, None].expand(-1, -1, -1, 3)

    def on_update(self, **params: object) -> None:
        """The caller sent other parameters."""
        _log.info("now with %s", params)

    def on_stop(self) -> None:
        """Once, after the last stream: let go of the device's memory."""
        del self.kernels


def sobel() -> torch.Tensor:
    """The kernels across and down, (2, 1, 3, 3)."""
    across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 4
    return torch.stack((across, across.T)).unsqueeze(1)


def _weights() -> Path:
    return model_dir() / "edge_detect" / "sobel.pt"


if __name__ == "__main__":
    serve(EdgeDetect)
