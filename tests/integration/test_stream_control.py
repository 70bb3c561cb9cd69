"""The life of a stream: start, parameters, events, data, and each of its ends."""

from __future__ import annotations

import asyncio
import itertools
import json
import secrets
import statistics
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import (
    BYOCJobRequest,
    CapabilityUnavailable,
    ClientError,
    EndReason,
    Job,
    RunnerError,
    StreamError,
    StreamLost,
)
from livepeer.runner import LivePipeline
from livepeer.trickle import JSONPublisher, TrickleSubscriber

if TYPE_CHECKING:
    from conftest import Network, Until, Watch
    from livepeer.client import BYOCJob, Client

LIMIT_S = 20.0


class Diary(LivePipeline):
    """Keeps what it was called with, and tells of it."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.stops = 0

    def on_stream_start(self, params: dict[str, Any]) -> None:
        if "refuse" in params:
            raise ValueError(params["refuse"])
        self.starts.append(params)
        self.emit_event({"type": "hello", "params": params})

    async def on_params_update(self, params: dict[str, Any]) -> None:
        if "refuse" in params:
            raise ValueError(params["refuse"])
        self.updates.append(params)
        for n in range(params.get("lines", 0)):
            self.emit_data({"n": n, "text": "zwei\nZeilen"})

    def on_stream_stop(self) -> None:
        self.stops += 1
        self.emit_event({"type": "goodbye"})
        self.emit_data({"last": "line"})


# Told by the orchestrator, or by the runner to whoever asked for the terms a moment ago.
_NO_ROOM = (CapabilityUnavailable, RunnerError)


@pytest.fixture
def diary() -> Diary:
    return Diary()


async def start(client: Client, name: str, **options: Any) -> BYOCJob:
    """A stream without media."""
    return await client.start_stream(name, video_in=False, video_out=False, **options)


async def health(network: Network, url: str) -> str:
    async with network.http() as http, http.get(url + "/health") as answer:
        return str((await answer.json())["status"])


@pytest.mark.signed
async def test_start_update_stop(
    network: Network, direct: Client, watch: Watch, until: Until, diary: Diary
) -> None:
    async with network.serve(diary) as runner:
        assert await health(network, runner.url) == "IDLE"
        job = await start(direct, runner.name, params={"prompt": "<&> 雪", "n": [1.5, None]})
        watched = await watch(job)
        assert await health(network, runner.url) == "OK"
        await watched.event("hello", params={"prompt": "<&> 雪", "n": [1.5, None]})
        assert await job.update({"lines": 20}) == {"status": "updated"}
        await until(lambda: len(watched.data) == 20)
        await job.stop()
        # What the hook emits still arrives, although the channels close with the stop.
        await watched.event("goodbye")
        await until(lambda: {"last": "line"} in watched.data)
        assert await health(network, runner.url) == "IDLE"
    assert diary.starts == [{"prompt": "<&> 雪", "n": [1.5, None]}]
    assert diary.updates == [{"lines": 20}]
    assert diary.stops == 1
    lines = [{"n": n, "text": "zwei\nZeilen"} for n in range(20)]
    assert watched.data == [*lines, {"last": "line"}]


async def test_a_start_without_params(network: Network, direct: Client, diary: Diary) -> None:
    async with network.serve(diary) as runner, await start(direct, runner.name, data_out=False):
        assert diary.starts == [{}]


@pytest.mark.parametrize(
    "channels", list(itertools.product((True, False), repeat=3)), ids=lambda c: "".join(map(str, c))
)
async def test_a_stream_has_the_channels_that_were_asked_for(
    network: Network, direct: Client, diary: Diary, channels: tuple[bool, bool, bool]
) -> None:
    video_in, video_out, data_out = channels
    wanted: dict[str, Any] = {"video_in": video_in, "video_out": video_out, "data_out": data_out}
    async with (
        network.serve(diary) as runner,
        await direct.start_stream(runner.name, **wanted) as job,
    ):
        urls = (job.urls.publish, job.urls.subscribe, job.urls.data)
        assert tuple(url is not None for url in urls) == channels
        async with asyncio.timeout(10):
            assert (await anext(job.events()))["type"] == "hello"
    assert diary.stops == 1


async def test_an_event_is_one_object_with_a_type(
    network: Network, direct: Client, diary: Diary
) -> None:
    async with network.serve(diary) as runner, network.http() as http:
        job = await start(direct, runner.name)
        bodies: list[bytes] = []
        async with job, TrickleSubscriber(str(job.urls.events), start=0, session=http) as events:
            async for segment in events:
                assert segment.seq == len(bodies)
                bodies.append(await segment.read())
                if len(bodies) == 3:
                    await job.update({"a": 1})
                if len(bodies) == 8:
                    break
    messages = [json.loads(body) for body in bodies]
    assert all(isinstance(message["type"], str) for message in messages)
    kinds = [message["type"] for message in messages]
    assert kinds[:2] == ["hello", "start"]
    assert {"heartbeat", "stats", "params_update"} <= set(kinds)
    assert all(m["stream_id"] == job.stream_id for m in messages if m["type"] == "heartbeat")


async def test_heartbeats_keep_their_interval(
    network: Network, direct: Client, watch: Watch, until: Until, diary: Diary
) -> None:
    async with (
        network.serve(diary, heartbeat_interval_s=0.2, stats_interval_s=60) as runner,
        await start(direct, runner.name) as job,
    ):
        watched = await watch(job)
        await until(lambda: watched.kinds().count("heartbeat") == 6)
    times = [event["timestamp"] for event in watched.events if event["type"] == "heartbeat"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    # In milliseconds, and the usual one: a busy machine may be late with any of them.
    assert statistics.median(gaps) < 500
    assert min(gaps) >= 199


async def test_updates_by_the_control_channel(network: Network, until: Until, diary: Diary) -> None:
    # A caller of its own making: the client's keep-alives are the only writer of its channel.
    async with network.serve(diary) as runner:
        request = BYOCJobRequest(capability=runner.name)
        async with network.post_signed("start", request.stream_job()) as answer:
            assert answer.status == 200
            control_url = answer.headers["X-Control-Url"]
        async with network.http() as http, JSONPublisher(control_url, session=http) as control:
            messages: list[dict[str, object]] = [
                {"keep": "alive"}, {"a": 1}, {"refuse": "no"}, {"keep": "alive"}, {"b": 2},
            ]  # fmt: skip
            for message in messages:
                await control.publish(message)
            await until(lambda: len(diary.updates) == 2)
        stop = Job(capability=runner.name, timeout_s=10, request=request.stream_job().request)
        for body in (b"", b"stream ended", b'{"reason": "twice"}'):
            async with network.post_signed("stop", stop, body) as answer:
                assert answer.status == 200
    assert diary.updates == [{"a": 1}, {"b": 2}]
    assert diary.stops == 1


async def test_a_refused_update_changes_nothing(
    network: Network, direct: Client, diary: Diary
) -> None:
    async with network.serve(diary) as runner, await start(direct, runner.name) as job:
        with pytest.raises(RunnerError, match="no such style") as caught:
            await job.update({"refuse": "no such style"})
        assert caught.value.status == 500
        assert await job.update({"a": 1}) == {"status": "updated"}
        assert diary.stops == 0
    assert diary.updates == [{"a": 1}]


async def test_a_refused_start_leaves_nothing(
    network: Network, direct: Client, watch: Watch, diary: Diary
) -> None:
    async with network.serve(diary, capability_capacity=1) as runner:
        with pytest.raises(RunnerError, match="no such model") as caught:
            await start(direct, runner.name, params={"refuse": "no such model"})
        assert caught.value.status == 500
        assert await health(network, runner.url) == "IDLE"
        async with await start(direct, runner.name, params={"model": "that"}) as job:
            await (await watch(job)).event("hello")
    assert diary.starts == [{"model": "that"}]
    assert diary.stops == 1


async def test_a_second_start_of_an_id_ends_the_first(
    network: Network, direct: Client, until: Until, diary: Diary
) -> None:
    # The orchestrator closes the channels, which have the same names.
    async with network.serve(diary) as runner:
        first = await start(direct, runner.name, stream_id="twice-" + runner.name)
        with pytest.raises(RunnerError, match="is running") as caught:
            await start(direct, runner.name, stream_id=first.stream_id)
        assert caught.value.status == 409
        await until(lambda: diary.stops == 1)
        await first.stop()
        async with await start(direct, runner.name):
            assert len(diary.starts) == 2
    assert diary.stops == 2


async def test_one_stream_more_than_there_is_room_for(
    network: Network, direct: Client, until: Until, diary: Diary
) -> None:
    async with network.serve(diary, capability_capacity=1) as runner:
        async with await start(direct, runner.name):
            with pytest.raises(_NO_ROOM):
                await start(direct, runner.name)

        async def starts_again() -> bool:
            # The orchestrator frees the slot a moment after the stop.
            with suppress(*_NO_ROOM):
                await (await start(direct, runner.name)).stop()
                return True
            return False

        await until(starts_again)
    assert len(diary.starts) == 2


async def test_a_stream_ends_with_its_control_channel(
    network: Network, direct: Client, until: Until, diary: Diary
) -> None:
    async with network.serve(diary) as runner, network.http() as http:
        job = await start(direct, runner.name)
        async with http.delete(str(job.urls.control)) as answer:
            assert answer.status == 200

        async def idle() -> bool:
            return await health(network, runner.url) == "IDLE"

        await until(idle)
        assert diary.stops == 1
        await job.stop()
    assert diary.stops == 1


async def test_a_stream_lives_by_its_keep_alives(
    network: Network, watch: Watch, diary: Diary
) -> None:
    async with network.serve(diary, control_silence_s=0.8) as runner:
        async with (
            network.client(keep_alive_s=0.1) as lively,
            await start(lively, runner.name) as job,
        ):
            await asyncio.sleep(1.6)
            assert diary.stops == 0
        # One keep-alive, and then none for longer than the runner waits.
        async with network.client(keep_alive_s=1.6) as silent:
            job = await start(silent, runner.name)
            watched = await watch(job)
            stop = await watched.event("stop")
            assert "silent" in stop["reason"]
            assert diary.stops == 2
            await watched.close()


async def test_stopping_twice(network: Network, direct: Client, diary: Diary) -> None:
    async with network.serve(diary) as runner:
        job = await start(direct, runner.name)
        await asyncio.gather(job.stop(), job.stop())
        await job.stop()
        assert diary.stops == 1
        with pytest.raises(StreamError, match="the caller stopped it"):
            await job.update({"a": 1})
    assert diary.updates == []


async def test_a_runner_that_goes_takes_its_streams_along(
    network: Network, direct: Client, diary: Diary
) -> None:
    async with network.serve(diary) as runner:
        job = await start(direct, runner.name)
    assert diary.stops == 1
    with pytest.raises(ClientError):
        await job.update({"a": 1})


async def test_a_stream_goes_on_at_a_runner_that_is_redeployed(
    network: Network, direct: Client
) -> None:
    before, behind = Diary(), Diary()
    name = f"diary-{secrets.token_hex(4)}"
    async with network.serve(before, name=name):
        going = await direct.start_stream(name, params={"p": 1}, reconnect=True)
        staying = await direct.start_stream(name)
        first = going.session
    end = await asyncio.wait_for(staying.ended(), LIMIT_S)
    assert (end.reason, type(end.error)) == (EndReason.RUNNER, StreamLost)
    assert "the runner stops" in end.text
    async with network.serve(behind, name=name), going:
        assert await going.next_session(first, within_s=LIMIT_S) is not None
        assert behind.starts == [{"p": 1}]
        (again,) = going.reconnects
        assert again.end == await first.ended()
    assert before.stops == 2
    assert going.end is not None
    assert going.end.reason is EndReason.CALLER
