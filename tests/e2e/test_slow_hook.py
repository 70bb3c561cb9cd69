"""Hooks that are slow, that drop, that raise, and none at all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from . import measure
from .clips import Pictures, Sound, write
from .command import Finished, run

if TYPE_CHECKING:
    from pathlib import Path

_FRAMES = 100
_PIPELINE = """
import time
from livepeer.runner import LivePipeline

class Hooked(LivePipeline):
    count = 0
{hook}
"""
_SLOW = """
    def process_video(self, frame):
        time.sleep(0.08)
        return frame
"""
_DROPPING = """
    def process_video(self, frame):
        return None
"""
_RAISING = """
    def process_video(self, frame):
        self.count += 1
        if self.count == 30:
            raise ValueError("thirty is too much")
        return frame
"""


def _clip(folder: Path, sound: Sound | None = None) -> Path:
    pictures = Pictures(seconds=4.0, options={"g": "12", "bf": "0", "sc_threshold": "0"})
    return write(folder / "clip.mp4", pictures, sound)


def _run(folder: Path, hook: str, source: Path, *options: str) -> tuple[Finished, Path]:
    pipeline = folder / "hooked.py"
    pipeline.write_text(_PIPELINE.format(hook=hook))
    output = folder / "out.mp4"
    return run("dev", pipeline, "--input", source, "--output", output, *options), output


def _counts(finished: Finished) -> tuple[int, ...]:
    found = re.search(r"(\d+) frames in, (\d+) out, (\d+) dropped", finished.err)
    assert found, finished.err
    return tuple(map(int, found.groups()))


@pytest.mark.slow
def test_a_file_waits_for_a_slow_hook(tmp_path: Path) -> None:
    source = _clip(tmp_path, Sound(spans=((0.0, 4.0),)))

    finished, output = _run(tmp_path, _SLOW, source)

    assert finished.status == 0, finished.err
    assert _counts(finished) == (_FRAMES, _FRAMES, 0)
    given, taken = measure.video(source), measure.video(output)
    assert given is not None
    assert taken is not None
    assert np.allclose(taken.offsets, given.offsets, atol=0.002)
    assert _payload(output) == _payload(source)


@pytest.mark.slow
def test_a_live_stream_drops_what_a_slow_hook_cannot_take(tmp_path: Path) -> None:
    source = _clip(tmp_path, Sound(spans=((0.0, 4.0),)))

    finished, output = _run(tmp_path, _SLOW, source, "--live")

    assert finished.status == 0, finished.err
    went_in, came_out, dropped = _counts(finished)
    assert went_in == _FRAMES
    assert 10 < dropped == went_in - came_out < 80
    taken = measure.video(output)
    assert taken is not None
    assert len(taken.times) == came_out
    assert _payload(output) == _payload(source)


def test_a_hook_may_drop_every_picture(tmp_path: Path) -> None:
    source = _clip(tmp_path, Sound(spans=((0.0, 4.0),)))

    finished, output = _run(tmp_path, _DROPPING, source, "--fast")

    assert finished.status == 0, finished.err
    assert _counts(finished) == (_FRAMES, 0, _FRAMES)
    assert measure.video(output) is None
    assert _payload(output) == _payload(source)


def test_a_stream_of_which_nothing_comes_out_is_an_error(tmp_path: Path) -> None:
    finished, output = _run(tmp_path, _DROPPING, _clip(tmp_path), "--fast")

    assert finished.status == 1
    assert _counts(finished) == (_FRAMES, 0, _FRAMES)
    assert finished.error() == f"nothing came out, so {output} was not written"
    assert "recorded" not in finished.err
    assert not output.exists()


def test_a_hook_that_raises_loses_its_frame_and_no_other(tmp_path: Path) -> None:
    finished, output = _run(tmp_path, _RAISING, _clip(tmp_path), "--fast")

    assert finished.status == 1
    assert _counts(finished) == (_FRAMES, _FRAMES - 1, 1)
    errors = [line for line in finished.err.splitlines() if line.startswith("error: ")]
    assert errors == ["error: Hooked.process_video() raised ValueError: thirty is too much"]
    assert "hooked.py" in finished.err  # the log has the place
    taken = measure.video(output)
    assert taken is not None
    assert len(taken.times) == _FRAMES - 1


@pytest.mark.parametrize("options", [{"bf": "0", "g": "12"}, {"bf": "3", "g": "30"}])
def test_what_nobody_changes_is_passed_on_as_it_is(tmp_path: Path, options: dict[str, str]) -> None:
    source = write(
        tmp_path / "clip.mp4",
        Pictures(seconds=4.0, options=options),
        Sound(spans=((0.0, 4.0),)),
    )

    finished, output = _run(tmp_path, "", source, "--fast")

    assert finished.status == 0, finished.err
    assert _counts(finished) == (_FRAMES, _FRAMES, 0)
    assert _slices(output) == _slices(source)
    assert _payload(output) == _payload(source)


def _payload(path: Path) -> list[bytes]:
    audio = measure.audio(path)
    assert audio is not None
    return audio.payload


def _slices(path: Path) -> list[tuple[float, list[bytes]]]:
    """The coded pictures with their times; MP4 has lengths where a stream has start codes."""
    pictures: list[tuple[float, list[bytes]]] = []
    with av.open(str(path)) as container:
        for packet in container.demux(container.streams.video[0]):
            if packet.pts is None:
                continue
            data, units, at = bytes(packet), [], 0
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                units.append(data[at + 4 : at + 4 + size])
                at += 4 + size
            coded = [unit for unit in units if unit[0] & 0x1F in (1, 5)]
            pictures.append((round(float(packet.pts * packet.time_base), 3), coded))
    return pictures
