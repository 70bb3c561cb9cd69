"""Batch jobs and streams through a gateway."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.client import (
    CapabilityUnavailable,
    Client,
    ClientError,
    GatewayError,
    InvalidAnswer,
    Job,
    NodeUnreachable,
    NoOrchestrator,
    RunnerError,
    StreamCut,
    StreamError,
)
from livepeer.client.testing import FakeCapability, fake_gateway, fake_orchestrator
from livepeer.trickle import JSONLPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.testing import FakeGateway


@pytest.fixture
async def gateway(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeGateway]:
    # Two orchestrators with the same runner behind them.
    async with (
        fake_orchestrator(capabilities) as one,
        fake_orchestrator(capabilities) as two,
        fake_gateway([one, two]) as gateway,
    ):
        yield gateway


@pytest.fixture
async def client(gateway: FakeGateway) -> AsyncIterator[Client]:
    async with Client(gateway=gateway.url) as client:
        yield client


async def test_a_call(gateway: FakeGateway, client: Client) -> None:
    # The gateway makes plain text of it.
    answer = await client.call("echo", {"a": 1}, timeout_s=30)
    assert answer == {"path": "/predict", "got": '{"a":1}'}
    (seen,) = gateway.seen
    assert seen.path == "/process/request/predict"
    assert seen.job == {
        "id": seen.job["id"],
        "request": "{}",
        "parameters": "{}",
        "capability": "echo",
        "timeout_seconds": 30,
    }


async def test_an_empty_success_is_a_failure(client: Client) -> None:
    with pytest.raises(NoOrchestrator) as caught:
        await client.call("echo", {}, route="busy")
    assert caught.value.status == 200
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("capability", "route", "kind", "status"),
    [
        ("nope", "predict", CapabilityUnavailable, 400),
        ("echo", "invalid", RunnerError, 422),
        ("echo", "fail", NoOrchestrator, 200),
        ("echo", "image", InvalidAnswer, None),
        ("echo", "events", StreamError, None),
    ],
)
async def test_failures(
    client: Client, capability: str, route: str, kind: type[ClientError], status: int | None
) -> None:
    with pytest.raises(kind) as caught:
        await client.call(capability, {}, route=route)
    assert caught.value.status == status


async def test_a_runners_detail_is_data(client: Client) -> None:
    with pytest.raises(RunnerError) as caught:
        await client.call("echo", {}, route="invalid")
    assert caught.value.detail == [{"loc": ["body", "name"], "msg": "Field required"}]


async def test_what_is_no_gateway(capabilities: dict[str, FakeCapability]) -> None:
    async with (
        fake_orchestrator(capabilities, verify=False) as node,
        Client(gateway=node.url) as client,
    ):
        with pytest.raises(GatewayError, match="X-Orchestrator-Url"):
            await client.call("echo", 1)
    async with Client(gateway=node.url) as client:
        with pytest.raises(NodeUnreachable):
            await client.call("echo", 1)


async def test_a_refusal_of_many_words(client: Client, runner: Runner) -> None:
    runner.words = "x" * 100_000
    with pytest.raises(RunnerError, match="refused with 422") as caught:
        await client.call("echo", {}, route="invalid")
    assert caught.value.status == 422


async def test_events_are_not_replayed(gateway: FakeGateway, client: Client) -> None:
    items = [item async for item in client.call_events("echo", {}, route="events")]
    assert items == [{"i": 0}, {"i": 1}, {"i": 2}]
    # Whoever does not close the connection at the end gets the second orchestrator's run, too.
    url = f"{gateway.url}/process/request/events"
    headers = {"Livepeer": Job(capability="echo", timeout_s=10).header()}
    async with aiohttp.ClientSession() as raw, raw.post(url, headers=headers) as response:
        assert (await response.text()).count("data: [DONE]\n") == 2


async def test_a_marker_inside_an_item_is_told(client: Client) -> None:
    got: list[object] = []

    async def read() -> None:
        async for item in client.call_events("echo", {}, route="events/marker"):
            got.append(item)

    with pytest.raises(StreamCut, match="gateway"):
        await read()
    assert got == [{"i": 0}, {"i": 1}, {"i": 2}, {"t": "say [DONE] now"}]


async def test_a_stream_from_start_to_stop(
    gateway: FakeGateway, client: Client, runner: Runner
) -> None:
    job = await client.start_stream("echo", params={"p": 1}, timeout_s=30)
    start = gateway.seen[-1]
    assert json.loads(start.body) == {"stream_id": job.stream_id, "params": '{"p":1}'}
    assert "sender" not in start.job
    assert json.loads(str(start.job["parameters"]))["enable_data_output"] is True
    assert runner.starts()["params"] == {"p": 1}
    assert job.media.rtmp == f"rtmp://localhost:1935/{job.stream_id}"
    assert (job.media.whip, job.media.rtmp_outputs) == ("", ())
    assert job.urls.control is None

    assert await job.status() is None
    gateway.status[job.stream_id] = {"type": "status", "fps": 7}
    assert await job.status() == {"type": "status", "fps": 7}

    assert await job.update({"q": 2}) == {"path": "/stream/params", "got": '{"q":2}'}
    update = gateway.seen[-1]
    assert update.path == f"/process/stream/{job.stream_id}/update"
    assert update.job["capability"] == "echo"
    assert update.job["parameters"] == "{}"
    assert update.job["timeout_seconds"] == 30
    assert json.loads(str(update.job["request"])) == {"stream_id": job.stream_id}
    with pytest.raises(RunnerError) as caught:
        await job.update({"bad": True})
    assert caught.value.detail == [{"msg": "bad"}]

    await job.stop()
    await job.stop()
    assert [path for path in runner.paths() if path == "/stream/stop"] == ["/stream/stop"] * 2
    with pytest.raises(StreamError, match="stopped"):
        await job.update({"q": 3})


async def test_no_params_are_left_out(gateway: FakeGateway, client: Client) -> None:
    async with await client.start_stream("echo", stream_id="s1"):
        assert json.loads(gateway.seen[-1].body) == {"stream_id": "s1"}


async def test_data_until_the_end(client: Client, runner: Runner) -> None:
    async with await client.start_stream("echo") as job:
        reading = asyncio.create_task(_all(job.data()))
        async with JSONLPublisher(runner.starts()["data_url"]) as data:
            for n in range(3):
                await data.publish({"n": n})
        await asyncio.sleep(0.1)
        assert not reading.done()
    assert await asyncio.wait_for(reading, 5) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def _all(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


async def test_what_a_gateway_does_not_give(client: Client) -> None:
    async with await client.start_stream("echo", data_out=False) as job:
        with pytest.raises(StreamError, match="data_out"):
            await anext(job.data())
        with pytest.raises(StreamError, match="no events"):
            await anext(job.events())
        with pytest.raises(StreamError, match="rtmp://localhost"):
            job.publisher()
        with pytest.raises(StreamError, match="whep"):
            job.subscriber()


async def test_starts_that_fail(client: Client) -> None:
    with pytest.raises(CapabilityUnavailable):
        await client.start_stream("nope")
    async with await client.start_stream("echo", stream_id="s1"):
        with pytest.raises(StreamError, match="fresh id"):
            await client.start_stream("echo", stream_id="s1")


async def test_a_stream_that_is_gone(gateway: FakeGateway, client: Client) -> None:
    job = await client.start_stream("echo")
    gateway.forget(job.stream_id)
    with pytest.raises(StreamError, match="no longer"):
        await job.update({})
    await job.stop()
