"""Live streams straight at an orchestrator."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    BYOCJobRequest,
    CapabilityUnavailable,
    Client,
    LocalSigner,
    NodeUnreachable,
    PaymentRequiredError,
    RunnerError,
    StreamError,
    StreamLost,
    StreamSettings,
    start_byoc_job,
)
from livepeer.client.testing import FakeCapability, RunnerReply, fake_orchestrator
from livepeer.trickle import (
    JSONLPublisher,
    JSONPublisher,
    TricklePublisher,
    TrickleSubscriber,
)

from .streams import SlowStart

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.testing import FakeOrchestrator, RunnerRequest


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities, tickets=False) as node:
        yield node


@pytest.fixture
async def client(node: FakeOrchestrator, signer: LocalSigner) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url], signer=signer, keep_alive_s=0.05) as client:
        yield client


async def test_from_start_to_stop(node: FakeOrchestrator, client: Client, runner: Runner) -> None:
    async with await client.start_stream("echo", params={"p": 1}) as job:
        start = node.seen[-1]
        assert start.path == "/ai/stream/start"
        assert start.job["id"] == job.stream_id
        assert json.loads(str(start.job["request"])) == {"stream_id": job.stream_id}
        assert json.loads(start.body) == {"params": {"p": 1}}
        base = f"{node.url}/ai/trickle/{job.stream_id}"
        assert job.urls.control == base + "-control"
        assert job.urls.events == base + "-events"
        assert job.urls.publish == base
        assert job.urls.subscribe == base + "-out"
        assert job.urls.data == base + "-data"
        assert runner.starts()["params"] == {"p": 1}

        assert await job.update({"q": 2}) == {"path": "/stream/params", "got": '{"q":2}'}
        assert runner.seen[-1].stream_id == job.stream_id
        with pytest.raises(RunnerError) as caught:
            await job.update({"bad": True})
        assert caught.value.detail == [{"msg": "bad"}]
        with pytest.raises(StreamError, match="events"):
            await job.status()

    assert runner.paths()[-1] == "/stream/stop"
    assert runner.seen[-1].stream_id == job.stream_id
    assert node.streams == set()
    with pytest.raises(StreamError, match="stopped"):
        await job.update({"q": 3})


@pytest.mark.parametrize("video_in", [True, False])
@pytest.mark.parametrize("video_out", [True, False])
@pytest.mark.parametrize("data_out", [True, False])
async def test_channels_are_what_was_asked_for(
    client: Client, runner: Runner, video_in: bool, video_out: bool, data_out: bool
) -> None:
    async with await client.start_stream(
        "echo", video_in=video_in, video_out=video_out, data_out=data_out
    ) as job:
        assert (job.urls.publish is not None) is video_in
        assert (job.urls.subscribe is not None) is video_out
        assert (job.urls.data is not None) is data_out
        assert runner.starts()["params"] is None
        if not video_in:
            with pytest.raises(StreamError, match="video_in"):
                job.publisher()
        if not video_out:
            with pytest.raises(StreamError, match="video_out"):
                job.subscriber()
        if not data_out:
            with pytest.raises(StreamError, match="data_out"):
                await anext(job.data())


async def test_channels_are_on_the_host_that_was_called(
    capabilities: dict[str, FakeCapability],
) -> None:
    async with (
        fake_orchestrator(capabilities, public_host="http://orchestrator.invalid:8935") as node,
        Client(orchestrators=[node.url]) as client,
        await client.start_stream("echo") as job,
    ):
        assert job.urls.publish == f"{node.url}/ai/trickle/{job.stream_id}"


async def test_media_both_ways(client: Client, runner: Runner) -> None:
    async with await client.start_stream("echo") as job:
        start = runner.starts()
        async with job.publisher() as ours, TrickleSubscriber(start["subscribe_url"]) as theirs:
            await ours.write_segment(b"G" * 188)
            assert await (await anext(theirs)).read(1000) == b"G" * 188
        async with TricklePublisher(start["publish_url"]) as theirs_out, job.subscriber() as out:
            await theirs_out.write_segment(b"O" * 376)
            assert await (await anext(out)).read(1000) == b"O" * 376


async def test_events_and_data_from_the_first_on(client: Client, runner: Runner) -> None:
    job = await client.start_stream("echo")
    start = runner.starts()
    async with JSONPublisher(start["events_url"]) as events:
        await events.publish({"type": "started"})
        await events.publish({"type": "heartbeat"})
    async with JSONLPublisher(start["data_url"]) as data:
        await data.publish({"n": 1})
        await data.publish({"n": 2})
    seen = job.events()
    assert [(await anext(seen))["type"] for _ in range(2)] == ["started", "heartbeat"]
    items = job.data()
    assert [await anext(items) for _ in range(2)] == [{"n": 1}, {"n": 2}]
    waiting = asyncio.create_task(anext(items, None))
    await job.stop()
    # Both end with the stream, without an error.
    assert await asyncio.wait_for(waiting, 5) is None
    assert [event async for event in seen] == []


async def test_the_control_channel_is_kept_alive(client: Client, runner: Runner) -> None:
    async with await client.start_stream("echo"):
        began = time.monotonic()
        async with TrickleSubscriber(runner.starts()["control_url"], start=0) as control:
            got = [await (await anext(control)).read(1000) for _ in range(3)]
        assert [json.loads(body) for body in got] == [{"keep": "alive"}] * 3
        assert time.monotonic() - began < 2


async def test_a_stream_that_ends_by_itself_is_noticed(
    node: FakeOrchestrator, client: Client
) -> None:
    job = await client.start_stream("echo")
    events = job.events()
    waiting = asyncio.create_task(anext(events))
    node.remove_stream(job.stream_id)
    with pytest.raises(StreamLost):
        await asyncio.wait_for(waiting, 20)
    assert job.end is not None
    assert isinstance(job.end.error, StreamLost)
    with pytest.raises(StreamLost) as caught:
        await anext(job.events())
    assert caught.value.url.startswith(node.url)
    with pytest.raises(StreamLost):
        await anext(job.data())
    await job.stop()


async def test_stop_is_done_once(client: Client, runner: Runner) -> None:
    job = await client.start_stream("echo")
    await asyncio.gather(job.stop(), job.stop())
    await job.stop()
    assert runner.paths().count("/stream/stop") == 1


async def test_a_cancelled_stop_goes_on(client: Client, runner: Runner) -> None:
    job = await client.start_stream("echo")
    stopping = asyncio.create_task(job.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    await job.stop()
    assert runner.paths().count("/stream/stop") == 1


async def test_a_closing_client_stops_its_streams(node: FakeOrchestrator, runner: Runner) -> None:
    async with Client(orchestrators=[node.url]) as client:
        await client.start_stream("echo")
        await client.start_stream("echo")
        stopped = await client.start_stream("echo")
        await stopped.stop()
        assert len(node.streams) == 2
    assert node.streams == set()
    assert runner.paths().count("/stream/stop") == 3


async def test_a_failed_stop_does_not_hide_what_happened(
    capabilities: dict[str, FakeCapability], caplog: pytest.LogCaptureFixture
) -> None:
    async with fake_orchestrator(capabilities) as node:
        client = Client(orchestrators=[node.url])
        await client.__aenter__()
        # They do not notice by themselves.
        settings = StreamSettings(probe_s=60, keep_alive_s=60, settle_s=60)
        one = await client.start(BYOCJobRequest(capability="echo"), settings=settings)
        two = await client.start(BYOCJobRequest(capability="echo"), settings=settings)
    try:
        with pytest.raises(ZeroDivisionError):
            async with one:
                raise ZeroDivisionError
        assert "was not stopped" in caplog.text
        with pytest.raises(NodeUnreachable):
            async with two:
                pass
        with pytest.raises(NodeUnreachable):
            await two.stop()
    finally:
        await client.__aexit__(None, None, None)


async def test_starts_that_fail(node: FakeOrchestrator, client: Client, runner: Runner) -> None:
    with pytest.raises(CapabilityUnavailable):
        await client.start_stream("nope")

    async def refuse(request: RunnerRequest) -> RunnerReply:
        return RunnerReply.json({"detail": "no such model"}, status=422)

    node.capabilities["refuses"] = FakeCapability(refuse)
    # The answer has channel URLs all the same.
    with pytest.raises(RunnerError, match="no such model") as caught:
        await client.start_stream("refuses")
    assert caught.value.status == 422
    async with await client.start_stream("echo", stream_id="s1"):
        with pytest.raises(StreamError, match="fresh id"):
            await client.start_stream("echo", stream_id="s1")


async def test_a_busy_runner_is_left_for_the_next(node: FakeOrchestrator) -> None:
    async def busy(request: RunnerRequest) -> RunnerReply:
        return RunnerReply.json({"detail": "busy"}, status=503)

    async with (
        fake_orchestrator({"echo": FakeCapability(busy)}) as full,
        Client(orchestrators=[full.url, node.url]) as client,
        await client.start_stream("echo") as job,
    ):
        assert (job.urls.control or "").startswith(node.url)
        assert full.streams == set()
        assert await job.update({"q": 1})


async def test_priced_streams(node: FakeOrchestrator, client: Client) -> None:
    node.capabilities["echo"].price = 10
    with pytest.raises(PaymentRequiredError, match="10 wei"):
        await client.start_stream("echo")
    assert "/ai/stream/start" not in node.paths()


async def test_a_start_that_is_given_up_is_stopped(node: FakeOrchestrator) -> None:
    slow = SlowStart()
    node.capabilities["slow"] = FakeCapability(slow)
    async with Client(orchestrators=[node.url]) as client:
        starting = asyncio.create_task(client.start_stream("slow"))
        await slow.started.wait()
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert slow.stopped.is_set()
        assert node.streams == set()


async def test_one_job_with_a_client_of_its_own(node: FakeOrchestrator, runner: Runner) -> None:
    request = BYOCJobRequest(capability="echo", enable_data_output=True, timeout_s=30)
    job = await start_byoc_job(request, orchestrators=[node.url], params={"p": 1})
    assert job.stream_id == request.id
    assert job.urls.data is not None
    assert job.urls.publish is None
    assert runner.starts()["params"] == {"p": 1}
    await job.stop()
    assert node.streams == set()
    with pytest.raises(CapabilityUnavailable):
        await start_byoc_job(BYOCJobRequest(capability="nope"), orchestrators=[node.url])


async def test_no_task_is_left(node: FakeOrchestrator) -> None:
    before = asyncio.all_tasks()
    async with Client(orchestrators=[node.url], keep_alive_s=0.01) as client:
        for _ in range(5):
            async with await client.start_stream("echo"):
                await asyncio.sleep(0.02)
    names = {task.get_name() for task in asyncio.all_tasks() - before}
    assert not [name for name in names if "keep-alive" in name or "stop" in name]
