"""What hooks may return, when they may answer, and what callers see while they cannot."""

from __future__ import annotations

import asyncio
import gc
import queue
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
from pydantic import BaseModel, Field

from livepeer.runner import LivePipeline
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.testing import LiveSession, Refused, live_session
from livepeer.trickle import JSONPublisher
from livepeer.trickle.media import TIME_BASE, EncoderOptions, Segmenter, VideoEncoder

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

STEP = 3000
SIZE = (96, 160, 3)


def level(n: int) -> int:
    """The brightness of picture `n`; far enough from its neighbours' to be told after coding."""
    return 30 + n * 37 % 190


def clip(frames: int, per_segment: int = 10, first: int = 0) -> list[bytes]:
    length_s = (per_segment - 0.5) / 30
    encoder = VideoEncoder(EncoderOptions(key_every_s=length_s))
    segmenter = Segmenter({"video": "h264"}, segment_s=length_s)
    segments: list[bytes] = []
    for n in range(first, first + frames):
        raw = av.VideoFrame.from_ndarray(np.full(SIZE, level(n), np.uint8), format="rgb24")
        raw.pts, raw.time_base = n * STEP, TIME_BASE
        for unit in encoder.encode(VideoFrame(raw)):
            piece = segmenter.add(unit)
            if piece.starts:
                segments.append(b"")
            segments[-1] += piece.data
    assert len(segments) == -(-frames // per_segment)
    return segments


async def paced(session: LiveSession, frames: int, first: int = 0) -> None:
    """Publish as a camera would, in segments of a tenth of a second."""
    began = time.monotonic()
    for at, segment in enumerate(clip(frames, per_segment=3, first=first)):
        await session.publish(segment)
        await asyncio.sleep(max(0.0, began + (at + 1) * 0.1 - time.monotonic()))


def numbers(frames: list[VideoFrame | AudioFrame]) -> list[int]:
    """Which source each picture has the time of."""
    return [frame.pts // STEP for frame in frames]


def brightness(frame: VideoFrame | AudioFrame) -> float:
    assert isinstance(frame, VideoFrame)
    return float(frame.to_ndarray("rgb24").mean())


class Arrays(LivePipeline):
    def process_video(self, frame: VideoFrame) -> Any:
        inverted = 255 - frame.to_ndarray("rgb24")
        return {0: inverted, 1: [inverted], 2: None}[frame.pts // STEP % 3]


async def test_arrays_lists_and_nothing():
    async with live_session(Arrays()) as session:
        await session.publish(*clip(30))
        frames = await session.frames()
    assert numbers(frames) == [n for n in range(30) if n % 3 != 2]
    assert all(abs(brightness(f) - (255 - level(f.pts // STEP))) < 6 for f in frames)


class Twice(LivePipeline):
    """Each picture, and half a step later the same again."""

    @staticmethod
    def again(frame: VideoFrame) -> VideoFrame:
        copy = VideoFrame.from_ndarray(frame.to_ndarray("rgb24"), like=frame)
        copy.raw.pts = frame.pts + STEP // 2
        return copy


class Generates(Twice):
    def process_video(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        yield frame
        yield self.again(frame)


class GeneratesLater(Twice):
    async def process_video(self, frame: VideoFrame) -> AsyncIterator[VideoFrame]:
        yield frame
        await asyncio.sleep(0.002)
        yield self.again(frame)


@pytest.mark.parametrize("pipeline", [Generates, GeneratesLater])
async def test_generators_send_each_item(pipeline: type[LivePipeline]):
    async with live_session(pipeline()) as session:
        await session.publish(*clip(20))
        frames = await session.frames()
    assert [frame.pts for frame in frames] == [n * STEP // 2 for n in range(40)]


class Unordered(LivePipeline):
    frames_in_flight = 4

    def __init__(self) -> None:
        self.open = self.most_open = 0

    async def process_video(self, frame: VideoFrame) -> VideoFrame:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        await asyncio.sleep(0.02 * (3 - frame.pts // STEP % 4))
        self.open -= 1
        return frame


async def test_frames_in_flight_keep_their_order():
    pipeline = Unordered()
    async with live_session(pipeline) as session:
        await session.publish(*clip(40))
        assert numbers(await session.frames()) == list(range(40))
    assert pipeline.most_open == 4


class Batches(LivePipeline):
    """Answers four frames at a time, from a thread of its own; and late ones, and one twice."""

    def on_stream_start(self, params: Any) -> None:
        self.waiting: list[VideoFrame] = []
        self.threads: list[threading.Thread] = []

    def process_video(self, frame: VideoFrame) -> None:
        self.waiting.append(frame)
        if len(self.waiting) == 4:
            batch, self.waiting = self.waiting, []
            stream = self.stream
            thread = threading.Thread(target=self.work, args=(stream, batch))
            thread.start()
            thread.join()

    def work(self, stream: Any, batch: list[VideoFrame]) -> None:
        for frame in batch[:3]:
            stream.emit_frame(255 - frame.to_ndarray("rgb24"), like=frame)
        with pytest.raises(TypeError, match="pass like="):
            stream.emit_frame(batch[3].to_ndarray("rgb24"))
        stream.emit_frame(batch[1])


async def test_emitted_frames_go_out_in_order_and_late_ones_are_counted():
    async with live_session(Batches(), emit_drain_s=0.3) as session:
        await session.publish(*clip(24))
        frames = await session.frames()
        counts = await session.event("end_of_stream")
    assert numbers(frames) == [n for n in range(24) if n % 4 != 3]
    assert all(abs(brightness(f) - (255 - level(f.pts // STEP))) < 6 for f in frames)
    assert counts["dropped"] == {"late": 6}


class Paced(BaseModel):
    factor: int = Field(2, ge=1, le=9)
    name: str = "none"


class Parameterised(LivePipeline):
    Params = Paced

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def on_stream_start(self, params: Paced) -> None:
        self.stream.state["count"] = 0
        self.seen.append(("start", params.model_copy()))

    def on_params_update(self, params: Paced) -> None:
        self.stream.state["count"] += 1
        self.seen.append(("update", params.model_copy()))
        if params.name == "refused by the hook":
            raise ValueError("no such name")


async def test_parameters_are_validated_and_an_update_names_what_changes():
    pipeline = Parameterised()
    async with live_session(pipeline, params=None) as session:
        await session.update({"factor": 3.0})
        with pytest.raises(Refused, match="factor") as refused:
            await session.update({"factor": 10, "name": "never"})
        assert refused.value.status == 422
        assert '"loc":["body","factor"]' in refused.value.body.replace(" ", "")
        with pytest.raises(Refused, match="no such name"):
            await session.update({"name": "refused by the hook"})
        assert pipeline.stream.params == Paced(factor=3)
        await session.update({"name": "kept"})
        url = f"{session.control_url}"
        async with JSONPublisher(url) as control:
            await control.publish({"factor": "many"})
            error = await session.event("error")
        assert "factor" in str(error["message"])
        assert pipeline.stream.params == Paced(factor=3, name="kept")
        assert pipeline.stream.state == {"count": 3}
    assert pipeline.seen == [
        ("start", Paced()),
        ("update", Paced(factor=3)),
        ("update", Paced(factor=3, name="refused by the hook")),
        ("update", Paced(factor=3, name="kept")),
    ]


async def test_a_start_whose_parameters_do_not_fit_names_the_field():
    with pytest.raises(Refused) as refused:
        async with live_session(Parameterised(), params={"factor": 0}):
            pass
    assert refused.value.status == 422
    assert '"loc":["body","params","factor"]' in refused.value.body.replace(" ", "")


class Reloads(LivePipeline):
    reloading = False

    async def on_params_update(self, params: Any) -> None:
        self.reloading = True
        await asyncio.sleep(1.0)
        self.reloading = False

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        assert not self.reloading
        return frame


def gaps_s(frames: list[VideoFrame | AudioFrame]) -> float:
    times = [frame.time for frame in frames]
    return max(b - a for a, b in pairwise(times))


def is_overlay(frame: VideoFrame | AudioFrame) -> bool:
    """A wheel: the middle of the picture is not as bright as its ring, and nothing is flat."""
    assert isinstance(frame, VideoFrame)
    return float(frame.to_ndarray("gray").std()) > 3


async def test_a_reload_shows_the_overlay_and_publishing_never_stops():
    async with live_session(Reloads(), live_policy="drop") as session:
        sending = asyncio.create_task(paced(session, 90))
        await asyncio.sleep(0.8)
        await session.update({"model": "other"})
        await sending
        frames = await session.frames()
        counts = await session.event("end_of_stream")
    overlays = [frame.time for frame in frames if is_overlay(frame)]
    assert 0.5 < overlays[-1] - overlays[0] < 2.0
    assert gaps_s(frames) < 0.5
    assert not is_overlay(frames[0])
    assert not is_overlay(frames[-1])
    assert counts["hook_errors"] == 0
    assert counts["dropped"]["away"] >= len(overlays) - 2


class Hangs(LivePipeline):
    def __init__(self) -> None:
        self.go_on = threading.Event()

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        if frame.pts // STEP == 20:
            self.go_on.wait(20)
        return frame


async def test_a_hook_that_hangs_is_covered_until_it_answers():
    pipeline = Hangs()
    options = {"live_policy": "drop", "overlay_after_s": 0.15, "hook_timeout_s": 0.4}
    async with live_session(pipeline, **options) as session:
        sending = asyncio.create_task(paced(session, 75))
        async with asyncio.timeout(20):
            status, health = 200, {"status": "OK"}
            while health["status"] == "OK":
                await asyncio.sleep(0.02)
                status, health = await session.get("/health")
        assert (status, health["status"]) == (200, "ERROR")
        assert "has not returned" in health["message"]
        await asyncio.sleep(0.5)
        pipeline.go_on.set()
        await sending
        frames = await session.frames()
        assert (await session.get("/health"))[1]["status"] == "OK"
    covered = [frame for frame in frames if is_overlay(frame)]
    assert len(covered) > 5
    assert gaps_s(frames) < 0.5
    assert not is_overlay(frames[-1])
    # The last picture that was published, darkened: never the source's own.
    assert all(brightness(frame) < level(19) / 2 + 25 for frame in covered[2:])


class Slow(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        time.sleep(0.1)
        return frame


async def test_a_slow_hook_has_a_bounded_latency():
    async with live_session(Slow(), live_policy="drop") as session:
        await paced(session, 75)
        frames = await session.frames()
        counts = await session.event("end_of_stream")
    assert counts["dropped"]["slow"] > 30
    # Without a bound it is 5 s at the end; one of half a second is for a quiet machine.
    assert counts["latency_ms"]["p99"] < 2000
    assert numbers(frames) == sorted(set(numbers(frames)))


class Later(LivePipeline):
    def process_video(self, frame: VideoFrame) -> None:
        self.emit_frame(frame)


async def test_a_clock_that_begins_anew_makes_no_frame_late():
    async with live_session(Later(), emit_drain_s=0.3) as session:
        await session.publish(*clip(20, first=60))
        await session.publish(*clip(20, first=0))
        frames = await session.frames()
        counts = await session.event("end_of_stream")
    assert counts["dropped"] == {}
    assert numbers(frames) == [*range(60, 80), *range(20)]


class Exits(LivePipeline):
    """Raises what is no ordinary exception, wherever it can."""

    async def process_video(self, frame: VideoFrame) -> VideoFrame:
        if frame.pts // STEP % 3 == 1:
            raise SystemExit(3)
        if frame.pts // STEP % 3 == 2:
            raise asyncio.CancelledError
        return frame

    def on_params_update(self, params: Any) -> None:
        raise Unsayable

    def on_stream_stop(self) -> None:
        raise SystemExit(4)


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


async def test_no_exception_of_a_hook_is_an_order_to_the_runner():
    async with live_session(Exits()) as session:
        with pytest.raises(Refused, match="Unsayable"):
            await session.update({"a": 1})
        await session.publish(*clip(12))
        assert numbers(await session.frames()) == [0, 3, 6, 9]
        counts = await session.event("end_of_stream")
        assert counts["hook_errors"] == 8
        error = await session.event("error")
        await session.stop()
        assert (await session.get("/health"))[1]["status"] == "IDLE"
    assert "SystemExit: 3" in str(error["message"])


class Endless(LivePipeline):
    def __init__(self) -> None:
        self.given = self.closed = 0

    def process_video(self, frame: VideoFrame) -> Iterator[VideoFrame]:
        try:
            while True:
                self.given += 1
                yield frame
        finally:
            self.closed += 1


class EndlessLater(Endless):
    async def process_video(self, frame: VideoFrame) -> AsyncIterator[VideoFrame]:
        try:
            while True:
                self.given += 1
                yield frame
                await asyncio.sleep(0)
        finally:
            self.closed += 1


@pytest.mark.parametrize("kind", [Endless, EndlessLater])
async def test_a_generator_ends_with_its_stream(kind: type[Endless]):
    pipeline = kind()
    async with live_session(pipeline) as session:
        await session.publish(*clip(10))
        await asyncio.sleep(0.5)
        await session.stop()
        # The next frame's may have begun just before the end; it ends as well.
        given = -1
        async with asyncio.timeout(5):
            while not pipeline.closed or pipeline.given != given:
                given = pipeline.given
                await asyncio.sleep(0.2)


class Gathers(LivePipeline):
    async def on_params_update(self, params: Any) -> None:
        await asyncio.sleep(0.2)
        if "bad" in params:
            raise ValueError("bad")


async def test_updates_at_the_same_time_are_all_applied():
    pipeline = Gathers()
    async with live_session(pipeline, params={"x": 0}) as session:
        results = await asyncio.gather(
            session.update({"a": 1}),
            session.update({"bad": 1}),
            session.update({"b": 2}),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [type(None), Refused, type(None)]
        assert pipeline.stream.params == {"x": 0, "a": 1, "b": 2}


@pytest.mark.parametrize("kind", [Parameterised, Gathers])
async def test_numbers_that_json_has_not_are_refused(kind: type[LivePipeline]):
    async with live_session(kind(), heartbeat_interval_s=0.1) as session:
        with pytest.raises(Refused) as refused:
            await session.update({"deep": [{"factor": float("nan")}]})
        assert refused.value.status == 422
        assert "factor" in refused.value.body
        seen = sum(event["type"] == "status" for event in session.events)
        await asyncio.sleep(0.5)
        assert sum(event["type"] == "status" for event in session.events) > seen


class VerySlow(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        time.sleep(0.35)
        return VideoFrame.from_ndarray(np.full(SIZE, 250, np.uint8), like=frame)


async def test_a_hook_that_is_always_slow_is_seen_and_not_covered():
    async with live_session(VerySlow(), live_policy="drop", overlay_after_s=0.25) as session:
        await paced(session, 90)
        frames = await session.frames()
    mine = [frame for frame in frames if brightness(frame) > 240]
    assert len(mine) >= 4
    assert frames.index(mine[0]) <= 25, "only the first answers are covered"
    assert not any(is_overlay(frame) for frame in frames[frames.index(mine[0]) :])


def test_an_update_that_returns_at_once_shows_no_overlay():
    async def run() -> None:
        async with live_session(Slider(), live_policy="drop") as session:
            sending = asyncio.create_task(paced(session, 60))
            for n in range(15):
                await asyncio.sleep(0.1)
                await session.update({"n": n})
            await sending
            assert not any(is_overlay(frame) for frame in await session.frames())

    asyncio.run(run())


class Slider(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        time.sleep(0.09)
        return frame


class Identity(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return frame


async def test_an_ended_stream_keeps_no_codec_and_no_picture():
    held = (VideoEncoder, VideoFrame)
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) in held for thing in gc.get_objects())
        async with live_session(Identity()) as session:
            await session.publish(*clip(10))
            await session.frames()
            await session.stop()
            # The collector would hide what refers to itself.
            async with asyncio.timeout(10):
                while sum(type(one) in held for one in gc.get_objects()) > before:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
    finally:
        gc.enable()


class Holds(LivePipeline):
    """A new picture every fifth frame, else the last one again."""

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        if frame.pts // STEP % 5 == 0:
            self.stream.state["held"] = frame
        return self.stream.state["held"]


class Scribbles(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        before = self.stream.state.get("before")
        if before is not None:
            before.planes[0][:] = 235
        self.stream.state["before"] = frame
        return frame


async def test_a_picture_that_is_answered_again_has_the_time_of_its_new_source():
    async with live_session(Holds()) as session:
        await session.publish(*clip(30))
        frames = await session.frames()
    assert numbers(frames) == list(range(30))
    assert all(abs(brightness(f) - level(n // 5 * 5)) < 6 for n, f in enumerate(frames))


async def test_a_write_into_an_answered_picture_is_not_published():
    async with live_session(Scribbles()) as session:
        await session.publish(*clip(30))
        frames = await session.frames()
    assert all(abs(brightness(f) - level(n)) < 6 for n, f in enumerate(frames))


class FromAThread(LivePipeline):
    """Emits, from a thread that outlives streams, whatever comes last."""

    frames: queue.SimpleQueue[VideoFrame | None]

    def setup(self) -> None:
        self.frames = queue.SimpleQueue()
        self.hold = threading.Event()
        threading.Thread(target=self.work, daemon=True).start()

    def teardown(self) -> None:
        self.frames.put(None)

    def work(self) -> None:
        while (frame := self.frames.get()) is not None:
            self.hold.wait(10)
            self.emit_frame(255 - frame.to_ndarray("rgb24"), like=frame)

    def process_video(self, frame: VideoFrame) -> None:
        self.frames.put(frame)


async def test_a_frame_goes_to_no_other_stream_than_its_own():
    pipeline = FromAThread()
    async with live_session(pipeline, emit_drain_s=0.3) as session:
        await session.publish(*clip(10))
        await session.event("stats", last_segment_in=0)
        await session.stop()
        async with session.another("other") as other:
            pipeline.hold.set()
            await asyncio.sleep(0.3)
            await other.publish(*clip(10, first=20))
            assert numbers(await other.frames()) == list(range(20, 30))
