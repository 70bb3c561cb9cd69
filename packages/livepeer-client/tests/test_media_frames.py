"""Frames, coded media and bytes into a job, and out of it as async iterators."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import aclosing, suppress
from fractions import Fraction
from itertools import count, pairwise
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.client import Client, EndReason, LocalSigner, StreamError, StreamLost
from livepeer.client.media import (
    FramePublisher,
    FrameSource,
    TestPattern,
    VideoOutputConfig,
    chunks,
    frames,
    packets,
    segments,
)
from livepeer.client.media.coding import FrameCoder
from livepeer.client.media.pattern import Pattern, pattern_number
from livepeer.client.testing import FakeCapability, fake_orchestrator
from livepeer.trickle import JSONPublisher
from livepeer.trickle.media import AudioFrame, VideoFrame

from .echo import LIMIT_S, Echo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from livepeer.client import BYOCJob
    from livepeer.client.testing import FakeOrchestrator
    from livepeer.trickle.media import AccessUnit

PATTERN = Pattern(192, 108)
RATE = 48_000


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with Echo() as echo:
        yield echo


@pytest.fixture
async def node(echo: Echo) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({"echo": FakeCapability(echo)}) as node:
        yield node


@pytest.fixture
async def client(node: FakeOrchestrator, signer: LocalSigner) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url], signer=signer) as client:
        yield client


@pytest.fixture
async def second() -> AsyncIterator[FakeOrchestrator]:
    async with Echo() as echo, fake_orchestrator({"echo": FakeCapability(echo)}) as node:
        yield node


@pytest.fixture
async def either(
    node: FakeOrchestrator, second: FakeOrchestrator, signer: LocalSigner
) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url, second.url], signer=signer) as client:
        yield client


def number(frame: VideoFrame) -> int:
    return pattern_number(frame.to_ndarray())


async def pictures(job: BYOCJob, count: int | None = None) -> list[VideoFrame]:
    """The first pictures that come out, or all."""
    got: list[VideoFrame] = []
    async with asyncio.timeout(LIMIT_S), aclosing(frames(job)) as coming:
        async for frame in coming:
            assert isinstance(frame, VideoFrame)
            got.append(frame)
            if len(got) == count:
                break
    return got


async def test_arrays_go_in_and_pictures_come_out(client: Client) -> None:
    config = VideoOutputConfig(fps=25, width=384, bitrate_bps=2_000_000, key_every_s=0.4)
    async with await client.start_stream("echo") as job:
        reading = asyncio.create_task(pictures(job))
        async with FramePublisher(job, config) as publisher:
            for n in range(30):
                assert await publisher.write(PATTERN.picture(n))
        got = await reading
    assert [number(frame) for frame in got] == list(range(30))
    assert {(frame.width, frame.height) for frame in got} == {(384, 216)}
    assert [frame.pts for frame in got] == [90_000 + n * 3600 for n in range(30)]
    # What was white, grey and blue is so still.
    image = got[7].to_ndarray()
    for x in (27, 357):
        assert np.abs(image[4, x].astype(int) - PATTERN.picture(7)[2, x // 2]).max() < 12


async def test_frames_keep_their_times_and_are_not_changed(client: Client) -> None:
    async with await client.start_stream("echo") as job:
        reading = asyncio.create_task(pictures(job))
        async with FramePublisher(job) as publisher:
            for n in range(6):
                raw = av.VideoFrame.from_ndarray(PATTERN.picture(n), format="rgb24")
                raw.pts, raw.time_base = 1000 + n * 100, Fraction(1, 1000)
                await publisher.write(raw)
                assert (raw.pts, raw.time_base, raw.format.name) == (
                    1000 + n * 100,
                    Fraction(1, 1000),
                    "rgb24",
                )
            ours = VideoFrame(raw)
            await publisher.write(ours, pts=2000)
            assert ours.pts == 1500
            await publisher.write(PATTERN.picture(9)[..., ::-1], pts=270_000, format="bgr24")
        got = await reading
    assert [round(frame.time, 3) for frame in got] == [1, 1.1, 1.2, 1.3, 1.4, 1.5, 2, 3]
    assert [number(frame) for frame in got] == [0, 1, 2, 3, 4, 5, 5, 9]


async def test_times_rise_and_are_within_the_clock(client: Client) -> None:
    async with await client.start_stream("echo") as job:
        reading = asyncio.create_task(pictures(job))
        async with FramePublisher(job) as publisher:
            assert await publisher.write(PATTERN.picture(0), 93_600)
            for wrong in (50_000, 93_600, -5):
                with pytest.raises(ValueError, match="times have to rise"):
                    await publisher.write(PATTERN.picture(1), wrong)
            for wrong in (2**33, 2**62, 2**80):
                with pytest.raises(ValueError, match="33 bits"):
                    await publisher.write(PATTERN.picture(1), wrong)
            assert await publisher.write(PATTERN.picture(1), 97_200)
        got = await reading
    assert [frame.pts for frame in got] == [93_600, 97_200]


async def test_a_write_that_is_cancelled_leaves_the_coder_to_one_thread(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside, most = 0, 0
    lock = threading.Lock()

    def watched(coding: Callable[..., list[AccessUnit]]) -> Callable[..., list[AccessUnit]]:
        def code(*args: object, **options: object) -> list[AccessUnit]:
            nonlocal inside, most
            with lock:
                inside += 1
                most = max(most, inside)
            try:
                assert threading.current_thread() is not threading.main_thread()
                time.sleep(0.02)
                return coding(*args, **options)
            finally:
                with lock:
                    inside -= 1

        return code

    for name in ("code", "flush"):
        monkeypatch.setattr(FrameCoder, name, watched(getattr(FrameCoder, name)))
    cancelled = 0
    async with await client.start_stream("echo") as job, FramePublisher(job) as publisher:
        assert await publisher.write(PATTERN.picture(0))
        for n in range(12):
            writing = asyncio.create_task(publisher.write(PATTERN.picture(n)))
            async with asyncio.timeout(LIMIT_S):
                while not inside and not writing.done():  # noqa: ASYNC110 - a thread's
                    await asyncio.sleep(0)
            cancelled += writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
            # The frame is the caller's again.
            assert not inside
    assert cancelled == 12
    assert most == 1


async def test_sound_goes_beside_pictures(client: Client) -> None:
    def tone(n: int) -> av.AudioFrame:
        wave = np.sin(np.arange(n * 1920, (n + 1) * 1920) / RATE * 2 * np.pi * 440) / 4
        raw = av.AudioFrame.from_ndarray(wave[None].astype(np.float32), "fltp", "mono")
        raw.sample_rate, raw.pts, raw.time_base = RATE, RATE + n * 1920, Fraction(1, RATE)
        return raw

    heard: list[AudioFrame] = []
    seen: list[int] = []
    async with await client.start_stream("echo") as job:

        async def read() -> None:
            async for frame in frames(job):
                if isinstance(frame, AudioFrame):
                    heard.append(frame)
                else:
                    seen.append(number(frame))

        reading = asyncio.create_task(read())
        async with FramePublisher(job, VideoOutputConfig(fps=25)) as publisher:
            for n in range(50):
                await publisher.write(PATTERN.picture(n))
                await publisher.write(tone(n))
        async with asyncio.timeout(LIMIT_S):
            await reading
    assert seen == list(range(50))
    assert abs(sum(frame.samples for frame in heard) / RATE - 2) < 0.06
    middle = np.concatenate([frame.to_ndarray()[0] for frame in heard[10:60]])
    assert np.abs(np.fft.rfft(middle)).argmax() * RATE / len(middle) == pytest.approx(440, abs=3)


async def test_units_go_in_and_packets_come_out(client: Client) -> None:
    source = iter(TestPattern((192, 108), VideoOutputConfig(fps=10)))
    units = [next(source) for _ in range(25)]
    got: list[AccessUnit] = []
    async with await client.start_stream("echo") as job:

        async def read() -> None:
            got.extend([unit async for unit in packets(job)])

        reading = asyncio.create_task(read())
        async with FramePublisher(job) as publisher:
            # It has to begin with a key frame.
            assert not await publisher.write_unit(units[3])
            assert [await publisher.write_unit(unit) for unit in units] == [True] * 25
            assert publisher.lost == 1
        async with asyncio.timeout(LIMIT_S):
            await reading
    delimiter = b"\0\0\0\1\x09\xf0"
    assert [(unit.pts, unit.key) for unit in got] == [(unit.pts, unit.key) for unit in units]
    assert [unit.data.removeprefix(delimiter) for unit in got] == [unit.data for unit in units]


async def test_bytes_go_in_and_come_out_as_they_are(client: Client, echo: Echo) -> None:
    sent = [b"not media", bytes(range(256)) * 500, b"\0"]
    got = b""
    async with await client.start_stream("echo") as job:
        async with FramePublisher(job) as publisher:
            for data in sent:
                assert await publisher.write_bytes(data)
            with pytest.raises(ValueError, match="frames and units, or bytes"):
                await publisher.write(PATTERN.picture(0))
        async with asyncio.timeout(LIMIT_S):
            async for chunk in chunks(job):
                got += chunk
    assert got == b"".join(sent)
    assert echo.segments == 3


async def test_bytes_that_are_missing_are_told_of(node: FakeOrchestrator, either: Client) -> None:
    got = list[bytes]()
    async with (
        await either.start_stream("echo", reconnect=True) as job,
        asyncio.timeout(2 * LIMIT_S),
        FramePublisher(job, patient=True) as publisher,
        aclosing(chunks(job, on_gap=lambda: got.append(b"gap"))) as coming,
    ):
        await publisher.write_bytes(b"before")
        got.append(await anext(coming))
        await node.kill()
        await job.next_session(job.session)
        await publisher.write_bytes(b"behind")
        got.append(await anext(coming))
    assert got == [b"before", b"gap", b"behind"]


async def test_a_publisher_made_after_a_reconnect_waits_for_the_runner_of_now(
    client: Client, node: FakeOrchestrator, echo: Echo
) -> None:
    async with await client.start_stream("echo", reconnect=True) as job, asyncio.timeout(LIMIT_S):
        first = job.session
        async with JSONPublisher(echo.starts[-1]["events_url"]) as events:
            await events.publish({"type": "stats", "last_segment_in": 100})
        async for _ in job.events():
            break
        echo.turns = asyncio.Semaphore(0)
        node.remove_stream(job.stream_id)
        await job.next_session(first)
        publisher = FramePublisher(job, patient=True, stall_s=0.3)
        for _ in range(3):
            assert await publisher.write_bytes(b"more")
        with pytest.raises(StreamLost, match="nothing moved"):
            await publisher.write_bytes(b"too much")
        for _ in range(3):
            echo.turns.release()
        await publisher.__aexit__(None, None, None)


async def test_an_output_that_was_to_end_and_did_not_come_is_lost(
    client: Client, node: FakeOrchestrator, echo: Echo
) -> None:
    echo.turns = asyncio.Semaphore(0)
    async with await client.start_stream("echo") as job, asyncio.timeout(LIMIT_S):
        reading = asyncio.create_task(_all(chunks(job)))
        async with JSONPublisher(echo.starts[-1]["events_url"]) as events:
            await events.publish({"type": "end_of_stream", "segments": 1})
            async for event in job.events():
                assert event["type"] == "end_of_stream"
                break
            await asyncio.sleep(0)
            await node.kill()
        with pytest.raises(StreamLost):
            await reading


async def _all(items: AsyncIterator[bytes]) -> list[bytes]:
    return [item async for item in items]


async def test_a_patient_writer_loses_no_segment_of_a_slow_runner(
    client: Client, echo: Echo
) -> None:
    echo.turns = asyncio.Semaphore(0)
    sent = [bytes([n]) * (n * 1000 + 1) for n in range(12)]
    written = 0
    async with await client.start_stream("echo") as job:

        async def write() -> None:
            nonlocal written
            async with FramePublisher(job, patient=True) as publisher:
                for data in sent:
                    assert await publisher.write_bytes(data)
                    written += 1

        writing = asyncio.create_task(write())
        async with asyncio.timeout(LIMIT_S), aclosing(segments(job)) as coming:
            for n, data in enumerate(sent):
                # The runner has given n segments, and has not begun the next.
                assert written <= n + 3
                echo.turns.release()
                assert await anext(coming) == data
            await writing
            assert await anext(coming, None) is None


async def test_a_runner_that_tells_nothing_is_not_waited_for_without_an_end(
    client: Client, echo: Echo
) -> None:
    echo.turns = asyncio.Semaphore(0)
    async with await client.start_stream("echo") as job:
        publisher = FramePublisher(job, patient=True, stall_s=0.2)
        for n in range(3):
            assert await publisher.write_bytes(bytes([n]))
        with pytest.raises(StreamLost, match=r"nothing moved for 0.2 s: .* no statistics"):
            await publisher.write_bytes(b"3")
        # Nor at the end.
        with pytest.raises(StreamLost, match="no statistics"):
            await publisher.__aexit__(None, None, None)


async def test_a_segment_that_is_too_large_is_told(client: Client) -> None:
    async with await client.start_stream("echo") as job:
        async with FramePublisher(job) as publisher:
            await publisher.write_bytes(b"123")
        with pytest.raises(StreamError, match="larger than 2 bytes"):
            await anext(segments(job, max_bytes=2))


async def test_frames_wait_for_their_times(client: Client) -> None:
    async with await client.start_stream("echo") as job:
        begin = time.monotonic()
        async with FramePublisher(job, VideoOutputConfig(fps=20), realtime=True) as publisher:
            for n in range(7):
                assert await publisher.write(PATTERN.picture(n))
                # The first is due at once.
                assert time.monotonic() - begin >= n / 20


async def test_an_iterator_that_is_left_lets_go(client: Client) -> None:
    async with await client.start_stream("echo") as job, FramePublisher(job) as publisher:
        for n in range(3):
            await publisher.write(PATTERN.picture(n))
        assert [number(frame) for frame in await pictures(job, 2)] == [0, 1]
        # Another reader, and another end: a reader that waits is cancelled.
        waiting = asyncio.create_task(pictures(job))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    names = {task.get_name() for task in asyncio.all_tasks()}
    assert not names & {"end of the output", "close a reader", "end of a session"}


async def test_writing_after_the_end_says_so(client: Client) -> None:
    job = await client.start_stream("echo")
    async with FramePublisher(job) as publisher:
        await publisher.write(PATTERN.picture(0))
        await job.stop()
        with pytest.raises(StreamError, match="the caller stopped it"):
            await publisher.write(PATTERN.picture(1))


async def test_a_stream_without_media_in_takes_none(client: Client) -> None:
    async with (
        await client.start_stream("echo", video_in=False) as job,
        FramePublisher(job) as publisher,
    ):
        with pytest.raises(StreamError, match="started without video_in"):
            await publisher.write(PATTERN.picture(0))


async def test_an_orchestrator_that_is_lost_ends_reader_and_writer(
    client: Client, node: FakeOrchestrator
) -> None:
    job = await client.start_stream("echo")

    async def write() -> None:
        async with FramePublisher(job) as publisher:
            for n in count():
                await publisher.write(PATTERN.picture(n))
                if n == 20:
                    await node.kill()
                await asyncio.sleep(0.01)

    reading = asyncio.create_task(pictures(job))
    async with asyncio.timeout(LIMIT_S), job:
        with pytest.raises(StreamLost) as written:
            await write()
        with pytest.raises(StreamLost):
            await reading
    assert job.end is not None
    assert job.end.reason is EndReason.ORCHESTRATOR
    assert written.value is job.end.error


async def test_the_stream_goes_on_elsewhere_with_a_key_frame(
    echo: Echo, node: FakeOrchestrator, second: FakeOrchestrator, either: Client
) -> None:
    seen: list[int] = []
    async with (
        await either.start_stream("echo", reconnect=True) as job,
        asyncio.timeout(2 * LIMIT_S),
        FramePublisher(job, VideoOutputConfig(fps=20, key_every_s=60)) as publisher,
    ):

        async def read() -> None:
            async for frame in frames(job):
                assert isinstance(frame, VideoFrame)
                seen.append(number(frame))

        reading = asyncio.create_task(read())
        n = 0
        while not seen:
            await publisher.write(PATTERN.picture(n))
            n += 1
            await asyncio.sleep(0.02)
        await node.kill()
        before = seen[-1]
        while seen[-1] < before + 200 or not job.reconnects:
            await publisher.write(PATTERN.picture(n))
            n += 1
            if job.reconnects and seen[-1] > before + 5:
                break
            await asyncio.sleep(0.02)
        reading.cancel()
    assert job.reconnects[0].to_url == second.url
    assert publisher.lost
    # In order, each as it was, and none but those of the gap is missing.
    assert seen == sorted(set(seen))
    gaps = [b - a for a, b in pairwise(seen) if b - a > 1]
    assert len(gaps) == 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"fps": 0.5}, "fps is 0.5: it is from 1 to 240"),
        ({"fps": float("nan")}, "fps is nan"),
        ({"width": 1}, "width is 1"),
        ({"height": 20_000}, "height is 20000"),
        ({"bitrate_bps": 5}, "bitrate_bps is 5"),
        ({"key_every_s": 0}, "key_every_s is 0"),
    ],
)
def test_a_config_out_of_its_range_is_refused(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        VideoOutputConfig(**wrong)  # type: ignore[arg-type]


def test_the_bit_rate_is_kept() -> None:
    noise = np.random.default_rng(1)

    def third_second(bitrate_bps: int | None) -> int:
        images = (noise.integers(0, 255, (90, 160, 3), np.uint8) for _ in range(60))
        config = VideoOutputConfig(fps=20, bitrate_bps=bitrate_bps)
        return sum(len(unit.data) * 8 for unit in [*FrameSource(images, config)][40:])

    assert third_second(300_000) < 330_000 < third_second(None)
