"""How live streams end, and what their callers learn of it, and when."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    BYOCJob,
    BYOCJobRequest,
    CapabilityUnavailable,
    Client,
    ConfigError,
    EndReason,
    Finder,
    JobTimeout,
    ListSource,
    NoOrchestrator,
    OrchestratorTransport,
    PaymentRequiredError,
    Reconnect,
    SpendingLimits,
    SpendLimit,
    StreamError,
    StreamLost,
    StreamSettings,
    TicketPayments,
)
from livepeer.client._net.http import HTTP
from livepeer.client._streams.events import EventLog
from livepeer.client._streams.reconnect import Reconnector
from livepeer.client.testing import (
    FakeCapability,
    FakeClock,
    fake_gateway,
    fake_orchestrator,
)
from livepeer.trickle import JSONPublisher
from livepeer.trickle.errors import TrickleError

from .streams import LIMIT_S, QUICK, SlowStart, two_processes, until

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from conftest import Runner
    from livepeer.client import LocalSigner, Reconnected
    from livepeer.client.testing import FakeOrchestrator

    from .streams import Process


@pytest.fixture
async def processes() -> AsyncIterator[tuple[Process, Process]]:
    async with two_processes() as nodes:
        yield nodes


@pytest.fixture
async def node(capabilities: dict[str, FakeCapability]) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator(capabilities) as node:
        yield node


def request() -> BYOCJobRequest:
    return BYOCJobRequest(
        capability="echo", enable_video_ingress=True, enable_video_egress=True, timeout_s=30
    )


async def first_event(job: BYOCJob) -> None:
    async with asyncio.timeout(LIMIT_S):
        await anext(job.events())


def others() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}


async def test_an_orchestrator_that_dies_is_known_within_three_seconds(
    processes: tuple[Process, Process],
) -> None:
    how = (signal.SIGKILL, EndReason.ORCHESTRATOR), (signal.SIGSTOP, EndReason.NETWORK)

    async def lose(node: Process, number: signal.Signals, reason: EndReason) -> None:
        async with Client(orchestrators=[node.url]) as client:
            job = await client.start(request())
            await first_event(job)
            reading = asyncio.create_task(_drain(job))
            began = time.monotonic()
            node.send(number)
            end = await asyncio.wait_for(job.ended(), LIMIT_S)
            assert time.monotonic() - began < 3
            assert end.reason is reason
            assert isinstance(end.error, StreamLost)
            with pytest.raises(StreamLost):
                await asyncio.wait_for(reading, LIMIT_S)
            with pytest.raises(StreamLost):
                await job.update({"p": 1})
            # There is nothing to stop any more, and that is no error.
            await job.stop()
            assert job.end is end

    await asyncio.gather(*(lose(node, *each) for node, each in zip(processes, how, strict=True)))


async def _drain(job: BYOCJob) -> None:
    async for _ in job.events():
        pass


async def test_the_caller_ends_it_quietly(
    node: FakeOrchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    before = others()
    async with Client(orchestrators=[node.url]) as client:
        async with await client.start(request(), settings=QUICK) as job:
            assert job.end is None
            assert repr(job).endswith("running>")
            reading = asyncio.create_task(_drain(job))
            await asyncio.sleep(0.2)
        assert (await job.ended()).reason is EndReason.CALLER
        await reading
        assert job.session.end is job.end
        assert await job.next_session() is None
        assert [session async for session in job.sessions()] == []
        await job.stop()
    assert [record for record in caplog.records if record.levelname != "INFO"] == []
    await until(lambda: not [task for task in others() - before if "stream" in task.get_name()])


async def test_an_orchestrator_that_forgets_the_stream(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url]) as client:
        # Each of these finds out, alone.
        slow = StreamSettings(probe_s=60, keep_alive_s=60, settle_s=0.1)
        for settings in (slow, StreamSettings(keep_alive_s=0.05), StreamSettings(probe_s=0.05)):
            job = await client.start(request(), settings=settings)
            node.remove_stream(job.stream_id)
            end = await asyncio.wait_for(job.ended(), LIMIT_S)
            assert end.reason is EndReason.ORCHESTRATOR
            assert "closed the stream's channels" in end.text


async def test_a_runner_that_ends_it_says_why(node: FakeOrchestrator, runner: Runner) -> None:
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(request(), settings=QUICK)
        async with JSONPublisher(runner.starts()["events_url"]) as events:
            await events.publish({"type": "stop", "reason": "the model is out of memory"})
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.RUNNER
        assert "out of memory" in end.text
        # It has said so: that is no failure of the stream, and readers just end.
        assert end.error is None
        await _drain(job)
        with pytest.raises(StreamError, match=r"has ended: .*out of memory"):
            await job.update({"p": 1})
        # The orchestrator has not noticed: it is told.
        await until(lambda: not node.streams)
        closes = await client.start(request(), settings=QUICK)
        start = runner.starts()
        async with JSONPublisher(start["events_url"]) as events:
            await events.publish({"type": "error", "message": "no such model"})
            await events.close(delete=True)
        end = await asyncio.wait_for(closes.ended(), LIMIT_S)
        assert end.reason is EndReason.RUNNER
        assert "no such model" in end.text
        assert isinstance(end.error, StreamLost)


async def test_an_answer_that_is_late_once_is_not_the_last_word() -> None:
    asked: list[frozenset[str]] = []

    async def attempt(exclude: frozenset[str]) -> str:
        asked.append(exclude)
        if len(asked) == 1:
            raise JobTimeout("no answer")
        return "on"

    assert await Reconnector(Reconnect(pause_s=0.01)).start("http://a", attempt) == "on"
    assert asked == [{"http://a"}, set()]


async def test_a_runner_that_does_not_report_is_lost(
    node: FakeOrchestrator, runner: Runner
) -> None:
    settings = StreamSettings(probe_s=0.05, events_silent_s=0.6)
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(request(), settings=settings)
        async with JSONPublisher(runner.starts()["events_url"]) as events:
            for _ in range(8):
                await events.publish({"type": "heartbeat"})
                await asyncio.sleep(0.1)
            assert job.end is None
            end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.RUNNER
        assert "0.6 s" in end.text
        await until(lambda: runner.paths()[-1] == "/stream/stop")


async def test_a_media_channel_that_is_gone_ends_the_session(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(request(), settings=QUICK)
        node.trickle.close_channel(job.stream_id)
        publisher = job.publisher()

        async def publish() -> None:
            while True:
                await publisher.write_segment(b"G" * 188)

        with pytest.raises(TrickleError) as caught:
            await publish()
        await publisher.close(delete=False)
        job.session.report(caught.value)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.ORCHESTRATOR
        assert "media channel" in end.text


async def test_a_client_that_closes_during_a_start(node: FakeOrchestrator) -> None:
    slow = SlowStart()
    node.capabilities["slow"] = FakeCapability(slow)
    async with Client(orchestrators=[node.url]) as client:
        starting = asyncio.create_task(client.start_stream("slow"))
        await slow.started.wait()
    assert slow.stopped.is_set()
    with pytest.raises(StreamError, match="during its start"):
        await starting
    assert node.streams == set()


async def test_a_failed_start_leaves_nothing(node: FakeOrchestrator) -> None:
    before = others()
    async with Client(orchestrators=[node.url]) as client:
        with pytest.raises(CapabilityUnavailable):
            await client.start_stream("nope", reconnect=True)
    await until(lambda: not [task for task in others() - before if "stream" in task.get_name()])


async def test_events_for_slow_readers_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    log = EventLog(keep=3)
    reader = log.read()
    log.add({"n": 0})
    assert await anext(reader) == {"n": 0}
    for n in range(1, 6):
        log.add({"n": n})
    log.close()
    assert [event["n"] async for event in reader] == [3, 4, 5]
    assert [event["n"] async for event in log.read()] == [3, 4, 5]
    assert "missed 2 events" in caplog.text


async def test_a_stream_goes_on_at_another_orchestrator(
    processes: tuple[Process, Process],
) -> None:
    told: list[Reconnected] = []
    one, two = processes
    async with Client(orchestrators=[one.url, two.url]) as client:
        job = await client.start(
            request(), params={"p": 1}, reconnect=True, on_reconnect=told.append
        )
        out: list[bytes] = []
        media = [asyncio.create_task(_send(job)), asyncio.create_task(_receive(job, out))]
        watching = asyncio.create_task(_params(job))
        await job.update({"q": 2})
        await until(lambda: len(out) > 3)
        first = job.session
        began = time.monotonic()
        one.send(signal.SIGSTOP)
        assert (await asyncio.wait_for(first.ended(), LIMIT_S)).recoverable
        assert time.monotonic() - began < 3
        # What is said meanwhile waits for the next orchestrator.
        await asyncio.wait_for(job.update({"r": 3}), LIMIT_S)
        assert job.session.number == 2
        assert job.session.node_url == two.url
        assert job.stream_id != first.stream_id
        received = len(out)
        await until(lambda: len(out) > received + 3)
        await asyncio.wait_for(watching, LIMIT_S)
        (gap,) = told
        assert job.reconnects == (gap,)
        assert (gap.from_url, gap.to_url) == (one.url, two.url)
        assert gap.end.reason is EndReason.NETWORK
        assert 0 < gap.gap_s < LIMIT_S
        await job.stop()
        await asyncio.wait_for(asyncio.gather(*media), LIMIT_S)
        assert (await job.ended()).reason is EndReason.CALLER


async def _send(job: BYOCJob) -> None:
    async for session in job.sessions():
        try:
            async with session.publisher() as publisher:
                while session.end is None:
                    await publisher.write_segment(b"G" * 188)
                    await asyncio.sleep(0.02)
        except TrickleError as error:
            session.report(error)


async def _receive(job: BYOCJob, out: list[bytes]) -> None:
    async for session in job.sessions():
        try:
            async with session.subscriber() as subscriber:
                async for segment in subscriber:
                    out.append(await segment.read(1000))
        except TrickleError as error:
            session.report(error)


async def _params(job: BYOCJob) -> None:
    """Until a runner has all parameters, whichever it is."""
    async for event in job.events():
        if event.get("params") == '{"p": 1, "q": 2, "r": 3}':
            return


async def test_one_that_was_restarted_takes_it_again(
    node: FakeOrchestrator, runner: Runner
) -> None:
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(
            request(), settings=QUICK, reconnect=Reconnect(pause_s=0.05, per_minute=2)
        )
        for number in (1, 2):
            session = job.session
            node.remove_stream(session.stream_id)
            following = await job.next_session(session, within_s=LIMIT_S)
            assert following is not None
            assert following.number == number + 1
            assert runner.starts()["gateway_request_id"] == following.stream_id
        # Lost too often, it is given up.
        node.remove_stream(job.stream_id)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.ORCHESTRATOR
        assert "within a minute" in end.text
        assert await job.next_session() is None


async def test_when_no_other_takes_it(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(
            request(), settings=QUICK, reconnect=Reconnect(within_s=0.3, pause_s=0.05)
        )
        del node.capabilities["echo"]
        node.remove_stream(job.stream_id)
        waiting = asyncio.create_task(job.next_session(job.session))
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.ORCHESTRATOR
        assert "does not go on elsewhere" in end.text
        assert end.error is not None
        assert isinstance(end.error.__cause__, (CapabilityUnavailable, NoOrchestrator))
        assert await waiting is None


async def test_a_stop_while_it_looks_for_another(node: FakeOrchestrator) -> None:
    async with Client(orchestrators=[node.url]) as client:
        job = await client.start(request(), settings=QUICK, reconnect=True)
        del node.capabilities["echo"]
        lost = job.session
        node.remove_stream(job.stream_id)
        await asyncio.wait_for(lost.ended(), LIMIT_S)
        updating = asyncio.create_task(job.update({"q": 1}))
        assert await job.next_session(lost, within_s=0.05) is None
        await job.stop()
        assert (await job.ended()).reason is EndReason.CALLER
        with pytest.raises(StreamError, match="stopped"):
            await updating
    assert node.streams == set()


async def test_a_gateway_that_dies(capabilities: dict[str, FakeCapability]) -> None:
    settings = StreamSettings(gateway_probe_s=0.05, away_s=0.4)
    async with fake_orchestrator(capabilities) as node, AsyncExitStack() as stack:
        gateway = await stack.enter_async_context(fake_gateway([node]))
        async with Client(gateway=gateway.url) as client:
            job = await client.start(request(), settings=settings)
            # That it has no status says nothing.
            await until(lambda: [seen.path.endswith("status") for seen in gateway.seen].count(True))
            assert job.end is None
            await stack.aclose()
            end = await asyncio.wait_for(job.ended(), LIMIT_S)
            assert end.reason in (EndReason.ORCHESTRATOR, EndReason.NETWORK)


@asynccontextmanager
async def paying(
    node: FakeOrchestrator,
    signer: LocalSigner,
    clock: FakeClock,
    *,
    max_spend: int | None = None,
) -> AsyncGenerator[BYOCJob]:
    """A job that pays twenty times as often as is needed."""
    async with HTTP() as http:
        transport = OrchestratorTransport(
            http,
            Finder(ListSource([node.url])),
            signer=signer,
            payments=SpendingLimits(max_spend=max_spend).applied_to(
                TicketPayments(signer, clock=clock)
            ),
            pay_every_s=0.05,
        )
        settings = replace(QUICK, pay_again_s=0.05)
        async with BYOCJob(transport, http, request(), settings=settings) as job:
            yield await job.start()


@pytest.fixture
async def priced(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({"echo": FakeCapability(runner, price=1000)}) as node:
        yield node


async def tick(node: FakeOrchestrator, job: BYOCJob, clock: FakeClock) -> float:
    """Let 23 s pass and be charged, and the caller look at it."""
    clock.advance(23)
    left = node.meters.tick(job.stream_id)
    looked = node.paths().count("/process/token")
    await until(lambda: job.end or node.paths().count("/process/token") >= looked + 2)
    return float(left)


async def test_a_stream_pays_while_it_runs(priced: FakeOrchestrator, signer: LocalSigner) -> None:
    clock = FakeClock()
    async with paying(priced, signer, clock) as job:
        assert min([await tick(priced, job, clock) for _ in range(12)]) >= 0
        assert len(priced.payments) > 3
    assert (await job.ended()).reason is EndReason.CALLER
    assert priced.streams == set()


async def test_what_may_be_spent_ends_a_stream(
    priced: FakeOrchestrator, signer: LocalSigner
) -> None:
    clock = FakeClock()
    async with paying(priced, signer, clock, max_spend=200_000) as job:
        while job.end is None:
            await tick(priced, job, clock)
        end = await job.ended()
        assert end.reason is EndReason.PAYMENT
        assert isinstance(end.error, SpendLimit)
        with pytest.raises(SpendLimit):
            await _drain(job)
        assert sum(payment.value for payment in priced.payments) <= 200_000
        # What is left of the credit stops it.
        await until(lambda: not priced.streams)


async def test_a_stream_that_starves_says_so(priced: FakeOrchestrator, signer: LocalSigner) -> None:
    async with paying(priced, signer, FakeClock()) as job:
        priced.faults.answer(503, path="/ai/stream/payment", times=1000)
        priced.meters.tick(job.stream_id)
        # A payment that does not arrive is tried again, until there is no credit.
        await until(lambda: priced.paths().count("/ai/stream/payment") > 4)
        assert job.end is None
        priced.remove_stream(job.stream_id)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.PAYMENT
        assert isinstance(end.error, PaymentRequiredError)


def _more(node: FakeOrchestrator, job: BYOCJob, paid: int) -> bool:
    return job.end is not None or len(node.payments) > paid


async def test_a_failure_of_the_node_is_no_end_while_there_is_credit(
    priced: FakeOrchestrator, signer: LocalSigner
) -> None:
    token, payment = "/process/token", "/ai/stream/payment"
    clock = FakeClock()
    async with paying(priced, signer, clock) as job:
        for status, path in ((500, token), (400, token), (500, payment), (400, payment)):
            # 69 s: more than what is left once two minutes are covered.
            paid = len(priced.payments)
            priced.faults.answer(status, "unheard of", path=path)
            for _ in range(3):
                clock.advance(23)
                priced.meters.tick(job.stream_id)
            await until(partial(_more, priced, job, paid))
            assert job.end is None
        # Two payments that are refused, one after the other, are one.
        priced.faults.answer(400, "Insufficient balance for request", path=payment, times=1000)
        for _ in range(3):
            clock.advance(23)
            priced.meters.tick(job.stream_id)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert end.reason is EndReason.PAYMENT
        priced.faults.clear()


def test_the_defaults_are_the_contracts() -> None:
    settings = StreamSettings()
    # Keep-alives and watchdog are go-livepeer's; the rest leaves time to tell.
    assert settings.keep_alive_s == 10
    assert settings.events_silent_s == 30
    assert settings.lost_after_s < 2.5
    with pytest.raises(ConfigError, match="probe_s"):
        StreamSettings(probe_s=0)
    with pytest.raises(ConfigError, match="per_minute"):
        Reconnect(per_minute=0)
