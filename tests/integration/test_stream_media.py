"""Media through a stream: pictures and sound in, changed or copied, and out with their times."""

from __future__ import annotations

import asyncio
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.runner import LivePipeline
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioEncoder,
    BytePipe,
    Item,
    Kind,
    MediaReader,
    Segmenter,
    VideoEncoder,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from conftest import Network, Watch, Watched
    from livepeer.client import BYOCJob, Client

FRAMES = 45
STEP = 3600  # 25 pictures a second
START = 90_000  # not at 0: the first sound is a little before its time, by the coder's nature
TIMES = [START + n * STEP for n in range(FRAMES)]
RATE = 48_000
WAIT = {"live_policy": "wait"}  # no picture may be dropped, however busy the machine is
DELIMITER = b"\0\0\0\1\x09\xf0"  # a transport stream has one before each picture
BOTH: dict[Kind, str] = {"video": "h264", "audio": "aac"}


def samples(frame: AudioFrame) -> NDArray[np.float32]:
    return np.asarray(frame.to_ndarray(), np.float32)


class Invert(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.planes[0][:] = 255 - frame.planes[0]
        return frame


class Shift(LivePipeline):
    """Adds a constant to every sample."""

    async def process_audio(self, frame: AudioFrame) -> AudioFrame:
        return AudioFrame.from_ndarray(samples(frame) + np.float32(0.25), like=frame)


class Nothing(LivePipeline):
    pass


def picture(n: int) -> VideoFrame:
    """Plain grey that grows brighter."""
    grey = np.full((90 * 3 // 2, 160), 128, np.uint8)
    grey[:90] = 20 + n * 4
    raw = av.VideoFrame.from_ndarray(grey, format="yuv420p")
    raw.pts, raw.time_base = TIMES[n], TIME_BASE
    return VideoFrame(raw)


def luma(frame: VideoFrame) -> float:
    return float(frame.planes[0].mean())


def video_units() -> list[AccessUnit]:
    encoder = VideoEncoder()
    return [unit for n in range(FRAMES) for unit in encoder.encode(picture(n))]


def tone(seconds: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.asarray(np.sin(seconds * (2 * np.pi * 440)) / 4)


def audio_units() -> list[AccessUnit]:
    encoder, units = AudioEncoder(), list[AccessUnit]()
    for n in range(FRAMES * STEP * RATE // 90_000 // 1024):
        wave = tone(np.arange(n * 1024, (n + 1) * 1024) / RATE)
        raw = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), "fltp")
        raw.sample_rate, raw.pts, raw.time_base = RATE, RATE + n * 1024, Fraction(1, RATE)
        units += encoder.encode(AudioFrame(raw))
    return units


@pytest.fixture(scope="module")
def clip() -> list[AccessUnit]:
    """1.8 s of H.264 and AAC in the order of a stream."""
    return sorted(video_units() + audio_units(), key=lambda unit: unit.dts)


def cut(units: list[AccessUnit], codecs: dict[Kind, str] = BOTH) -> list[bytes]:
    """Two segments: a server holds the last five, so that none is lost on the way in."""
    segmenter, segments = Segmenter(codecs, segment_s=1.0), list[bytes]()
    for unit in units:
        piece = segmenter.add(unit)
        if piece.starts:
            segments.append(b"")
        segments[-1] += piece.data
    return segments


async def through(job: BYOCJob, watched: Watched, segments: list[bytes]) -> list[bytes]:
    """Send segments and close the input; the segments that came out until the output's end."""
    async with job.publisher() as publisher:
        for segment in segments:
            await publisher.write_segment(segment)
        # Not before the runner has read all: a closed channel forgets what nobody asked for.
        await watched.event("stats", segments_in=len(segments))
    end = await watched.event("end_of_stream")
    await watched.output(end["segments"])
    return watched.segments


async def read(segments: list[bytes], *decode: Kind) -> list[Item]:
    """What a decoder makes of the segments, in one run."""
    pipe = BytePipe(limit_bytes=1 << 30)
    await pipe.write(b"".join(segments))
    pipe.close()
    return await asyncio.to_thread(lambda: list(MediaReader(pipe, decode=frozenset(decode))))


def coded(items: list[Item] | list[AccessUnit], kind: Kind) -> list[tuple[int, bytes]]:
    units = [item for item in items if isinstance(item, AccessUnit) and item.kind == kind]
    return [(unit.pts, unit.data.removeprefix(DELIMITER)) for unit in units]


def check_sound(items: list[Item]) -> None:
    """The tone of the clip, shifted by the hook, each sample at its time."""
    sound = [item for item in items if isinstance(item, AudioFrame)]
    for frame in sound[4:-4]:
        seconds = (frame.pts - START) / 90_000 + np.arange(frame.samples) / RATE
        assert np.abs(samples(frame) - (tone(seconds) + 0.25)).mean() < 0.01
    assert abs(sum(frame.samples for frame in sound) / RATE - FRAMES * STEP / 90_000) < 0.1


@pytest.mark.signed
async def test_pictures_are_changed_and_sound_is_copied(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    async with (
        network.serve(Invert(), **WAIT) as runner,
        await direct.start_stream(runner.name) as job,
    ):
        watched = await watch(job)
        segments = await through(job, watched, cut(clip))
        counts = await watched.event("end_of_stream")
    items = await read(segments, "video")
    frames = [item for item in items if isinstance(item, VideoFrame)]
    assert [frame.pts for frame in frames] == TIMES
    for n, frame in enumerate(frames):
        assert abs(luma(frame) - (255 - luma(picture(n)))) < 2
    assert coded(items, "audio") == coded(clip, "audio")
    assert (counts["video_in"], counts["video_out"], counts["video_dropped"]) == (FRAMES, FRAMES, 0)


async def test_each_segment_that_comes_out_stands_alone(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    async with (
        network.serve(Invert(), segment_s=0.5, **WAIT) as runner,
        await direct.start_stream(runner.name) as job,
    ):
        segments = await through(job, await watch(job), cut(clip))
    assert len(segments) > 2
    pictures = [
        [item.pts for item in await read([segment], "video") if isinstance(item, VideoFrame)]
        for segment in segments
    ]
    assert all(pictures)
    assert [pts for segment in pictures for pts in segment] == TIMES


async def test_sound_is_changed_and_pictures_are_copied(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    async with (
        network.serve(Shift(), **WAIT) as runner,
        await direct.start_stream(runner.name) as job,
    ):
        items = await read(await through(job, await watch(job), cut(clip)), "audio")
    assert coded(items, "video") == coded(clip, "video")
    check_sound(items)


async def test_sound_without_pictures(network: Network, direct: Client, watch: Watch) -> None:
    units = audio_units()
    async with (
        network.serve(Shift(), **WAIT) as runner,
        await direct.start_stream(runner.name) as job,
    ):
        segments = await through(job, await watch(job), cut(units, {"audio": "aac"}))
        items = await read(segments, "audio")
    check_sound(items)
    assert not coded(items, "video")


async def test_what_nobody_processes_is_relayed_byte_for_byte(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    sent = [*cut(clip), b"\x00not even media\xff" * 1000]
    async with (
        network.serve(Nothing()) as runner,
        await direct.start_stream(runner.name) as job,
    ):
        assert await through(job, await watch(job), sent) == sent


async def test_pictures_come_while_the_segment_is_still_written(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    segmenter = Segmenter(BOTH, segment_s=60)
    async with (
        network.serve(Invert(), **WAIT) as runner,
        await direct.start_stream(runner.name) as job,
        job.publisher() as publisher,
        job.subscriber() as subscriber,
    ):
        segment = await publisher.open_segment()
        for unit in clip:
            await segment.write(segmenter.add(unit).data)
        # Nothing has ended yet, neither here nor there.
        pipe = BytePipe(limit_bytes=1 << 30)
        reading = asyncio.create_task(asyncio.to_thread(_first_picture, pipe))
        async with asyncio.timeout(10):
            async for chunk in await anext(subscriber):
                await pipe.write(chunk)
                if reading.done():
                    break
        pipe.close()
        assert await reading == START
        await segment.close()


def _first_picture(pipe: BytePipe) -> int:
    reader = MediaReader(pipe, decode=frozenset({"video"}))
    return next(item.pts for item in reader if isinstance(item, VideoFrame))


async def test_two_streams_at_once_keep_their_pictures(
    network: Network, direct: Client, watch: Watch, clip: list[AccessUnit]
) -> None:
    async def brightness(name: str) -> float:
        async with await direct.start_stream(name) as job:
            segments = await through(job, await watch(job), cut(clip))
        items = await read(segments, "video")
        frames = [item for item in items if isinstance(item, VideoFrame)]
        assert len(frames) == FRAMES
        return luma(frames[0])

    async with network.serve(Invert(), **WAIT) as one, network.serve(Nothing()) as other:
        results = await asyncio.gather(
            brightness(one.name), brightness(other.name), brightness(one.name)
        )
    grey = luma(picture(0))
    assert results == pytest.approx([255 - grey, grey, 255 - grey], abs=2)
