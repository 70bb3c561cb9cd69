"""How sessions end, what they refuse, and what neither a network nor a hook can break in them."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import re
import socket
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.runner import LivePipeline
from livepeer.runner._live.closings import Closings
from livepeer.runner._live.message_queue import LANE_BYTES, LANE_MESSAGES, MessageQueue
from livepeer.runner._live.outlet import ChannelOutlet
from livepeer.runner._live.output import CLOSING, Output
from livepeer.runner._live.reports import MAX_TEXT, Reports
from livepeer.runner._live.stats import SessionStats
from livepeer.runner._live.status import StreamStatus
from livepeer.runner._network.sessions import Channels
from livepeer.runner.settings import Settings
from livepeer.runner.testing import serve
from livepeer.trickle import JSONPublisher, JSONSubscriber, TricklePublisher, TrickleServer
from livepeer.trickle.errors import MessageError
from livepeer.trickle.media import Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Generator, Mapping

    from livepeer.runner.frames import VideoFrame

FAST = {"heartbeat_interval_s": 0.1, "stats_interval_s": 0.1, "output_linger_s": 0.1}


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other tasks and threads bring it about
            await asyncio.sleep(0.01)


async def collect(url: str, http: aiohttp.ClientSession, into: list[dict[str, Any]]) -> None:
    async with JSONSubscriber(url, start=0, session=http) as source:
        async for message in source:
            into.append(message)


@dataclass
class Caller:
    """A trickle server with an orchestrator's habits, in front of a runner."""

    trickle: TrickleServer
    base: str
    runner: str
    http: aiohttp.ClientSession
    events: list[dict[str, Any]] = field(default_factory=list)
    watching: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self, name: str = "s", *, media: bool = False, **body: Any) -> tuple[int, Any]:
        for channel in ("in", "out", "control", "events"):
            self.trickle.create_channel(f"{name}-{channel}")
        whole = {
            "gateway_request_id": name,
            "control_url": f"{self.base}/{name}-control",
            "events_url": f"{self.base}/{name}-events",
        }
        if media:
            whole["subscribe_url"] = f"{self.base}/{name}-in"
            whole["publish_url"] = f"{self.base}/{name}-out"
        answer = await self.post("start", {**whole, **body}, name)
        if answer[0] == 200:
            self.watching.append(asyncio.create_task(self._watch(f"{self.base}/{name}-events")))
        return answer

    async def post(self, verb: str, body: object = None, name: str | None = "s"):
        headers = {} if name is None else {"X-Stream-Id": name}
        url = f"{self.runner}/stream/{verb}"
        async with self.http.post(url, data=json.dumps(body), headers=headers) as response:
            return response.status, await response.json()

    async def control(self, *bodies: bytes) -> None:
        publisher = TricklePublisher(f"{self.base}/s-control", session=self.http, resume=True)
        for body in bodies:
            await publisher.write_segment(body)
        await publisher.close(delete=False)

    async def health(self) -> str:
        async with self.http.get(self.runner + "/health") as response:
            return (await response.json())["status"]

    def told(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    async def hear(self, kind: str) -> dict[str, Any]:
        await until(lambda: bool(self.told(kind)))
        return self.told(kind)[0]

    async def _watch(self, url: str) -> None:
        await collect(url, self.http, self.events)


@asynccontextmanager
async def calling(pipeline: LivePipeline, **settings: Any) -> AsyncGenerator[Caller]:
    trickle = TrickleServer(slots=1024)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(trickle.listening())
        server = await stack.enter_async_context(serve(pipeline, **{**FAST, **settings}))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        caller = Caller(trickle, base, server.url, http)
        try:
            yield caller
        finally:
            for task in caller.watching:
                task.cancel()
            await asyncio.gather(*caller.watching, return_exceptions=True)


@contextmanager
def dead_server() -> Generator[str]:
    """The kernel takes connections, and nobody reads from them."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class Plain(LivePipeline):
    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return frame


async def test_numbers_that_json_has_not_are_refused_by_every_way_and_nothing_ends():
    async with calling(LivePipeline()) as caller:
        status, answer = await caller.start(params={"a": {"b": [float("nan")]}})
        assert (status, answer["detail"][0]["loc"]) == (422, ["body", "params", "a", "b", 0])
        assert (await caller.start(params={"x": 1}))[0] == 200
        status, answer = await caller.post("params", {"x": float("-inf")})
        assert (status, answer["detail"][0]["loc"]) == (422, ["body", "x"])
        await caller.control(b'{"x": NaN}', b'{"x": 1e999}')
        await until(lambda: len(caller.told("error")) == 2)
        beats = len(caller.told("heartbeat"))
        await until(lambda: len(caller.told("heartbeat")) > beats + 3)
        assert not caller.told("params_update")


async def test_what_is_told_goes_on_when_something_else_cannot_be_told():
    trickle = TrickleServer()
    async with trickle.listening() as base, aiohttp.ClientSession() as http:
        trickle.create_channel("events")
        channels = Channels(events=f"{base}/events", control=f"{base}/control")
        events: list[dict[str, Any]] = []
        reading = asyncio.create_task(collect(channels.events, http, events))
        outlet, stats = ChannelOutlet(channels, http), SessionStats()
        reports = Reports("s", outlet, stats, StreamStatus("p", stats))
        stats.watch_depth("broken", lambda: 1 // 0)
        settings = Settings(heartbeat_interval_s=0.02, stats_interval_s=0.02)
        work = [
            asyncio.create_task(one) for one in reports.repeated(settings, lambda: None).values()
        ]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in work)
        for task in work:
            task.cancel()
        await outlet.close(5.0)
        trickle.close_channel("events")
        await reading
    kinds = [event["type"] for event in events]
    assert min(kinds.count("heartbeat"), kinds.count("status")) > 3
    assert [e["message"] for e in events if e["type"] == "error"] == [
        "statistics failed: ZeroDivisionError: integer division or modulo by zero"
    ]
    last = [event for event in events if event["type"] == "status"][-1]
    assert "ZeroDivisionError" in last["inference_status"]["last_error"]


@pytest.mark.parametrize("is_async", [True, False])
async def test_whatever_on_stream_stop_raises_the_session_ends_whole(is_async: bool):
    class Cancelled(LivePipeline):
        def on_stream_stop(self):
            future: concurrent.futures.Future[None] = concurrent.futures.Future()
            future.cancel()
            return asyncio.wrap_future(future) if is_async else future.result()

    async with calling(Cancelled()) as caller:
        assert (await caller.start())[0] == 200
        assert (await caller.post("stop", "enough"))[0] == 200
        stop = await caller.hear("stop")
        assert (stop["reason"], stop["done"]) == ('"enough"', True)
        assert await caller.health() == "IDLE"
        assert (await caller.start())[0] == 200


async def test_a_stop_is_answered_in_time_whatever_is_dead(caplog: pytest.LogCaptureFixture):
    class Hangs(Plain):
        async def on_stream_stop(self) -> None:
            await asyncio.sleep(60)

    with dead_server() as dead:
        async with calling(Hangs(), stop_timeout_s=1.0) as caller:
            urls = {name: f"{dead}/{name}" for name in ("events_url", "data_url", "publish_url")}
            assert (await caller.start(media=True, **urls))[0] == 200
            await asyncio.sleep(0.3)
            began = time.monotonic()
            assert (await caller.post("stop"))[0] == 200
            assert await caller.health() == "IDLE"
    # Long before any of them, and however slow the machine is: each had a share of the second.
    assert time.monotonic() - began < 20
    said = " ".join(record.getMessage() for record in caplog.records)
    waited = re.search(r"on_stream_stop\(\) took longer than ([\d.]+) s", said)
    waited_then = re.search(r"the channels of stream s did not end within ([\d.]+) s", said)
    assert waited is not None
    assert waited_then is not None
    assert float(waited[1]) + float(waited_then[1]) <= 1.0


async def test_what_is_not_closed_in_time_is_closed_later_and_no_later_than_it_may():
    ended: list[str] = []

    async def slow(name: str, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
            ended.append(name)
        except asyncio.CancelledError:
            ended.append(f"{name} was given up")
            raise

    closings = Closings(beyond_s=0.3)
    await closings.run("them", slow("a", 0.2), slow("b", 60), timeout_s=0.05)
    assert ended == []
    await until(lambda: ended == ["a", "b was given up"])
    await closings.run("it", slow("c", 60), timeout_s=0.05)
    await closings.close()
    assert ended[2:] == ["c was given up"]


async def test_a_dead_output_holds_few_segments_and_shows_them():
    stats = SessionStats()
    with dead_server() as dead:
        async with aiohttp.ClientSession() as http:
            output = Output(f"{dead}/out", http, stats)
            for _ in range(CLOSING + 1):
                await output.put(Piece(True, b"x" * 1000))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(output.put(Piece(True, b"x")), 0.3)
            assert stats.snapshot()["queues"] == {"output": CLOSING}
            assert CLOSING <= 2
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(output.close(delete=True), 0.2)


@pytest.mark.parametrize("url", ["nonsense", "", "/x", "ftp://h/x", "http://h", "http://h:x/y"])
async def test_urls_that_are_none_are_refused_by_name(url: str):
    async with calling(LivePipeline(), model_id="m") as caller:
        for name in ("control_url", "events_url", "data_url", "publish_url", "subscribe_url"):
            if url or name in ("control_url", "events_url"):
                status, answer = await caller.start(media=True, **{name: url})
                assert (status, answer["detail"][0]["loc"]) == (422, ["body", name])
        body = {f"{name}_url": url for name in ("subscribe", "publish", "control", "events")}
        async with caller.http.post(f"{caller.runner}/live-video-to-video", json=body) as response:
            assert response.status == 422
            assert len((await response.json())["detail"]) == 4
        assert await caller.health() == "IDLE"


class Remembers(LivePipeline):
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.calls: list[dict[str, Any]] = []
        self.stopped = False

    async def on_params_update(self, params: Mapping[str, Any]) -> None:
        self.calls.append(dict(params))
        await asyncio.sleep(self.seconds)

    def on_stream_stop(self) -> None:
        self.stopped = True


async def test_an_update_that_the_end_overtakes_is_not_in_force():
    pipeline = Remembers(60)
    async with calling(pipeline) as caller:
        assert (await caller.start())[0] == 200
        update = asyncio.create_task(caller.post("params", {"a": 1}))
        await until(lambda: bool(pipeline.calls))
        assert (await caller.post("stop"))[0] == 200
        assert (await update)[0] == 404
        assert pipeline.stopped
        await caller.hear("stop")
        assert not caller.told("params_update")


async def test_updates_by_control_are_put_together_while_one_runs():
    pipeline = Remembers(0.5)
    async with calling(pipeline) as caller:
        assert (await caller.start())[0] == 200
        await caller.control(b'{"a": 0}')
        await until(lambda: bool(pipeline.calls))
        await caller.control(*(b'{"b%d": 1, "last": %d}' % (n % 3, n) for n in range(20)))
        await until(lambda: len(caller.told("params_update")) == 2)
        assert pipeline.calls == [{"a": 0}, {"b0": 1, "b1": 1, "b2": 1, "last": 19}]
        assert caller.told("params_update")[1]["params"] == pipeline.calls[1]


async def test_an_update_by_control_that_is_refused_takes_no_other_with_it():
    class Picky(Remembers):
        async def on_params_update(self, params: Mapping[str, Any]) -> None:
            await super().on_params_update(params)
            if "wrong" in params:
                raise ValueError("no such thing")

    pipeline = Picky(0.3)
    async with calling(pipeline) as caller:
        assert (await caller.start())[0] == 200
        await caller.control(b'{"a": 0}')
        await until(lambda: bool(pipeline.calls))
        await caller.control(b'{"b": 1}', b'{"wrong": 1}', b'{"c": 1}')
        await until(lambda: len(caller.told("params_update")) == 3)
        assert [update["params"] for update in caller.told("params_update")] == [
            {"a": 0}, {"b": 1}, {"c": 1},
        ]  # fmt: skip
        assert len(caller.told("error")) == 1


async def test_texts_of_errors_are_cut_and_events_have_a_largest_size():
    refused: list[MessageError] = []

    class Talks(LivePipeline):
        def on_params_update(self, params: Mapping[str, Any]) -> None:
            try:
                self.emit_event({"much": "x" * (1 << 20)})
            except MessageError as error:
                refused.append(error)
            raise ValueError("y" * 100_000)

    async with calling(Talks()) as caller:
        assert (await caller.start(media=True))[0] == 200
        await caller.control(b'{"a": 1}')
        assert len((await caller.hear("error"))["message"]) <= MAX_TEXT
        await until(lambda: caller.told("status")[-1]["inference_status"]["last_error"] is not None)
        last = caller.told("status")[-1]["inference_status"]["last_error"]
        assert 1000 < len(last) <= MAX_TEXT
    assert "limit is 1048576" in str(refused[0])


async def test_a_flood_is_bounded_and_leaves_the_sessions_own_messages_alone():
    trickle = TrickleServer(slots=1024)
    async with trickle.listening() as base, aiohttp.ClientSession() as http:
        trickle.create_channel("events")
        received: list[dict[str, Any]] = []
        reading = asyncio.create_task(collect(f"{base}/events", http, received))
        queue = MessageQueue(JSONPublisher(f"{base}/events", session=http), "events")

        def flood(message: bytes, times: int) -> None:
            for _ in range(times):
                queue.put(message)

        queue.put(b'{"own": 1}', own=True)
        flood(b"{}", 5000)
        assert queue.dropped == 5000 - LANE_MESSAGES
        flood(b'"%s"' % (b"x" * 1_000_000), 10)
        assert queue.dropped == 5010 - LANE_BYTES // 1_000_000
        await queue.close(20.0, [b'{"last": 1}'])
        trickle.close_channel("events")
        await reading
        assert received == [{"own": 1}, {"last": 1}]


async def test_what_the_model_reports_is_an_event_of_the_stream_and_in_its_status():
    class Reporting(LivePipeline):
        def on_params_update(self, params: Mapping[str, Any]) -> None:
            self.stream.report("the model is gone")

    async with calling(Reporting()) as caller:
        assert (await caller.start(media=True))[0] == 200
        assert (await caller.post("params", {}))[0] == 200
        error = await caller.hear("error")
        assert (error["message"], error["stream_id"]) == ("the model is gone", "s")
        assert error["timestamp"] > 0
        await until(
            lambda: caller.told("status")[-1]["inference_status"]["last_error"] == error["message"]
        )


async def test_a_late_stop_without_an_id_ends_the_only_stream_and_not_several():
    async with calling(LivePipeline(), capability_capacity=2) as caller:
        assert (await caller.start("a"))[0] == 200
        assert (await caller.start("b"))[0] == 200
        assert await caller.post("stop", name=None) == (200, {"status": "stopped"})
        assert (await caller.post("params", {}, "a"))[0] == 200
        assert (await caller.post("stop", name="a"))[0] == 200
        assert (await caller.post("params", {}, "b"))[0] == 200
        assert await caller.post("stop", name=None) == (200, {"status": "stopped"})
        assert await caller.health() == "IDLE"
        assert await caller.post("stop", name=None) == (200, {"status": "stopped"})


async def test_a_session_ends_by_itself_when_its_output_is_gone():
    async with calling(LivePipeline()) as caller:
        assert (await caller.start(media=True))[0] == 200
        async with TricklePublisher(f"{caller.base}/s-in", session=caller.http) as publisher:
            await publisher.write_segment(b"one")
            await until(lambda: any(e.get("segments_in") for e in caller.events))
            caller.trickle.close_channel("s-out")
            async with asyncio.timeout(10):
                while await caller.health() != "IDLE":
                    await publisher.write_segment(b"more")
                    await asyncio.sleep(0.05)
        stop = await caller.hear("stop")
        assert (stop["reason"], stop["done"]) == ("the output channel is gone", False)
