"""in_out_composite: each picture stands beside the one that became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from livepeer.client.media.pattern import Pattern, pattern_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COUNT = 30


def make_clip(path: Path) -> None:
    """Test pictures that say which they are; the times are not those of a steady rate."""
    pattern = Pattern(320, 180)
    with av.open(str(path), "w") as output:
        video = output.add_stream("libx264", rate=30)
        video.width, video.height, video.options = 320, 180, {"preset": "ultrafast", "g": "15"}
        for number in range(COUNT):
            frame = av.VideoFrame.from_ndarray(pattern.picture(number), format="rgb24")
            frame.pts = number + number // 10
            output.mux(video.encode(frame))
        output.mux(video.encode(None))


async def test_before_and_after_are_side_by_side(
    network: Callable, run: Callable, tmp_path: Path
) -> None:
    clip, both = tmp_path / "clip.mp4", tmp_path / "both.mp4"
    make_clip(clip)
    async with network("live_grayscale", "Grayscale", live_policy="wait") as url:
        ended = await run(
            *("in_out_composite", "--orchestrator", url, "live-grayscale", "--fast"),
            *("--input", clip, "--output", both),
        )

    assert (ended.status, ended.err) == (0, "")
    with av.open(str(both)) as container:
        assert container.streams.video[0].pix_fmt == "yuv420p"
        shown = list(container.decode(video=0))
    assert [round(30 * frame.time) for frame in shown] == [n + n // 10 for n in range(COUNT)]
    for number, frame in enumerate(shown):
        picture = frame.to_ndarray(format="rgb24")
        assert picture.shape == (180, 640, 3)
        before, after = picture[:, :320], picture[:, 320:]
        assert pattern_number(before) == pattern_number(after) == number
        assert np.ptp(before.astype(int), axis=2).max() > 150
        assert np.ptp(after.astype(int), axis=2)[:, 8:].max() < 40


async def test_a_clip_that_is_missing_is_told_in_a_line(run: Callable, tmp_path: Path) -> None:
    ended = await run(
        *("in_out_composite", "--orchestrator", "http://127.0.0.1:9", "any"),
        *("--input", tmp_path / "none.mp4"),
    )

    assert "there is no file" in ended.error
