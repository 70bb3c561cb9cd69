"""byoc_write_frames: what came out, picture by picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


async def test_every_picture_goes_through_at_its_rate(
    network: Callable, run: Callable, tmp_path: Path
) -> None:
    output = tmp_path / "out.ts"
    async with network("live_grayscale", "Grayscale", live_policy="wait") as url:
        ended = await run(
            *("byoc_write_frames", "--orchestrator", url, "live-grayscale"),
            *("--fps", "20", "--seconds", "1", "--output", output),
        )

    assert (ended.status, ended.err) == (0, "")
    with av.open(str(output)) as container:
        shown = list(container.decode(video=0))
    assert [round(20 * (frame.time - shown[0].time)) for frame in shown] == list(range(20))
    for number, frame in enumerate(shown):
        picture = frame.to_ndarray(format="rgb24").astype(int)
        assert picture.shape == (180, 320, 3)
        # Gray, and the white bar where it was drawn.
        assert np.ptp(picture, axis=2).max() < 12
        bar = np.flatnonzero(picture[..., 1].mean(axis=0) > 200)
        assert abs(bar.mean() - (number * 4 + 7.5)) < 2


@pytest.mark.parametrize("fps", ["0", "0.5"])
async def test_a_rate_below_one_is_refused_in_a_line(run: Callable, fps: str) -> None:
    ended = await run(
        "byoc_write_frames", "--orchestrator", "http://127.0.0.1:9", "any", "--fps", fps
    )

    assert "it is from 1 to 240" in ended.error
