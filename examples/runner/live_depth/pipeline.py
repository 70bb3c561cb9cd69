"""How near each point of a live stream is, by Depth Anything V2: bright is near, dark is far."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from pydantic import Field
from torch.nn import functional

from livepeer.runner import BaseParams, LivePipeline, model_dir, serve

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from livepeer.runner.frames import VideoFrame

PATCH = 14
# Of the pictures that the model was trained with, in RGB from 0 to 1.
MEAN = (0.485, 0.456, 0.406)
DEVIATION = (0.229, 0.224, 0.225)


class DepthParams(BaseParams):
    """What a caller may set, at the start and while the stream runs."""

    size: int = Field(
        518,
        ge=28,
        le=1036,
        description="Pixels of the shorter side as the model sees it; fewer are faster.",
    )
    smoothing: float = Field(
        0.9, ge=0, lt=1, description="How slowly black and white follow the nearest and farthest."
    )


class LiveDepth(LivePipeline):
    """A gray picture of the depth, of the source's size; the sound is copied through."""

    Params = DepthParams
    checkpoint: ClassVar[str] = "depth-anything/Depth-Anything-V2-Base-hf"

    @classmethod
    def prepare_models(cls) -> None:
        """Download the model, when an image is built."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            cls.checkpoint,
            local_dir=model_dir() / cls.checkpoint,
            allow_patterns=["*.json", "*.safetensors"],
        )

    def setup(self) -> None:
        """Load the model from where `prepare_models` left it."""
        folder = model_dir() / self.checkpoint
        if not folder.is_dir():
            raise FileNotFoundError(f"no model in {folder}: run once with PREPARE_MODELS=1")
        from transformers import AutoModelForDepthEstimation

        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if cuda else "cpu")
        self.dtype = torch.float16 if cuda else torch.float32
        model = AutoModelForDepthEstimation.from_pretrained(
            folder, dtype=self.dtype, local_files_only=True
        )
        self.model = model.to(self.device).eval()
        self.mean = torch.tensor(MEAN, device=self.device).view(1, 3, 1, 1)
        self.deviation = torch.tensor(DEVIATION, device=self.device).view(1, 3, 1, 1)

    @torch.inference_mode()
    def process_video(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The depth of one picture, (height, width)."""
        picture = frame.to_tensor(device=self.device).permute(0, 3, 1, 2)
        height, width = picture.shape[-2:]
        scale = self.stream.params.size / min(height, width)
        seen = [max(round(side * scale / PATCH), 1) * PATCH for side in (height, width)]
        small = functional.interpolate(picture, seen, mode="bilinear", antialias=True)
        normal = ((small + 1) / 2 - self.mean) / self.deviation
        depth = self.model(pixel_values=normal.to(self.dtype)).predicted_depth.float()
        low, high = self._span(depth)
        depth = ((depth - low) / max(high - low, 1e-6)).clamp(0, 1)
        whole = functional.interpolate(depth[None], (height, width), mode="bilinear")
        return (whole[0, 0] * 255).to(torch.uint8).cpu().numpy()

    def _span(self, depth: torch.Tensor) -> tuple[float, float]:
        """What is black and what is white: the extremes, smoothed, or the picture would flicker."""
        low, high = (float(extreme) for extreme in depth.aminmax())
        state, keep = self.stream.state, self.stream.params.smoothing
        if "span" in state:
            old_low, old_high = state["span"]
            low, high = low + keep * (old_low - low), high + keep * (old_high - high)
        state["span"] = low, high
        return low, high


if __name__ == "__main__":
    serve(LiveDepth)
