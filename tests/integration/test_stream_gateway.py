"""Streams through a gateway, which takes and gives media by other protocols than these."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import CapabilityUnavailable, RunnerError, StreamError
from livepeer.runner import LivePipeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from conftest import Network, Until
    from livepeer.client import BYOCJob, Client

    Running = Callable[..., Awaitable[BYOCJob]]

pytestmark = pytest.mark.gateway


class Narrator(LivePipeline):
    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.updates: list[dict[str, Any]] = []
        self.stops = 0

    def on_stream_start(self, params: dict[str, Any]) -> None:
        if "refuse" in params:
            raise ValueError(params["refuse"])
        self.starts.append(params)

    def on_params_update(self, params: dict[str, Any]) -> None:
        if "refuse" in params:
            raise ValueError(params["refuse"])
        self.updates.append(params)
        self.emit_event({"type": "status", "chapter": params.get("chapter")})
        self.emit_data({"chapter": params.get("chapter")})

    def on_stream_stop(self) -> None:
        self.stops += 1


@pytest.fixture
def narrator() -> Narrator:
    return Narrator()


@pytest.fixture
def running(by_gateway: Client, until: Until) -> Running:
    """Start a stream and wait until the runner has it, for the gateway answers before."""

    async def running(name: str, narrator: Narrator, **options: Any) -> BYOCJob:
        count = len(narrator.starts) + 1
        job = await by_gateway.start_stream(name, **options)
        await until(lambda: len(narrator.starts) == count)
        return job

    return running


DATA_ONLY: dict[str, Any] = {"video_in": False, "video_out": False}


@pytest.mark.signed
async def test_start_update_status_data_stop(
    network: Network, running: Running, until: Until, narrator: Narrator
) -> None:
    async with network.serve(narrator) as runner:
        params = {"text": "<&> 雪", "n": 1.5}
        job = await running(runner.name, narrator, params=params, **DATA_ONLY)
        assert narrator.starts == [params]

        async def has(name: str, value: object) -> bool:
            return (await job.status() or {}).get(name) == value

        await until(lambda: has("orchestrator", network.orchestrator))

        data: list[dict[str, Any]] = []

        async def read() -> None:
            async for item in job.data():
                data.append(item)

        reading = asyncio.create_task(read())

        # The gateway takes what is published after it has begun to listen, and tells nobody when.
        async def is_heard() -> bool:
            assert await job.update({"chapter": 1}) == {"status": "updated"}
            await asyncio.sleep(0.1)
            return {"chapter": 1} in data and await has("chapter", 1)

        await until(is_heard)
        assert await job.update({"chapter": 2}) == {"status": "updated"}
        await until(lambda: {"chapter": 2} in data)
        await until(lambda: has("chapter", 2))
        assert await has("stream_id", job.stream_id)

        await job.stop()
        async with asyncio.timeout(10):
            await reading
        await until(lambda: narrator.stops == 1)
        # The gateway sends a stop of its own after the caller's.
        await asyncio.sleep(0.3)
    assert narrator.stops == 1
    assert narrator.updates[-1] == {"chapter": 2}


async def test_media_goes_another_way(
    network: Network, running: Running, until: Until, narrator: Narrator
) -> None:
    async with network.serve(narrator) as runner:
        job = await running(runner.name, narrator)
        for channel in (job.publisher, job.subscriber):
            with pytest.raises(StreamError, match="gateway"):
                channel()
        assert await job.update({"chapter": 1}) == {"status": "updated"}
        await job.stop()
        await until(lambda: narrator.stops == 1)


async def test_a_refused_update_tells_why(
    network: Network, running: Running, narrator: Narrator
) -> None:
    async with network.serve(narrator) as runner:
        job = await running(runner.name, narrator, **DATA_ONLY)
        with pytest.raises(RunnerError, match="no such chapter") as caught:
            await job.update({"refuse": "no such chapter"})
        assert caught.value.status == 500
        assert await job.update({"chapter": 1}) == {"status": "updated"}
        await job.stop()
        await job.stop()


async def test_an_id_that_runs(
    network: Network, by_gateway: Client, running: Running, until: Until, narrator: Narrator
) -> None:
    async with network.serve(narrator) as runner:
        job = await running(runner.name, narrator, **DATA_ONLY)
        with pytest.raises(StreamError, match="exists"):
            await by_gateway.start_stream(runner.name, stream_id=job.stream_id, **DATA_ONLY)
        # The gateway refuses it before the orchestrator hears of it, so the first one lives on.
        assert await job.update({"chapter": 1}) == {"status": "updated"}
        await job.stop()
        await until(lambda: narrator.stops == 1)


async def test_two_streams_of_two_capabilities(
    network: Network, running: Running, until: Until
) -> None:
    one, other = Narrator(), Narrator()
    async with network.serve(one) as first, network.serve(other) as second:
        job = await running(first.name, one, **DATA_ONLY)
        second_job = await running(second.name, other, **DATA_ONLY)
        await job.update({"chapter": 1})
        await second_job.update({"chapter": 2})
        await job.stop()
        await until(lambda: one.stops == 1)
        await second_job.update({"chapter": 3})
        await second_job.stop()
        await until(lambda: other.stops == 1)
    assert one.updates == [{"chapter": 1}]
    assert other.updates == [{"chapter": 2}, {"chapter": 3}]


async def test_a_runner_that_refuses_the_start_can_start_again(
    network: Network, by_gateway: Client, running: Running, until: Until, narrator: Narrator
) -> None:
    async with network.serve(narrator) as runner:
        # The gateway says that it started, and never that it did not.
        job = await by_gateway.start_stream(runner.name, params={"refuse": "no"}, **DATA_ONLY)

        async def fails() -> bool:
            try:
                await job.update({"chapter": 1})
            except (StreamError, RunnerError):
                return True
            return False

        await until(fails)
        await job.stop()
        again = await running(runner.name, narrator, **DATA_ONLY)
        assert await again.update({"chapter": 1}) == {"status": "updated"}
        await again.stop()
    assert narrator.starts == [{}]


async def test_an_unknown_capability(by_gateway: Client) -> None:
    with pytest.raises(CapabilityUnavailable):
        await by_gateway.start_stream("nobody-has-this")
