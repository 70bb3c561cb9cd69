"""The README's first command, on the clip that it names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pytest

from . import measure
from .command import CLIP, GRAYSCALE, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_the_readme_clip_comes_out_gray_and_whole(tmp_path: Path) -> None:
    output = tmp_path / "gray.mp4"

    finished = run("dev", GRAYSCALE, "--input", CLIP, "--output", output, limit_s=110)

    assert finished.status == 0, finished.err
    assert finished.out == ""
    assert re.search(
        r"132 frames in, 132 out, 0 dropped in \d+\.\d s \(\d+\.\d frames per second\)",
        finished.err,
    )
    assert re.search(r"latency: median \d+\.\d ms, 99th percentile \d+\.\d ms", finished.err)
    assert [path.name for path in tmp_path.iterdir()] == ["gray.mp4"]

    given, taken = measure.video(CLIP), measure.video(output)
    assert given is not None
    assert taken is not None
    assert (len(taken.times), taken.size) == (132, (1280, 720))
    assert taken.chroma_error <= 2
    differences = [
        np.abs(mine.astype(int) - theirs).mean()
        for mine, theirs in zip(taken.luma, given.luma, strict=True)
    ]
    assert max(differences) < 6
    assert np.allclose(taken.offsets, given.offsets, atol=0.001)
    assert np.allclose(np.diff(taken.times), 0.04, atol=0.001)
    assert taken.times[-1] - taken.times[0] + 0.04 == pytest.approx(5.28, abs=0.002)

    sound, heard = measure.audio(CLIP), measure.audio(output)
    assert sound is not None
    assert heard is not None
    assert len(heard.payload) == 249
    assert heard.payload == sound.payload  # copied, not encoded again
    assert heard.seconds == pytest.approx(5.312, abs=0.001)
    assert heard.seconds == pytest.approx(sound.seconds, abs=0.001)
    drift = (heard.begin - taken.times[0]) - (sound.begin - given.times[0])
    assert abs(drift) < 0.040
