"""The clip through the served pipeline: edges as numpy finds them, by the threshold in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import Refused, live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)

LOW, HIGH = 0.05, 0.3


def edges(picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The strength of the edges from 0 to 1, without the outermost pixels."""
    gray = picture.mean(axis=-1) / 255
    rows = gray[:-2] + 2 * gray[1:-1] + gray[2:]
    columns = gray[:, :-2] + 2 * gray[:, 1:-1] + gray[:, 2:]
    across, down = (rows[:, 2:] - rows[:, :-2]) / 4, (columns[2:] - columns[:-2]) / 4
    return np.hypot(across, down).clip(max=1)


def luma(frame: VideoFrame) -> NDArray[np.float64]:
    """The picture that came out, from 0 to 1, without the outermost pixels."""
    return frame.to_ndarray("rgb24").mean(axis=-1)[1:-1, 1:-1] / 255


async def test_the_edges_are_those_of_the_clip_and_the_threshold_rises_in_mid_stream(
    load: Callable[[str], ModuleType],
    segments: list[bytes],
    pictures: list[NDArray[np.uint8]],
) -> None:
    pipeline = load("edge_detect").EdgeDetect
    async with live_session(pipeline, params={"threshold": LOW}) as session:
        await session.publish(*segments[:1])
        # A refused one changes nothing.
        with pytest.raises(Refused, match="threshold"):
            await session.update({"threshold": 2})
        await session.publish(*segments[1:2])
        await session.event("stats", video_out=50)
        await session.update({"threshold": HIGH})
        await session.publish(*segments[2:4])
        shown = [frame for frame in await session.frames() if isinstance(frame, VideoFrame)]

    assert len(shown) == 100
    found = [edges(picture) for picture in pictures]
    for strength, frame in zip(found[:50], shown[:50], strict=True):
        drawn = luma(frame)
        assert (
            np.corrcoef(drawn.ravel(), np.where(strength >= LOW, strength, 0).ravel())[0, 1] > 0.9
        )
        assert np.median(drawn[strength < LOW / 2]) < 0.02
    # Of the edges between the two thresholds, those of the second half are gone.
    weak = [(strength >= LOW) & (strength < HIGH * 0.8) for strength in found]
    before = [luma(frame)[mask].mean() for frame, mask in zip(shown[:50], weak, strict=False)]
    after = [luma(frame)[mask].mean() for frame, mask in zip(shown[50:], weak[50:], strict=False)]
    assert min(before) > 0.05
    assert max(after) < 0.03


async def test_what_was_prepared_is_what_it_works_with(
    load: Callable[[str], ModuleType],
    segments: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))
    pipeline = load("edge_detect").EdgeDetect
    pipeline.prepare_models()
    weights = tmp_path / "edge_detect" / "sobel.pt"
    torch.save(torch.zeros_like(torch.load(weights, weights_only=True)), weights)

    async with live_session(pipeline) as session:
        await session.publish(*segments[:1])
        shown = [frame for frame in await session.frames() if isinstance(frame, VideoFrame)]

    assert len(shown) == 25
    assert max(luma(frame).max() for frame in shown) < 0.02
