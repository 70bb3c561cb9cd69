"""Streams of many kinds, through a runner on real channels."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.runner import LivePipeline
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.testing import live_session
from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioEncoder,
    Kind,
    Segmenter,
    VideoEncoder,
)

from . import measure
from .clips import Pictures, Sound, write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

STEP = 3600
_BOTH: dict[Kind, str] = {"video": "h264", "audio": "aac"}
_REORDERED = {"bf": "3", "g": "15", "x264-params": "b-adapt=0"}
_IRREGULAR = tuple(np.cumsum([(17, 33, 40, 100, 250)[n % 5] for n in range(30)]) / 1000)


class Flip(LivePipeline):
    """Negative luma, so that what was not processed shows."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.planes[0][:] = 255 - frame.planes[0]
        return frame


class FlipAndPass(Flip):
    async def process_audio(self, frame: AudioFrame) -> AudioFrame:
        return frame


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What an unknown sender sends, in one piece."""

    pictures: Pictures | None = field(default_factory=Pictures)
    sound: Sound | None = field(default_factory=Sound)
    options: Mapping[str, str] = field(default_factory=dict[str, str])


SENT = {
    "B-frames": Sent(pictures=Pictures(options=_REORDERED)),
    "uneven times": Sent(pictures=Pictures(times=_IRREGULAR), sound=Sound(spans=((0.0, 2.6),))),
    "HEVC, AC-3 5.1": Sent(
        pictures=Pictures(codec="libx265", options={"x265-params": "log-level=error"}),
        sound=Sound(codec="ac3", layout="5.1(side)"),
    ),
    "MPEG-2, MP2 at 44.1 kHz": Sent(
        pictures=Pictures(codec="mpeg2video"), sound=Sound(codec="mp2", rate=44_100)
    ),
    "Opus": Sent(sound=Sound(codec="libopus")),
    "LATM": Sent(options={"mpegts_flags": "latm"}),
    "AAC mono": Sent(sound=Sound(layout="mono", rate=44_100)),
    "no sound": Sent(sound=None),
    "no pictures": Sent(pictures=None),
    "sound with a hole": Sent(sound=Sound(spans=((0.0, 0.6), (1.4, 2.0)), mark_s=1.5)),
}


@pytest.mark.parametrize("name", SENT)
@pytest.mark.parametrize("pipeline", [Flip, FlipAndPass])
async def test_a_stream_comes_out_whole_and_level(
    name: str, pipeline: type[LivePipeline], tmp_path: Path
) -> None:
    sent = SENT[name]
    source, output = tmp_path / "in.ts", tmp_path / "out.ts"
    await asyncio.to_thread(write, source, sent.pictures, sent.sound, options=sent.options)
    async with live_session(pipeline(), segment_s=0.5) as session:
        await session.publish(source.read_bytes())
        output.write_bytes(await session.output())
        end = await session.event("end_of_stream")
    assert end["hook_errors"] == end["video_dropped"] == 0

    given, taken = measure.video(source), measure.video(output)
    sound, heard = measure.audio(source), measure.audio(output)
    assert (given is None, sound is None) == (taken is None, heard is None)
    if given is not None and taken is not None:
        assert np.abs(taken.offsets - given.offsets).max() < 0.001
        for mine, theirs in zip(taken.luma, given.luma, strict=True):
            assert np.abs(255 - mine.astype(int) - theirs).mean() < 8
    if sound is not None and heard is not None:
        assert heard.seconds == pytest.approx(sound.seconds, abs=0.1)
        assert heard.end - heard.begin == pytest.approx(sound.end - sound.begin, abs=0.06)
    if sound and heard and given and taken:
        begins = (heard.begin - taken.times[0]) - (sound.begin - given.times[0])
        assert abs(begins) < 0.04


def _picture(number: int, shift: int) -> VideoFrame:
    grey = np.full((90 * 3 // 2, 160), 128, np.uint8)
    grey[:90] = 30 + number * 2
    raw = av.VideoFrame.from_ndarray(grey, format="yuv420p")
    raw.pts, raw.time_base = number * STEP + shift, TIME_BASE
    return VideoFrame(raw)


def _pictures(numbers: Iterable[int], shift: int = 0) -> list[AccessUnit]:
    encoder = VideoEncoder()
    return [unit for number in numbers for unit in encoder.encode(_picture(number, shift))]


def _sound(begin_s: float, end_s: float, rate: int = 48_000, shift: int = 0) -> list[AccessUnit]:
    encoder, units = AudioEncoder(), list[AccessUnit]()
    for first in range(round(begin_s * rate), round(end_s * rate), 1024):
        wave = np.sin(np.arange(first, first + 1024) * 0.06).astype(np.float32) / 4
        raw = av.AudioFrame.from_ndarray(np.stack([wave, wave]), "fltp", "stereo")
        raw.sample_rate, raw.time_base = rate, Fraction(1, rate)
        raw.pts = first + shift * rate // 90_000
        units += encoder.encode(AudioFrame(raw))
    return units + encoder.flush()


def _cut(segmenter: Segmenter, *tracks: list[AccessUnit]) -> list[bytes]:
    segments: list[bytes] = []
    for unit in sorted((unit for track in tracks for unit in track), key=lambda unit: unit.dts):
        piece = segmenter.add(unit)
        if piece.starts or not segments:
            segments.append(b"")
        segments[-1] += piece.data
    return segments


@dataclass
class Out:
    """What came out, decoded."""

    pictures: list[VideoFrame]
    sound: list[AudioFrame]

    @property
    def numbers(self) -> list[int]:
        """Which pictures, by what `Flip` made of them."""
        lumas = [float(frame.planes[0].mean()) for frame in self.pictures]
        return [round((255 - luma - 30) / 2) for luma in lumas]


async def _through(pipeline: LivePipeline, segments: list[bytes]) -> Out:
    async with live_session(pipeline, segment_s=0.5) as session:
        await session.publish(*segments)
        frames = await session.frames()
        end = await session.event("end_of_stream")
    assert end["hook_errors"] == end["video_dropped"] == 0
    return Out(
        [frame for frame in frames if isinstance(frame, VideoFrame)],
        [frame for frame in frames if isinstance(frame, AudioFrame)],
    )


@pytest.mark.parametrize("pipeline", [Flip, FlipAndPass])
async def test_sound_that_the_program_gains_and_loses(pipeline: type[LivePipeline]) -> None:
    video, segmenter = _pictures(range(90)), Segmenter({"video": "h264"})
    segments = _cut(segmenter, video[:30])
    segmenter.change(_BOTH)
    segments += _cut(segmenter, video[30:60], _sound(1.2, 2.4))
    segmenter.change({"video": "h264"})
    segments += _cut(segmenter, video[60:])

    out = await _through(pipeline(), segments)

    assert [frame.pts // STEP for frame in out.pictures] == list(range(90))
    assert out.numbers == pytest.approx(list(range(90)), abs=1)
    assert out.sound[0].time == pytest.approx(1.2, abs=0.05)
    seconds = sum(frame.samples / frame.sample_rate for frame in out.sound)
    assert seconds == pytest.approx(1.2, abs=0.1)


@pytest.mark.parametrize("pipeline", [Flip, FlipAndPass])
async def test_a_source_that_is_started_anew(pipeline: type[LivePipeline]) -> None:
    shift = 20 * 90_000
    segmenter = Segmenter(_BOTH)
    segments = _cut(segmenter, _pictures(range(40), shift), _sound(0, 1.6, shift=shift))
    segments += _cut(segmenter, _pictures(range(50)), _sound(0, 2.0))

    out = await _through(pipeline(), segments)

    times = [n * STEP + shift for n in range(40)] + [n * STEP for n in range(50)]
    assert [frame.pts for frame in out.pictures] == times
    assert out.numbers == pytest.approx([*range(40), *range(50)], abs=1)
    anew = [frame.time for frame in out.sound if frame.time < 10]
    assert anew[0] == pytest.approx(0, abs=0.05)
    assert anew[-1] == pytest.approx(2.0, abs=0.1)


async def test_pictures_go_on_at_once_while_listed_sound_is_silent() -> None:
    """In a stream that is still running: the session is not ended to make it give them."""
    segments = _cut(Segmenter(_BOTH), _pictures(range(40)))
    async with live_session(FlipAndPass(), segment_s=0.5) as session:
        await session.publish(*segments)
        # All of them, though no sound ever came; only so is the last not waiting for any.
        await session.event("stats", video_out=40)
        assert len([f for f in await session.frames() if isinstance(f, VideoFrame)]) == 40


async def test_what_nobody_overrides_is_relayed_byte_for_byte_whatever_it_is(
    tmp_path: Path,
) -> None:
    source = tmp_path / "in.ts"
    await asyncio.to_thread(
        write,
        source,
        Pictures(codec="libx265", options={"x265-params": "log-level=error"}),
        Sound(codec="libopus"),
    )
    body = source.read_bytes()
    async with live_session(LivePipeline()) as session:
        await session.publish(body[:50_001], body[50_001:], b"not MPEG-TS at all")
        assert await session.output() == body + b"not MPEG-TS at all"
