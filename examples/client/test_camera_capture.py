"""camera_capture where there is no camera: a picture, and a video."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from livepeer.client.media.pattern import pattern_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


async def test_a_test_picture_goes_in_and_a_file_comes_out(
    network: Callable, run: Callable, tmp_path: Path
) -> None:
    picture, video = tmp_path / "out.png", tmp_path / "out.mp4"
    async with network("live_grayscale", "Grayscale", live_policy="wait") as url:
        common = ("camera_capture", "--orchestrator", url, "live-grayscale", "--seconds", "0.5")
        still = await run(*common, "--camera", "/dev/none", "--output", picture)
        moving = await run(*common, "--camera", "test", "--output", video)

    assert still.status == moving.status == 0
    assert "a test picture goes in, for there is no camera /dev/none" in still.err
    assert moving.err == ""
    assert moving.out == f"15 pictures went in, 15 came out: {video}\n"
    (last,) = pictures(picture)
    assert last.shape == (360, 640, 3)
    assert np.ptp(last.astype(int), axis=2).max() < 12
    assert pattern_number(last) == 14
    assert [pattern_number(shown) for shown in pictures(video)] == list(range(15))


async def test_a_file_that_cannot_be_written_is_told_before_anything_is_sent(
    run: Callable, tmp_path: Path
) -> None:
    ended = await run(
        *("camera_capture", "--orchestrator", "http://127.0.0.1:9", "any"),
        *("--camera", "test", "--output", tmp_path / "out.doc"),
    )

    assert "out.doc cannot be written" in ended.error
