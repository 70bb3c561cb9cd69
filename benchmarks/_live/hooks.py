"""What the hooks of ours do; loaded by name where the stage is isolated."""

from __future__ import annotations

import time
from importlib import import_module
from typing import TYPE_CHECKING

from livepeer.runner import LivePipeline

from .job import IDENTITY, NUMPY, RELAY, SLOW, SLOW_S, TENSOR

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    from livepeer.runner.frames import VideoFrame


class Relay(LivePipeline):
    """Overrides nothing."""


class Identity(LivePipeline):
    """Touches every picture and changes none."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        """The same picture."""
        return frame


class Slow(LivePipeline):
    """A model of ten pictures per second."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        """The same picture, late."""
        time.sleep(SLOW_S)
        return frame


class Numpy(LivePipeline):
    """The negative, through an array of RGB."""

    def process_video(self, frame: VideoFrame) -> NDArray[np.uint8]:
        """The negative."""
        return 255 - frame.to_ndarray()


class Tensor(LivePipeline):
    """The negative, through a tensor of float32 in [-1, 1]."""

    def setup(self) -> None:
        """Load torch, as whoever has a model does here."""
        import_module("torch")

    def process_video(self, frame: VideoFrame) -> torch.Tensor:
        """The negative."""
        return -frame.to_tensor()


PIPELINES: dict[str, type[LivePipeline]] = {
    IDENTITY: Identity,
    NUMPY: Numpy,
    TENSOR: Tensor,
    SLOW: Slow,
    RELAY: Relay,
}
