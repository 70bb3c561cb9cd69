"""The README's first command on clips that nobody prepared."""

from __future__ import annotations

import random
import re
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest

from . import measure
from .clips import Pictures, Sound, write
from .command import GRAYSCALE, finish, resident_bytes, run, start

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future
    from pathlib import Path

    from .command import Finished

_REORDERED = {"bf": "3", "g": "15", "x264-params": "b-adapt=0"}
_QUICK_VP9 = {"deadline": "realtime", "cpu-used": "8"}
_RANDOM = random.Random(7)
_IRREGULAR = tuple(np.cumsum([_RANDOM.choice((17, 33, 40, 100, 250)) for _ in range(40)]) / 1000)
_WRAP_S = 2**33 / 90_000


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip, and what is particular about it."""

    file: str = "clip.mp4"
    pictures: Pictures | None = field(default_factory=Pictures)
    sound: Sound | None = field(default_factory=Sound)
    start_s: float = 0.0
    options: Mapping[str, str] = field(default_factory=dict[str, str])


def _video(file: str = "clip.mp4", sound: Sound | None = None, **of: object) -> Clip:
    return Clip(file=file, pictures=Pictures(**of), sound=sound)  # type: ignore[arg-type]


def _audio(file: str = "clip.mp4", **of: object) -> Clip:
    return Clip(file=file, sound=Sound(**of))  # type: ignore[arg-type]


_AAC_4S = Sound(spans=((0.0, 4.0),))

CLIPS = {
    "no audio": Clip(sound=None),
    "audio only": Clip(pictures=None),
    "one picture": _video(seconds=0.04),
    "16x16, mono": _video(size=(16, 16), sound=Sound(layout="mono")),
    "24000/1001 a second": _video(rate=Fraction(24000, 1001), sound=Sound()),
    "60 a second, 640x360, 44.1 kHz, flv": _video(
        "clip.flv", Sound(rate=44_100), rate=Fraction(60), size=(640, 360)
    ),
    "15 a second, 322x182, PCM, mov": _video(
        "clip.mov", Sound(codec="pcm_s16le"), rate=Fraction(15), size=(322, 182)
    ),
    "odd size, H.264 4:4:4": _video(size=(321, 181), format="yuv444p", sound=Sound()),
    "odd size, VP9, Opus, webm": _video(
        "clip.webm",
        Sound(codec="libopus"),
        codec="libvpx-vp9",
        size=(321, 181),
        options=_QUICK_VP9,
    ),
    "odd size, MPEG-4, MP3, avi": _video(
        "clip.avi", Sound(codec="libmp3lame"), codec="mpeg4", size=(321, 181)
    ),
    "variable rate, mkv": _video("clip.mkv", _AAC_4S, times=_IRREGULAR),
    "B-frames, open groups": _video(
        seconds=4.0,
        options=_REORDERED | {"flags": "-cgop", "x264-params": "open-gop=1:b-adapt=0:bframes=3"},
        sound=_AAC_4S,
    ),
    "B-frames, one group": _video(
        seconds=4.0, options={"bf": "3", "g": "1000", "sc_threshold": "0"}, sound=_AAC_4S
    ),
    "B-frames, ts": _video("clip.ts", Sound(), options=_REORDERED),
    "B-frames, avi": _video("clip.avi", Sound(codec="libmp3lame"), options=_REORDERED),
    "bare H.264": _video("clip.h264"),
    "audio starts late": _audio(spans=((1.5, 4.0),), mark_s=2.0),
    "audio ends in the middle": Clip(
        pictures=Pictures(seconds=6.0), sound=Sound(spans=((0.0, 2.0),))
    ),
    "audio has a hole": Clip(
        pictures=Pictures(seconds=4.0), sound=Sound(spans=((0.0, 1.5), (2.5, 4.0)))
    ),
    "audio has a hole, MP3, mkv": Clip(
        file="clip.mkv",
        pictures=Pictures(seconds=4.0),
        sound=Sound(codec="libmp3lame", spans=((0.0, 1.5), (2.5, 4.0))),
    ),
    "audio of a few packets": Clip(
        pictures=Pictures(seconds=4.0), sound=Sound(spans=((3.8, 3.85),), mark_s=9.0)
    ),
    "video starts late": _video(
        times=tuple(1 + number / 25 for number in range(50)),
        mark_s=2.0,
        sound=Sound(spans=((0.0, 3.0),), mark_s=2.0),
    ),
    "HEVC, AC-3, ts at a large offset": Clip(
        file="clip.ts",
        pictures=Pictures(codec="libx265", options={"x265-params": "log-level=error"}),
        sound=Sound(codec="ac3"),
        start_s=80_000.0,
    ),
    "ts across the wrap of its clock": Clip(file="clip.ts", start_s=_WRAP_S - 1.5),
    "10 bit": _video(format="yuv420p10le"),
    "full range": _video(format="yuvj420p"),
    "rotated": _video(degrees=90, sound=Sound()),
    "anamorphic, VP9, FLAC, mkv": _video(
        "clip.mkv",
        Sound(codec="flac"),
        codec="libvpx-vp9",
        options=_QUICK_VP9,
        aspect=Fraction(4, 3),
    ),
}


class Played(NamedTuple):
    """A clip that went through `livepeer dev`, and how that ended."""

    source: Path
    output: Path
    finished: Finished


@pytest.fixture(scope="module")
def played(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Mapping[str, Future[Played]]]:
    """The clips that are asked for, two at a time: half of each run is a process that begins."""
    names = [
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.originalname == test_a_clip_comes_out_gray_and_whole.__name__
    ]
    with ThreadPoolExecutor(max_workers=2) as pool:
        yield {
            name: pool.submit(_play, CLIPS[name], tmp_path_factory.mktemp("clip")) for name in names
        }
        pool.shutdown(cancel_futures=True)


def _play(clip: Clip, folder: Path) -> Played:
    source = write(
        folder / clip.file, clip.pictures, clip.sound, start_s=clip.start_s, options=clip.options
    )
    output = folder / "gray.mp4"
    arguments = ("--input", source, "--output", output, "--fast")
    return Played(source, output, run("dev", GRAYSCALE, *arguments))


# Each of these shares its way through the code with one of the others.
_RARER = {
    "24000/1001 a second",
    "B-frames, one group",
    "audio has a hole",
    "bare H.264",
    "one picture",
    "odd size, VP9, Opus, webm",
    "60 a second, 640x360, 44.1 kHz, flv",
    "15 a second, 322x182, PCM, mov",
    "10 bit",
}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[pytest.mark.slow] if name in _RARER else []) for name in CLIPS],
)
def test_a_clip_comes_out_gray_and_whole(name: str, played: Mapping[str, Future[Played]]) -> None:
    source, output, finished = played[name].result()

    assert finished.status == 0, finished.err
    assert "error" not in finished.err
    left = sorted(path.name for path in output.parent.iterdir())
    assert left == sorted((source.name, output.name))
    _compare(source, output)


def test_of_a_damaged_file_what_can_be_read_comes_out(tmp_path: Path) -> None:
    source = write(
        tmp_path / "clip.mp4",
        Pictures(seconds=4.0),
        Sound(spans=((0.0, 4.0),)),
        options={"movflags": "faststart"},
    )
    whole = source.read_bytes()
    source.write_bytes(whole[: len(whole) * 6 // 10])

    finished = run("dev", GRAYSCALE, "--input", source, "--output", tmp_path / "gray.mp4", "--fast")

    assert finished.status == 1
    assert re.search(
        "clip.mp4 (cannot be read on|is cut: its last .* are missing)", finished.error()
    )
    taken, heard = measure.video(tmp_path / "gray.mp4"), measure.audio(tmp_path / "gray.mp4")
    assert taken is not None
    assert heard is not None
    assert 20 < len(taken.times) < 100
    assert abs(heard.end - taken.times[-1]) < 1.0


def test_a_stream_at_a_price_is_paid_by_a_key_of_its_own(tmp_path: Path) -> None:
    source = write(tmp_path / "clip.mp4", Pictures(seconds=1.0), None)

    finished = run("dev", GRAYSCALE, "--input", source, "--fast", "--price", "7")

    assert finished.status == 0, finished.err
    paid = re.search(r"^paid: (\d+) wei$", finished.err, re.MULTILINE)
    assert paid is not None
    # A minute at least is paid for at the start.
    assert int(paid[1]) >= 60 * 7


@pytest.mark.slow
def test_a_long_clip_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    seconds = 150.0
    source = write(
        tmp_path / "clip.mp4",
        Pictures(seconds=seconds, size=(64, 36)),
        Sound(spans=((0.0, seconds),)),
    )
    output = tmp_path / "gray.mp4"

    process = start("dev", GRAYSCALE, "--input", source, "--output", output, "--fast")
    recorded: list[int] = []
    used: list[int] = []
    while process.poll() is None:
        recorded.append(_recorded_bytes(output))
        used.append(resident_bytes(process.pid))
        time.sleep(0.05)

    finished = finish(process)
    assert finished.status == 0, finished.err
    assert "3750 frames in, 3750 out, 0 dropped" in finished.err
    _compare(source, output)
    # With a quarter of the clip recorded all of the program is loaded; most of the clip is not.
    loaded = next(n for n, size in enumerate(recorded) if 4 * size > max(recorded))
    assert max(used[loaded:]) - max(used[:loaded]) < 16 * 1024 * 1024


def _recorded_bytes(output: Path) -> int:
    """How much there is of what will be an output; 0 before and after."""
    for part in output.parent.glob(f".{output.name}.*"):
        with suppress(FileNotFoundError):
            return part.stat().st_size
    return 0


def _compare(source: Path, output: Path) -> None:
    given, taken = measure.video(source), measure.video(output)
    sound, heard = measure.audio(source), measure.audio(output)
    assert (given is None) == (taken is None)
    assert (sound is None) == (heard is None)
    if given is not None and taken is not None:
        _compare_video(given, taken)
    if sound is not None and heard is not None:
        _compare_audio(sound, heard)
    if sound is None or heard is None or given is None or taken is None:
        return
    begins = (heard.begin - taken.times[0]) - (sound.begin - given.times[0])
    assert abs(begins) < 0.040
    assert (sound.mark is None) == (heard.mark is None)
    if sound.mark is not None and heard.mark is not None:
        assert abs((heard.mark - taken.mark) - (sound.mark - given.mark)) < 0.040


def _compare_video(given: measure.Video, taken: measure.Video) -> None:
    assert len(taken.times) == len(given.times)
    assert np.abs(taken.offsets - given.offsets).max() < 0.002
    assert taken.chroma_error <= 2
    assert taken.aspect == pytest.approx(given.aspect, rel=0.01)
    (width, height) = given.size
    assert taken.size == (width + width % 2, height + height % 2)
    if taken.size == given.size:
        for mine, theirs in zip(taken.luma, given.luma, strict=True):
            assert np.abs(mine.astype(int) - theirs).mean() < 6


def _compare_audio(sound: measure.Audio, heard: measure.Audio) -> None:
    assert heard.end - heard.begin == pytest.approx(sound.end - sound.begin, abs=0.050)
    assert heard.seconds == pytest.approx(sound.seconds, abs=0.050)
