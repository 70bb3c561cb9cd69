"""Live sessions over a real trickle server, a real HTTP server and real codecs."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import av
import numpy as np
from aiohttp import web

from livepeer.runner import LivePipeline
from livepeer.runner.frames import AudioFrame, VideoFrame
from livepeer.runner.testing import serve
from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleServer, TrickleSubscriber
from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioEncoder,
    BytePipe,
    MediaReader,
    Segmenter,
    VideoEncoder,
)
from livepeer.trickle.messages import decode_message
from livepeer.trickle.testing import serve as serve_app

if TYPE_CHECKING:
    from collections.abc import Callable

FAST = {"heartbeat_interval_s": 0.2, "stats_interval_s": 0.1, "output_linger_s": 0.2}
STEP = 3600


def picture(n: int) -> VideoFrame:
    image = np.full((90, 160, 3), (n * 8) % 256, np.uint8)
    raw = av.VideoFrame.from_ndarray(image, format="rgb24")
    raw.pts, raw.time_base = n * STEP, TIME_BASE
    return VideoFrame(raw)


def clip(frames: int = 50, sound: bool = True) -> list[AccessUnit]:
    video, audio = VideoEncoder(), AudioEncoder()
    units = [unit for n in range(frames) for unit in video.encode(picture(n))]
    if sound:
        for n in range(frames * STEP * 48 // 90 // 1024):
            raw = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
            raw.sample_rate, raw.pts = 48000, n * 1024
            raw.time_base = TIME_BASE * 90 / 48
            units += audio.encode(AudioFrame(raw))
    return sorted(units, key=lambda unit: unit.dts)


@dataclass
class Stream:
    """One stream as the network and the caller see it."""

    trickle: TrickleServer
    base: str
    runner: str
    http: aiohttp.ClientSession
    name: str = "s"
    events: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)

    def url(self, channel: str) -> str:
        return f"{self.base}/{self.name}{channel}"

    async def start(self, *, media: bool = True, params: object = None) -> tuple[int, str]:
        for channel in ("", "-out", "-control", "-events", "-data"):
            self.trickle.create_channel(self.name + channel)
        body: dict[str, object] = {
            "gateway_request_id": self.name,
            "control_url": self.url("-control"),
            "events_url": self.url("-events"),
            "data_url": self.url("-data"),
            "params": params,
        }
        if media:
            body |= {"subscribe_url": self.url(""), "publish_url": self.url("-out")}
        return await self.post("start", json=body)

    async def post(self, verb: str, **body: Any) -> tuple[int, str]:
        headers = {"X-Stream-Id": self.name}
        url = f"{self.runner}/stream/{verb}"
        async with self.http.post(url, headers=headers, **body) as response:
            return response.status, await response.text()

    async def health(self) -> str:
        async with self.http.get(self.runner + "/health") as response:
            return (await response.json())["status"]

    async def send(self, units: list[AccessUnit], codecs: dict[str, str]) -> TricklePublisher:
        segmenter = Segmenter(codecs, segment_s=0.5)
        publisher, segment = TricklePublisher(self.url("")), None
        for unit in units:
            piece = segmenter.add(unit)
            if piece.starts:
                if segment is not None:
                    await segment.close()
                segment = await publisher.open_segment()
            await segment.write(piece.data)
        await segment.close()
        return publisher

    async def watch_events(self) -> None:
        async for segment in TrickleSubscriber(self.url("-events"), start=0):
            self.events.append(decode_message(await segment.read()))

    async def watch_data(self) -> None:
        async for segment in TrickleSubscriber(self.url("-data"), start=0):
            for line in (await segment.read()).splitlines():
                self.data.append(decode_message(line))

    async def receive(self) -> bytes:
        body = b""
        async for segment in TrickleSubscriber(self.url("-out"), start=0):
            body += await segment.read(1 << 26)
        return body

    async def wait_for(self, kind: str, **fields: object) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            wanted = {"type": kind, **fields}.items()
            found[:] = [event for event in self.events if wanted <= event.items()]
            return bool(found)

        await until(is_there)
        return found[0]


@asynccontextmanager
async def network():
    trickle, app = TrickleServer(), web.Application()
    trickle.add_routes(app, "/t")
    async with serve_app(app) as base:
        yield trickle, base + "/t"


@asynccontextmanager
async def streaming(pipeline: LivePipeline, **settings: Any):
    async with (
        network() as (trickle, base),
        serve(pipeline, **{**FAST, **settings}) as server,
        aiohttp.ClientSession() as http,
    ):
        stream = Stream(trickle, base, server.url, http)
        watching: list[asyncio.Task[None]] = []
        start = stream.start

        async def start_and_watch(**options: Any) -> tuple[int, str]:
            answer = await start(**options)
            watching.append(asyncio.create_task(stream.watch_events()))
            watching.append(asyncio.create_task(stream.watch_data()))
            return answer

        stream.start = start_and_watch
        try:
            yield stream
        finally:
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other tasks and threads bring it about
            await asyncio.sleep(0.01)


async def through(stream: Stream, units: list[AccessUnit], codecs=None) -> bytes:
    """Send units through a started stream; what came out."""
    receiving = asyncio.create_task(stream.receive())
    publisher = await stream.send(units, codecs or {"video": "h264", "audio": "aac"})
    last = publisher.next_seq - 1
    await until(lambda: any(e.get("last_segment_in", -1) >= last for e in stream.events))
    await publisher.close()
    return await asyncio.wait_for(receiving, 20)


async def decoded(body: bytes, decode=frozenset({"video"})):
    pipe = BytePipe(limit_bytes=1 << 30)
    await pipe.write(body)
    pipe.close()
    return await asyncio.to_thread(lambda: list(MediaReader(pipe, decode=decode)))


class Invert(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.planes[0][:] = 255 - frame.planes[0]
        return frame


async def test_pictures_are_changed_and_sound_is_copied():
    units = clip()
    async with streaming(Invert(), live_policy="wait") as stream:
        assert await stream.health() == "IDLE"
        assert (await stream.start())[0] == 200
        assert await stream.health() == "OK"
        items = await decoded(await through(stream, units))
    frames = [item for item in items if isinstance(item, VideoFrame)]
    assert [frame.pts for frame in frames] == [n * STEP for n in range(50)]
    for n, frame in enumerate(frames):
        source = picture(n).raw.to_ndarray(format="gray").mean()
        assert abs((255 - source) - frame.raw.to_ndarray(format="gray").mean()) < 6
    sound = [(item.pts, item.data) for item in items if isinstance(item, AccessUnit)]
    assert sound == [(unit.pts, unit.data) for unit in units if unit.kind == "audio"]


async def test_what_nobody_overrides_is_relayed_byte_for_byte():
    units = clip(frames=40)
    segmenter = Segmenter({"video": "h264", "audio": "aac"}, segment_s=0.5)
    expected = b"".join(segmenter.add(unit).data for unit in units)
    async with streaming(LivePipeline()) as stream:
        assert (await stream.start())[0] == 200
        assert await through(stream, units) == expected


class Louder(LivePipeline):
    async def process_audio(self, frame: AudioFrame) -> AudioFrame:
        return AudioFrame.from_ndarray(frame.to_ndarray() + np.float32(0.25), like=frame)


async def test_sound_is_changed_and_pictures_are_copied():
    units = clip()
    async with streaming(Louder(), live_policy="wait") as stream:
        assert (await stream.start())[0] == 200
        items = await decoded(await through(stream, units), frozenset({"audio"}))
    video = [(unit.pts, unit.key) for unit in units if unit.kind == "video"]
    assert [(i.pts, i.key) for i in items if isinstance(i, AccessUnit)] == video
    sound = [item.to_ndarray() for item in items if isinstance(item, AudioFrame)]
    assert abs(np.concatenate(sound[4:-4], axis=1).mean() - 0.25) < 0.05


class Recording(LivePipeline):
    def __init__(self):
        self.calls: list[object] = []
        self.threads: set[str] = set()

    def note(self, *what: object) -> None:
        self.calls.append(what)
        self.threads.add(threading.current_thread().name)

    async def setup(self) -> None:
        self.note("setup")

    def on_stream_start(self, params: dict[str, Any]) -> None:
        self.note("start", params)
        self.emit_event({"type": "hello", "text": "zwei\nZeilen"})

    def on_params_update(self, params: dict[str, Any]) -> None:
        if "bad" in params:
            raise ValueError("bad params")
        self.note("update", params)

    async def on_stream_stop(self) -> None:
        self.note("stop")
        self.emit_event({"type": "goodbye"})
        self.emit_data({"last": "line"})

    def teardown(self) -> None:
        self.note("teardown")


async def test_the_hooks_of_a_stream_without_media():
    pipeline = Recording()
    async with streaming(pipeline) as stream:
        assert (await stream.start(media=False, params={"a": 1}))[0] == 200
        await stream.wait_for("hello", text="zwei\nZeilen")
        assert (await stream.post("params", json={"b": 2}))[0] == 200
        async with JSONPublisher(stream.url("-control")) as control:
            for message in ({"keep": "alive"}, {"c": 3}, {"bad": 1}):
                await control.publish(message)
            error = await stream.wait_for("error")
            assert "bad params" in error["message"]
        status, text = await stream.post("params", json={"bad": 1})
        assert (status, "bad params" in text) == (500, True)
        await until(lambda: sum(e["type"] == "heartbeat" for e in stream.events) >= 3)
        assert (await stream.post("stop", data=b"timeout waiting for events"))[0] == 200
        assert (await stream.post("stop", data=b"stream ended"))[0] == 200
        await stream.wait_for("stop", reason="timeout waiting for events")
        kinds = [event["type"] for event in stream.events]
        assert kinds.index("goodbye") < kinds.index("stop") == len(kinds) - 1
        await until(lambda: {"last": "line"} in stream.data)
        assert (await stream.post("params", json={}))[0] == 404
        assert await stream.health() == "IDLE"
    assert [call[0] for call in pipeline.calls] == [
        "setup", "start", "update", "update", "stop", "teardown",
    ]  # fmt: skip
    assert pipeline.calls[1:4] == [("start", {"a": 1}), ("update", {"b": 2}), ("update", {"c": 3})]
    assert len(pipeline.threads) == 1


async def test_bad_starts_are_refused_and_leave_nothing():
    class Picky(LivePipeline):
        def on_stream_start(self, params: dict[str, Any]) -> None:
            if params:
                raise ValueError("no such model")

    async with streaming(Picky()) as stream:
        status, text = await stream.post("start", json={"gateway_request_id": "s"})
        assert status == 422
        assert "control_url" in text
        assert (await stream.post("start", data=b"{"))[0] == 400
        status, text = await stream.start(params={"model": "x"})
        assert (status, "no such model" in text) == (500, True)
        assert await stream.health() == "IDLE"
        assert not [event for event in stream.events if event["type"] == "heartbeat"]
        assert (await stream.start())[0] == 200
        assert (await stream.start())[0] == 409
        stream.name = "other"
        status, text = await stream.start()
        assert (status, "capacity" in text) == (503, True)
        stream.name = "s"
        assert await stream.health() == "OK"


async def test_a_session_ends_by_itself_when_its_caller_is_gone():
    for by in ("the end of control", "its silence", "no events channel"):
        pipeline = Recording()
        async with streaming(pipeline, control_silence_s=0.5) as stream:
            assert (await stream.start(media=False))[0] == 200
            if by == "the end of control":
                stream.trickle.close_channel("s-control")
            elif by == "no events channel":
                stream.trickle.close_channel("s-events")
            else:
                await asyncio.sleep(1)
                assert await stream.health() == "OK", "nobody promised to send keep-alives"
                publisher = await TricklePublisher(stream.url("-control")).start()
                await publisher.write_segment(b'{"keep":"alive"}')
            async with asyncio.timeout(10):
                while await stream.health() != "IDLE":  # noqa: ASYNC110 - over HTTP
                    await asyncio.sleep(0.02)
            assert [call[0] for call in pipeline.calls] == ["setup", "start", "stop"]
            assert (await stream.start(media=False))[0] == 200


async def test_a_hook_that_raises_loses_its_frame_and_no_other():
    class Flaky(LivePipeline):
        def process_video(self, frame: VideoFrame) -> VideoFrame | int:
            if frame.pts == 20 * STEP:
                raise RuntimeError("no luck")
            return 7 if frame.pts == 10 * STEP else frame

    async with streaming(Flaky(), live_policy="wait") as stream:
        assert (await stream.start())[0] == 200
        items = await decoded(await through(stream, clip(frames=30)))
        # The first in a second is told; the other one is counted.
        assert "is no VideoFrame" in (await stream.wait_for("error"))["message"]
        assert (await stream.wait_for("end_of_stream"))["hook_errors"] == 2
    frames = [item.pts for item in items if isinstance(item, VideoFrame)]
    assert frames == [n * STEP for n in range(30) if n not in (10, 20)]


async def test_a_slow_hook_drops_the_oldest_pictures_and_counts_them():
    class Slow(LivePipeline):
        def process_video(self, frame: VideoFrame) -> VideoFrame:
            time.sleep(0.05)
            return frame

    async with streaming(Slow(), live_policy="drop", video_queue=2) as stream:
        assert (await stream.start())[0] == 200
        units = clip(frames=60)
        items = await decoded(await through(stream, units))
        counts = await stream.wait_for("end_of_stream")
    frames = [item.pts for item in items if isinstance(item, VideoFrame)]
    assert frames[-1] == 59 * STEP
    assert frames == sorted(frames)
    assert counts["video_dropped"] == 60 - len(frames) > 20
    sound = [item for item in items if isinstance(item, AccessUnit)]
    assert len(sound) == sum(unit.kind == "audio" for unit in units)


async def test_a_hook_that_hangs_does_not_hold_the_stop():
    held = threading.Event()

    class Hangs(LivePipeline):
        def process_video(self, frame: VideoFrame) -> VideoFrame:
            held.wait(30)
            return frame

    try:
        async with streaming(Hangs(), stop_timeout_s=0.5) as stream:
            assert (await stream.start())[0] == 200
            publisher = await stream.send(clip(frames=20), {"video": "h264", "audio": "aac"})
            await asyncio.sleep(0.3)
            heartbeats = len(stream.events)
            await asyncio.sleep(0.5)
            assert len(stream.events) > heartbeats
            async with asyncio.timeout(5):
                assert (await stream.post("stop"))[0] == 200
            await publisher.close()
            held.set()
    finally:
        held.set()


async def test_sessions_leave_no_threads_and_no_channels_behind():
    async with streaming(Invert()) as stream:
        before = None
        for n in range(4):
            stream.name = f"s{n}"
            assert (await stream.start())[0] == 200
            publisher = await stream.send(clip(frames=10), {"video": "h264", "audio": "aac"})
            await stream.wait_for("stats", stream_id=stream.name, video_in=10)
            assert (await stream.post("stop"))[0] == 200
            await publisher.close()
            await asyncio.sleep(0.1)
            if before is None:
                before = threading.active_count()
        assert threading.active_count() <= before


async def test_the_documents_show_the_stream_routes():
    async with streaming(Invert()) as stream, stream.http.get(stream.runner + "/openapi.json") as r:
        document = await r.json()
    assert {"/stream/start", "/stream/params", "/stream/stop", "/health"} <= set(document["paths"])
    assert "control_url" in document["components"]["schemas"]["StartRequest"]["properties"]


async def test_no_update_holds_the_session_or_ends_it():
    class Stuck(LivePipeline):
        async def on_params_update(self, params: dict[str, Any]) -> None:
            await asyncio.sleep(60)

    async with streaming(Stuck(), hook_update_timeout_s=0.3, control_silence_s=1.5) as stream:
        assert (await stream.start(media=False))[0] == 200
        status, text = await stream.post("params", json={"a": 1})
        assert (status, "took longer than 0.3 s" in text) == (500, True)
        publisher = await TricklePublisher(stream.url("-control")).start()
        await publisher.write_segment(b"[" * 100_000)
        await stream.wait_for("error")
        await publisher.write_segment(b'{"b": 2}')
        await publisher.write_segment(b'{"keep":"alive"}')
        assert await stream.health() == "OK"
        async with asyncio.timeout(10):
            while await stream.health() != "IDLE":  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.05)
        await publisher.close()
        assert any("silent" in event.get("reason", "") for event in stream.events)
