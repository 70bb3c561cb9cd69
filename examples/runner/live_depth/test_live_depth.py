"""The clip through the served pipeline, with a model that was taught to take dark for near."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from livepeer.runner.errors import SetupFailed
from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)

SIZE = 70
STEPS = 20


def write_checkpoint(folder: Path, pictures: list[NDArray[np.uint8]], example: ModuleType) -> None:
    """Depth Anything V2 with 34,000 parameters, for which the depth is the want of light."""
    torch.manual_seed(0)
    config = transformers.DepthAnythingConfig(
        backbone_config=transformers.Dinov2Config(
            image_size=SIZE,
            patch_size=example.PATCH,
            hidden_size=16,
            num_hidden_layers=4,
            num_attention_heads=2,
            mlp_ratio=2,
            out_indices=[1, 2, 3, 4],
            apply_layernorm=True,
            reshape_hidden_states=False,
        ),
        reassemble_hidden_size=16,
        neck_hidden_sizes=[8, 8, 8, 8],
        fusion_hidden_size=8,
        head_hidden_size=8,
    )
    model = transformers.DepthAnythingForDepthEstimation(config)
    for module in model.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            torch.nn.init.xavier_normal_(module.weight)
    # The head ends in a ReLU, which must not be dead from the beginning.
    torch.nn.init.constant_(model.head.conv3.bias, 3.0)

    stack = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255
    small = torch.nn.functional.interpolate(stack, (SIZE, 126), mode="area")
    near = 1 + 4 * (1 - torch.nn.functional.avg_pool2d(small.mean(1), 5, 1, 2))
    mean, deviation = (
        torch.tensor(values).view(3, 1, 1) for values in (example.MEAN, example.DEVIATION)
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        depth = model(pixel_values=(small - mean) / deviation).predicted_depth
        torch.nn.functional.mse_loss(depth, near).backward()
        optimizer.step()
    model.save_pretrained(folder)


def likeness(one: NDArray[np.uint8], other: NDArray[np.floating]) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.slow
async def test_a_gray_picture_of_the_depth_comes_out(
    load: Callable[[str], ModuleType],
    segments: list[bytes],
    pictures: list[NDArray[np.uint8]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = load("live_depth")
    write_checkpoint(tmp_path / example.LiveDepth.checkpoint, pictures[::33], example)
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))

    async with live_session(example.LiveDepth, params={"size": SIZE}) as session:
        await session.publish(*segments[:1])
        shown = [frame for frame in await session.frames() if isinstance(frame, VideoFrame)]

    assert len(shown) == 25
    for picture, frame in zip(pictures, shown, strict=False):
        depth, *chroma = frame.planes
        assert depth.shape == picture.shape[:2]
        assert all(abs(plane.astype(int) - 128).max() <= 2 for plane in chroma)
        assert depth.std() > 15
        # Taking the colour out alone would be like the picture, and not its opposite.
        assert likeness(depth, picture.mean(axis=-1)) < -0.4


async def test_without_a_model_the_error_says_how_to_get_one(
    load: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    with pytest.raises(SetupFailed) as failed:
        async with live_session(load("live_depth").LiveDepth, setup_failure_linger_s=0):
            pass
    assert "PREPARE_MODELS=1" in str(failed.value.__cause__)
