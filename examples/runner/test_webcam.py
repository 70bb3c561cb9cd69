"""The camera script, with a picture that is made here in the place of a camera's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from livepeer.runner.frames import VideoFrame

SCRIPT = Path(__file__).with_name("webcam.py")
LIMIT_S = 60


def webcam(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    usual = {"WEBCAM_DEVICE": "test", "WEBCAM_RES": "160x120", "WEBCAM_FPS": "15"}
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        env={**os.environ, **usual, **environment},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def pictures(path: Path) -> list[av.VideoFrame]:
    with av.open(str(path), format="mpegts") as container:
        return list(container.decode(video=0))


def check_gray(shown: list[av.VideoFrame]) -> None:
    assert len(shown) > 5
    assert {(frame.width, frame.height) for frame in shown} == {(160, 120)}
    for frame in shown:
        y, u, v = VideoFrame(frame).planes
        assert y.std() > 30
        assert abs(u.astype(int) - 128).max() <= 2
        assert abs(v.astype(int) - 128).max() <= 2
    # On a busy machine a live stream leaves pictures out, and the others keep their times.
    steps = 15 * np.diff([float(frame.pts * frame.time_base) for frame in shown])
    assert np.allclose(steps, np.maximum(steps.round(), 1), atol=0.03)


@pytest.mark.slow
def test_without_a_window_what_comes_out_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "out.ts"

    ended = webcam("live_grayscale", "--seconds", "1", "--output", output, SKIP_VIEWER="1")

    assert ended.returncode == 0, ended.stderr
    check_gray(pictures(output))


@pytest.mark.slow
def test_the_window_gets_what_comes_out(tmp_path: Path) -> None:
    viewer = tmp_path / "ffplay"
    viewer.write_text(f"#!/bin/sh\nexec cat > {tmp_path}/shown.ts\n")
    viewer.chmod(0o755)

    ended = webcam("live_grayscale", "--seconds", "1", PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert ended.returncode == 0, ended.stderr
    check_gray(pictures(tmp_path / "shown.ts"))


@pytest.mark.slow
def test_closing_the_window_ends_it(tmp_path: Path) -> None:
    viewer = tmp_path / "ffplay"
    viewer.write_text("#!/bin/sh\nexec head -c 20000 > /dev/null\n")
    viewer.chmod(0o755)

    ended = webcam("live_grayscale", PATH=f"{tmp_path}:{os.environ['PATH']}")

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"WEBCAM_DEVICE": "/dev/none"}, "camera /dev/none does not give 160x120 at 15 frames"),
        ({"WEBCAM_RES": "big"}, "WEBCAM_RES is 'big'"),
        ({"WEBCAM_FPS": "0"}, "WEBCAM_FPS is '0'"),
        ({"SKIP_VIEWER": "0", "PATH": "/nonexistent"}, "there is no ffplay"),
    ],
)
def test_what_is_missing_is_said_in_a_line(environment: dict[str, str], said: str) -> None:
    ended = webcam("live_grayscale", **{"SKIP_VIEWER": "1", **environment})

    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {said}")
    assert ended.stderr.count("\n") == 1
