"""Nothing stays behind at a node, whichever way a stream or its client ends."""

from __future__ import annotations

import asyncio
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import pytest

from livepeer.client import (
    BYOCJob,
    BYOCJobRequest,
    CapabilityUnavailable,
    Client,
    EndReason,
    Finder,
    FreeOnly,
    ListSource,
    OrchestratorTransport,
    StreamLost,
    StreamSettings,
    start_byoc_job,
)
from livepeer.client._net.http import HTTP
from livepeer.client.testing import FakeCapability, RunnerReply, fake_gateway, fake_orchestrator
from livepeer.trickle import JSONLPublisher, JSONPublisher

from .streams import LIMIT_S, QUICK, two_processes, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping

    from conftest import Runner
    from livepeer.client import LocalSigner
    from livepeer.client._nodes.transport import StreamHandle
    from livepeer.client.testing import FakeOrchestrator, RunnerRequest

T = TypeVar("T", bound=OrchestratorTransport)


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities, verify=False) as node:
        yield node


def request() -> BYOCJobRequest:
    return BYOCJobRequest(capability="echo", enable_data_output=True, timeout_s=30)


def free(kind: type[T], http: HTTP, node: FakeOrchestrator, signer: LocalSigner) -> T:
    """A transport to one orchestrator, which pays nothing."""
    return kind(http, Finder(ListSource([node.url])), signer=signer, payments=FreeOnly())


async def cancel_in_vain(working: asyncio.Task[None], gate: asyncio.Event) -> None:
    """Cancel what stops a stream: it goes on until the gate lets the stop through."""
    working.cancel()
    await asyncio.sleep(0.05)
    # Nobody would wait for it: a program may end with its last task.
    assert not working.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await working


async def test_a_start_at_a_gateway_that_is_given_up(node: FakeOrchestrator) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(call: RunnerRequest) -> RunnerReply:
        if call.path == "/stream/start":
            begun.set()
            await go_on.wait()
        return RunnerReply.json({})

    node.capabilities["slow"] = FakeCapability(slow)
    async with fake_gateway([node]) as gateway, Client(gateway=gateway.url) as client:
        # The first is stopped while it starts, the second is not even known then.
        for stops in (1, 2):
            begun.clear()
            seen = len(gateway.seen)
            starting = asyncio.create_task(client.start_stream("slow", stream_id=f"s{stops}"))
            await begun.wait()
            if stops == 2:
                held = gateway._streams.pop("s2")
                asyncio.get_running_loop().call_later(0.1, gateway._streams.__setitem__, "s2", held)
            starting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await starting
            paths = [call.path for call in gateway.seen[seen:]]
            assert paths[0].endswith("/start")
            assert len(paths) >= 1 + stops
            assert gateway._streams == {}
        go_on.set()


class _CancelsItsCaller(OrchestratorTransport):
    """Has who asked for a start be cancelled in the turn in which the stream is there."""

    caller: asyncio.Task[object] | None = None

    async def start(
        self,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None,
        *,
        exclude: Collection[str] = frozenset(),
    ) -> StreamHandle:
        stream = await super().start(request, params, exclude=exclude)
        if self.caller is not None:
            self.caller.cancel()
        return stream


async def test_a_start_that_succeeds_as_it_is_cancelled(
    node: FakeOrchestrator, signer: LocalSigner
) -> None:
    over: list[BYOCJob] = []
    async with HTTP() as http:
        transport = free(_CancelsItsCaller, http, node, signer)
        job = BYOCJob(transport, http, request(), settings=QUICK, on_stop=over.append)
        transport.caller = asyncio.create_task(job.start())
        with suppress(asyncio.CancelledError):
            await transport.caller
        assert transport.caller.cancelled()
        assert node.paths()[-1] == "/ai/stream/stop"
        assert node.streams == set()
        assert over == [job]
        assert (await asyncio.wait_for(job.ended(), LIMIT_S)).reason is EndReason.CALLER


async def test_a_job_that_did_not_start_has_ended(
    node: FakeOrchestrator, signer: LocalSigner
) -> None:
    async with HTTP() as http:
        transport = free(OrchestratorTransport, http, node, signer)
        job = BYOCJob(transport, http, BYOCJobRequest(capability="nope"))
        with pytest.raises(CapabilityUnavailable) as caught:
            await job.start()
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.ORCHESTRATOR
        assert end.error is caught.value


async def test_a_client_waits_for_sessions_that_are_being_left(
    node: FakeOrchestrator, runner: Runner
) -> None:
    loop, complaints = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    gate = asyncio.Event()
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(request(), settings=QUICK)
        node.faults.hold(gate, path="/ai/stream/stop")
        async with JSONPublisher(runner.starts()["events_url"]) as events:
            await events.publish({"type": "stop", "reason": "done"})
        assert (await asyncio.wait_for(job.ended(), LIMIT_S)).error is None
        loop.call_later(0.3, gate.set)
    assert node.streams == set()
    assert complaints == []


async def test_a_cancelled_client_stops_all(node: FakeOrchestrator) -> None:
    gate = asyncio.Event()

    async def work() -> None:
        async with Client(orchestrators=[node.url]) as client:
            for _ in range(3):
                await client.start_stream("echo")
            node.faults.hold(gate, times=3, path="/ai/stream/stop")

    working = asyncio.create_task(work())
    # All stops are under way at the same time.
    await until(lambda: node.paths().count("/ai/stream/stop") == 3)
    await cancel_in_vain(working, gate)
    assert node.streams == set()


async def test_a_fault_of_one_stop_is_not_that_of_the_others(node: FakeOrchestrator) -> None:
    async def fault() -> None:
        raise OSError("of the author")

    async def three(faulty: int) -> None:
        async with Client(orchestrators=[node.url]) as client:
            for n in range(3):
                job = await client.start_stream("echo")
                if n < faulty:
                    job.when_stopped(fault)

    with pytest.raises(OSError, match="of the author"):
        await three(1)
    assert node.streams == set()
    with pytest.raises(ExceptionGroup) as caught:
        await three(2)
    assert len(caught.value.exceptions) == 2
    assert node.streams == set()


class _Faulty(OrchestratorTransport):
    async def pay(self, stream: StreamHandle) -> float | None:
        raise ZeroDivisionError("a fault")


async def test_a_fault_of_our_own_leaves_nothing(
    node: FakeOrchestrator, signer: LocalSigner
) -> None:
    async with HTTP() as http:
        transport = free(_Faulty, http, node, signer)
        job = await BYOCJob(transport, http, request(), settings=QUICK).start()
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert isinstance(end.error, StreamLost)
        assert job.session.end is end
        await until(lambda: not node.streams)
        await job.stop()


async def test_done_is_done(node: FakeOrchestrator, runner: Runner) -> None:
    async with Client(orchestrators=[node.url]) as client:
        ends: list[list[dict[str, object]]] = [
            [{"type": "stop", "reason": "done"}],
            [{"type": "error", "message": "one frame"}, {"type": "end_of_stream", "segments": 3}],
        ]
        for events in ends:
            starts = runner.paths().count("/stream/start")
            job = await client.start(request(), settings=QUICK, reconnect=True)
            async with JSONPublisher(runner.starts()["events_url"]) as channel:
                for event in events:
                    await channel.publish(event)
                await channel.close(delete=True)
            end = await asyncio.wait_for(job.ended(), LIMIT_S)
            assert (end.reason, end.error, end.recoverable) == (EndReason.RUNNER, None, False)
            assert [event async for event in job.events()] == events
            assert runner.paths().count("/stream/start") == starts + 1
            assert job.reconnects == ()


async def test_a_runner_that_is_redeployed_is_not_done(
    node: FakeOrchestrator, runner: Runner
) -> None:
    async with Client(orchestrators=[node.url]) as client:
        jobs = [
            await client.start(request(), settings=QUICK, reconnect=reconnect)
            for reconnect in (False, True)
        ]
        first = jobs[1].session
        for job in jobs:
            async with JSONPublisher(str(job.urls.events)) as events:
                await events.publish({"type": "stop", "reason": "it goes", "done": False})
        end = await asyncio.wait_for(jobs[0].ended(), LIMIT_S)
        assert (end.reason, type(end.error)) == (EndReason.RUNNER, StreamLost)
        assert end.text == "the runner ended the stream: it goes"
        assert await jobs[1].next_session(first, within_s=LIMIT_S) is not None
        assert [again.end.reason for again in jobs[1].reconnects] == [EndReason.RUNNER]


async def test_the_parameters_in_force_go_with_the_start(
    node: FakeOrchestrator, runner: Runner
) -> None:
    async with Client(orchestrators=[node.url]) as client:
        for params, started in (({"p": 1, "q": 1}, {"p": 1, "q": 2}), (None, {"q": 2})):
            job = await client.start(request(), params=params, settings=QUICK, reconnect=True)
            await job.update({"q": 2})
            first, updates = job.session, runner.paths().count("/stream/params")
            node.remove_stream(job.stream_id)
            assert await job.next_session(first, within_s=LIMIT_S) is not None
            assert runner.starts()["params"] == started
            assert runner.paths().count("/stream/params") == updates
            await job.stop()


async def test_data_ends_with_a_session_that_is_lost() -> None:
    async with (
        two_processes() as (one, two),
        Client(orchestrators=[one.url, two.url]) as client,
    ):
        job = await client.start(request(), reconnect=True)
        items = job.data()
        reading = asyncio.create_task(anext(items))
        first = job.session
        one.send(signal.SIGSTOP)
        # The job goes on at the other one, and so does who reads.
        following = await job.next_session(first, within_s=LIMIT_S)
        assert following is not None
        assert following.urls.data is not None
        async with JSONLPublisher(following.urls.data) as data:
            await data.publish({"n": 1})
            assert await asyncio.wait_for(reading, LIMIT_S) == {"n": 1}
        rest = asyncio.create_task(_all(items))
        await job.stop()
        assert await asyncio.wait_for(rest, LIMIT_S) == []


async def _all(items: AsyncIterator[object]) -> list[object]:
    return [item async for item in items]


async def test_data_of_a_gateway_that_is_lost(capabilities: dict[str, FakeCapability]) -> None:
    settings = StreamSettings(gateway_probe_s=0.05, away_s=0.4)
    async with fake_orchestrator(capabilities) as node:
        async with fake_gateway([node]) as gateway:
            client = await Client(gateway=gateway.url).__aenter__()
            job = await client.start(request(), settings=settings)
            items = job.data()
            reading = asyncio.create_task(anext(items))
            await until(lambda: any(call.path.endswith("/data") for call in gateway.seen))
        with pytest.raises(StreamLost):
            await asyncio.wait_for(reading, LIMIT_S)
        assert job.end is not None
        await client.__aexit__(None, None, None)


async def test_a_cancelled_context_stops_its_job(node: FakeOrchestrator) -> None:
    gate = asyncio.Event()

    async def work() -> None:
        async with await start_byoc_job(request(), orchestrators=[node.url]):
            node.faults.hold(gate, path="/ai/stream/stop")

    working = asyncio.create_task(work())
    await until(lambda: "/ai/stream/stop" in node.paths())
    await cancel_in_vain(working, gate)
    assert node.streams == set()
