"""The clip through the served pipeline: its colour goes, its luma and its sound stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np

from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.testing import live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType


async def test_colour_goes_and_luma_and_sound_stay(
    load: Callable[[str], ModuleType], small_clip: Path, segments: list[bytes]
) -> None:
    async with live_session(load("live_grayscale").Grayscale) as session:
        await session.publish(*segments[:2])
        output = await session.frames()

    shown = [frame for frame in output if isinstance(frame, VideoFrame)]
    sound = [frame for frame in output if isinstance(frame, AudioFrame)]
    assert len(shown) == 50
    with av.open(str(small_clip)) as container:
        for raw, frame in zip(container.decode(video=0), shown, strict=False):
            given, *colours = VideoFrame(raw).planes
            luma, *chroma = frame.planes
            assert max(plane.std() for plane in colours) > 1
            assert all(abs(plane.astype(int) - 128).max() <= 2 for plane in chroma)
            assert abs(luma.astype(int) - given).mean() < 6
    assert np.allclose(np.diff([frame.time for frame in shown]), 0.04, atol=0.001)
    assert sum(frame.samples / frame.sample_rate for frame in sound) > 1.9


def test_a_picture_is_changed_in_place_and_the_next_ones_are_not(
    load: Callable[[str], ModuleType], clip: Path
) -> None:
    grayscale = load("live_grayscale").Grayscale()
    with av.open(str(clip)) as container:
        for _, raw in zip(range(10), container.decode(video=0), strict=False):
            luma = raw.to_ndarray()[: raw.height].copy()
            assert raw.to_ndarray()[raw.height :].std() > 1
            frame = grayscale.process_video(VideoFrame(raw))
            assert np.array_equal(frame.planes[0], luma)
            assert all((plane == 128).all() for plane in frame.planes[1:])
