"""Paid exchanges with orchestrators that check every ticket, and what goes wrong in them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    BYOCJobRequest,
    Client,
    ClientError,
    FreeOnly,
    Job,
    JobToken,
    LocalSigner,
    NodeUnreachable,
    NoOrchestrator,
    OrchestratorTransport,
    Payment,
    PaymentRequiredError,
    RunnerError,
    SpendLimit,
    TicketPayments,
)
from livepeer.client._body.body import Body
from livepeer.client._find.discovery import ListSource
from livepeer.client._find.finder import Finder
from livepeer.client._net.http import HTTP
from livepeer.client._nodes.node import Node
from livepeer.client._nodes.purse import Purse
from livepeer.client._streams.paying import StreamPayments
from livepeer.client._streams.watch import NodeWatch, channel_probe
from livepeer.client.testing import FakeCapability, FakeClock, RunnerReply, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from conftest import Runner
    from livepeer.client._nodes.transport import StreamHandle
    from livepeer.client._pay.payments import PaymentProvider, PaymentSession
    from livepeer.client.testing import FakeOrchestrator, RunnerRequest

PRICE = 10
TOKEN, PREDICT = "/process/token", "/process/request/predict"
START, PAY, STOP = "/ai/stream/start", "/ai/stream/payment", "/ai/stream/stop"
UPDATE = "/ai/stream/update"
UNPAID = "Insufficient balance for request"


class Noted:
    """Pays with tickets, and notes what its sessions are told."""

    def __init__(self, signer: LocalSigner) -> None:
        self.told: list[str] = []
        self.sessions: list[str] = []
        self.clock = FakeClock()
        self._tickets = TicketPayments(signer, clock=self.clock)

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> PaymentSession:
        self.sessions.append(node_url)
        return NotedSession(self.told, self._tickets.session(job, node_url, refresh=refresh))


class NotedSession:
    def __init__(self, told: list[str], inner: PaymentSession) -> None:
        self._told = told
        self._inner = inner

    async def payment(self, terms: JobToken, *, seconds: int) -> Payment | None:
        return await self._inner.payment(terms, seconds=seconds)

    def accepted(self, payment: Payment, *, balance: int | None) -> None:
        self._told.append(f"accepted {balance}")
        self._inner.accepted(payment, balance=balance)

    def lost(self, payment: Payment) -> None:
        self._told.append("lost")
        self._inner.lost(payment)

    def refused(self, payment: Payment) -> None:
        self._told.append("refused")
        self._inner.refused(payment)


@pytest.fixture
async def node(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    async with fake_orchestrator(offer, ticket_value=100) as node:
        yield node


@pytest.fixture
def purse(signer: LocalSigner) -> Noted:
    return Noted(signer)


@pytest.fixture
async def client(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted
) -> AsyncIterator[Client]:
    async with Client(orchestrators=[node.url], signer=signer, payments=purse) as client:
        yield client


@asynccontextmanager
async def transport(
    *urls: str, signer: LocalSigner, purse: Noted
) -> AsyncGenerator[OrchestratorTransport]:
    async with HTTP() as http:
        finder = Finder(ListSource(urls))
        yield OrchestratorTransport(http, finder, signer=signer, payments=purse)


def echo() -> BYOCJobRequest:
    return BYOCJobRequest(capability="echo")


@pytest.fixture
async def way(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted
) -> AsyncIterator[OrchestratorTransport]:
    async with transport(node.url, signer=signer, purse=purse) as way:
        yield way


@pytest.fixture
async def stream(way: OrchestratorTransport) -> StreamHandle:
    return await way.start(echo(), None)


def paid(node: FakeOrchestrator, path: str) -> list[bool]:
    return ["livepeer-payment" in seen.headers for seen in node.seen if seen.path == path]


async def test_a_call_is_paid_in_advance(
    node: FakeOrchestrator, client: Client, signer: LocalSigner, purse: Noted
) -> None:
    assert await client.call("echo", 1, timeout_s=90)
    assert node.paths() == [TOKEN, PREDICT]
    assert [payment.value for payment in node.payments] == [900]
    assert purse.told == ["accepted 890"]
    # The credit of the first suffices for a second, until it is less than two minutes' worth.
    node.set_balance(signer.address, "echo", 120 * PRICE)
    assert await client.call("echo", 1)
    node.set_balance(signer.address, "echo", 120 * PRICE - 1)
    assert await client.call("echo", 1)
    assert paid(node, PREDICT) == [True, False, True]


async def test_a_free_capability_has_no_payment_and_no_session(
    node: FakeOrchestrator, client: Client, purse: Noted
) -> None:
    node.capabilities["echo"].price = 0
    assert await client.call("echo", 1)
    async with await client.start_stream("echo", video_in=False, video_out=False):
        pass
    assert purse.sessions == []
    assert not any("livepeer-payment" in seen.headers for seen in node.seen)


async def test_too_little_credit_is_paid_for_once(
    node: FakeOrchestrator, client: Client, purse: Noted, runner: Runner
) -> None:
    node.faults.answer(400, UNPAID, path=PREDICT)
    assert await client.call("echo", 1)
    assert node.paths() == [TOKEN, PREDICT, TOKEN, PREDICT]
    assert purse.told[0] == "refused"
    node.seen.clear()
    node.faults.answer(400, UNPAID, path=PREDICT, times=2)
    with pytest.raises(PaymentRequiredError, match="Insufficient balance"):
        await client.call("echo", 1)
    assert node.paths() == [TOKEN, PREDICT, TOKEN, PREDICT]
    assert len(runner.seen) == 1


async def test_a_connection_that_is_closed_over_a_payment_is_a_payment_refused(
    node: FakeOrchestrator, client: Client, signer: LocalSigner, purse: Noted, runner: Runner
) -> None:
    node.faults.drop(path=PREDICT)
    assert await client.call("echo", 1)
    assert node.paths() == [TOKEN, PREDICT, TOKEN, PREDICT]
    headers = [s.headers["livepeer-payment"] for s in node.seen if s.path == PREDICT]
    assert headers[0] != headers[1]
    assert purse.told[0] == "refused"
    node.faults.drop(path=PREDICT, times=2)
    node.set_balance(signer.address, "echo", 0)
    with pytest.raises(PaymentRequiredError, match="without an answer") as caught:
        await client.call("echo", 1)
    assert isinstance(caught.value.__cause__, NodeUnreachable)
    assert runner.paths() == ["/predict"]


async def test_a_job_whose_payment_arrived_is_not_sent_again_there(
    node: FakeOrchestrator, client: Client, runner: Runner, purse: Noted
) -> None:
    node.faults.lose(path=PREDICT)
    with pytest.raises(NodeUnreachable) as caught:
        await client.call("echo", 1)
    assert caught.value.connected
    # The terms said afterwards that the credit has grown.
    assert node.paths() == [TOKEN, PREDICT, TOKEN]
    assert runner.paths() == ["/predict"]
    assert len(node.payments) == 1
    assert purse.told == ["accepted None"]


async def test_a_connection_that_never_was_is_no_payment_refused(
    signer: LocalSigner, purse: Noted, runner: Runner
) -> None:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    async with fake_orchestrator(offer, ticket_value=100) as node, HTTP() as http:
        there = Node(http, node.url, signer=signer)
        job = Job(capability="echo", timeout_s=30)
        terms = await there.terms.fetch("echo")
        await node.kill()
        wallet = Purse(purse, job, node.url, there.terms, terms, seconds=30)
        with pytest.raises(NodeUnreachable) as caught:
            await there.send(PREDICT, job, Body.of(b"1"), wallet)
    assert not caught.value.connected
    assert purse.told == ["lost"]


async def test_a_job_that_may_have_begun_is_sent_elsewhere_unless_that_is_forbidden(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted, runner: Runner
) -> None:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    async with (
        fake_orchestrator(offer, ticket_value=100) as other,
        Client(orchestrators=[node.url, other.url], signer=signer, payments=purse) as client,
    ):
        node.faults.lose(path=PREDICT)
        with pytest.raises(NodeUnreachable):
            await client.call("echo", 1, at_most_once=True)
        assert runner.paths() == ["/predict"]
        # One that surely did not begin is another matter.
        node.faults.answer(503, "No capacity available for capability", path=PREDICT)
        assert await client.call("echo", 1, at_most_once=True)
        assert len(runner.seen) == 2
        node.faults.lose(path=PREDICT)
        assert await client.call("echo", 1)
        assert len(runner.seen) == 4


async def test_a_runners_failure_uses_the_payment_up(
    node: FakeOrchestrator, client: Client, purse: Noted
) -> None:
    with pytest.raises(RunnerError):
        await client.call("echo", 1, route="invalid")
    assert purse.told == ["accepted 590"]


async def test_a_runner_that_speaks_of_money_is_not_paid_or_run_again(
    node: FakeOrchestrator, client: Client, purse: Noted
) -> None:
    for status, text in (
        (402, "your plan is used up"),
        (400, "Insufficient balance for request"),
    ):
        said: list[str] = []

        async def refuse(
            request: RunnerRequest,
            *,
            status: int = status,
            text: str = text,
            said: list[str] = said,
        ) -> RunnerReply:
            said.append(request.path)
            return RunnerReply(body=text.encode(), content_type="text/plain", status=status)

        node.capabilities["echo"].handler = refuse
        with pytest.raises(RunnerError, match=text):
            await client.call("echo", 1)
        assert said == ["/predict"]
    assert purse.told[0] == "accepted 590"
    assert "refused" not in purse.told


async def test_the_next_orchestrator_gets_a_payment_of_its_own(
    node: FakeOrchestrator, runner: Runner, signer: LocalSigner, purse: Noted
) -> None:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    async with fake_orchestrator(offer, ticket_value=100) as other:
        urls = [node.url, other.url]
        async with Client(orchestrators=urls, signer=signer, payments=purse) as client:
            node.faults.answer(503, "insufficient capacity", path=PREDICT)
            assert await client.call("echo", 1)
            assert purse.sessions == urls
            assert purse.told == ["lost", "accepted 590"]
            for each in (node, other):
                each.faults.answer(503, "insufficient capacity", path=PREDICT)
            other.set_balance(signer.address, "echo", 0)
            with pytest.raises(ClientError) as caught:
                await client.call("echo", 1)
            assert all(url in str(caught.value) for url in urls)
    assert len(runner.seen) == 1


async def test_one_that_overcharges_is_left_for_the_cheaper(
    node: FakeOrchestrator, runner: Runner, signer: LocalSigner
) -> None:
    node.capabilities["echo"].price = 10**12
    async with fake_orchestrator({"echo": FakeCapability(runner, price=PRICE)}) as other:
        urls = [node.url, other.url]
        payments = TicketPayments(signer)
        async with Client(
            orchestrators=urls, signer=signer, payments=payments, max_price_per_s=100
        ) as client:
            async with client.open_call("echo", 1) as answer:
                assert answer.orchestrator_url == other.url
            other.capabilities.clear()
            with pytest.raises(NoOrchestrator) as caught:
                await client.call("echo", 1)
    assert all(url in str(caught.value) for url in urls)
    assert node.paths() == [TOKEN] * 2


async def test_what_others_paid_meanwhile_is_used_where_no_more_may_be_spent(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted
) -> None:
    before = '{"available_capacity":1,"price":{"pricePerUnit":10,"pixelsPerUnit":1}}'
    node.set_balance(signer.address, "echo", 120 * PRICE)
    async with Client(
        orchestrators=[node.url], signer=signer, payments=purse, max_spend=0
    ) as client:
        node.faults.answer(200, before, path=TOKEN)
        assert await client.call("echo", 1)
        node.set_balance(signer.address, "echo", 0)
        with pytest.raises(SpendLimit):
            await client.call("echo", 1)
    assert node.paths() == [TOKEN, TOKEN, PREDICT, TOKEN, TOKEN]
    assert node.payments == []


async def test_a_call_that_is_given_up_leaves_its_payment_open(
    node: FakeOrchestrator, client: Client, purse: Noted, runner: Runner
) -> None:
    calling = asyncio.create_task(client.call("echo", 1, route="slow"))
    await runner.started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert purse.told == ["lost"]


async def test_a_stream_is_paid_at_its_start_while_it_runs_and_at_its_stop(
    node: FakeOrchestrator,
    signer: LocalSigner,
    purse: Noted,
    way: OrchestratorTransport,
    stream: StreamHandle,
) -> None:
    # A minute, and the time until the next payment.
    assert [payment.value for payment in node.payments] == [80 * PRICE]
    assert await way.pay(stream) == 20
    assert len(node.payments) == 2
    node.set_balance(signer.address, "echo", 120 * PRICE)
    assert await way.pay(stream) == 20
    assert len(node.payments) == 2
    node.set_balance(signer.address, "echo", 60 * PRICE - 1)
    purse.clock.advance(80)
    await way.stop(stream)
    assert paid(node, STOP) == [True]
    assert len(purse.sessions) == 1
    assert node.streams == set()


async def test_a_402_at_the_start_is_paid_once(
    node: FakeOrchestrator, client: Client, runner: Runner
) -> None:
    node.faults.answer(402, UNPAID, path=START)
    async with await client.start_stream("echo", video_in=False):
        assert node.paths() == [TOKEN, START, TOKEN, START]
    node.seen.clear()
    node.faults.answer(402, UNPAID, path=START, times=2)
    with pytest.raises(PaymentRequiredError):
        await client.start_stream("echo")
    assert node.paths() == [TOKEN, START, TOKEN, START]
    assert runner.paths().count("/stream/start") == 1


async def test_an_update_that_wants_credit_is_paid_for_by_itself(
    node: FakeOrchestrator, signer: LocalSigner, way: OrchestratorTransport, stream: StreamHandle
) -> None:
    node.set_balance(signer.address, "echo", 0)
    node.seen.clear()
    assert await way.update(stream, {"a": 1})
    assert node.paths() == [UPDATE, TOKEN, PAY, UPDATE]
    assert paid(node, UPDATE) == [False, False]
    await way.stop(stream)


async def test_a_payment_whose_answer_is_lost_is_not_paid_twice(
    node: FakeOrchestrator,
    signer: LocalSigner,
    purse: Noted,
    way: OrchestratorTransport,
    stream: StreamHandle,
) -> None:
    node.set_balance(signer.address, "echo", 0)
    node.seen.clear()
    # It arrived: the balance shows it.
    node.faults.lose(path=PAY)
    assert await way.pay(stream) == 20
    assert node.paths() == [TOKEN, PAY, TOKEN]
    assert len(node.payments) == 2
    # It did not: sent again as it was.
    purse.clock.advance(120)
    node.set_balance(signer.address, "echo", 0)
    node.seen.clear()
    node.faults.drop(path=PAY)
    assert await way.pay(stream) == 20
    headers = [s.headers["livepeer-payment"] for s in node.seen if s.path == PAY]
    assert len(headers) == 2
    assert headers[0] == headers[1]
    assert len(node.payments) == 3
    # Not even then: that is a refusal, and one new one is made.
    purse.clock.advance(120)
    node.set_balance(signer.address, "echo", 0)
    node.seen.clear()
    node.faults.drop(path=PAY, times=2)
    assert await way.pay(stream) == 20
    headers = [s.headers["livepeer-payment"] for s in node.seen if s.path == PAY]
    assert len(headers) == 3
    assert headers[0] == headers[1] != headers[2]
    await way.stop(stream)


async def test_a_payment_waits_for_a_node_that_is_away(
    node: FakeOrchestrator,
    signer: LocalSigner,
    purse: Noted,
    way: OrchestratorTransport,
    stream: StreamHandle,
) -> None:
    node.set_balance(signer.address, "echo", 0)
    node.faults.answer(502, "bad gateway", path=PAY)
    with pytest.raises(ClientError):
        await way.pay(stream)
    assert purse.told[-1] == "lost"
    first = node.seen[-1].headers["livepeer-payment"]
    assert await way.pay(stream) == 20
    assert node.seen[-1].headers["livepeer-payment"] == first
    assert len(node.payments) == 2
    await way.stop(stream)


async def test_a_stop_is_sent_even_when_it_cannot_be_paid(
    node: FakeOrchestrator, signer: LocalSigner, way: OrchestratorTransport, stream: StreamHandle
) -> None:
    node.faults.answer(500, "no token", path=TOKEN)
    await way.stop(stream)
    assert node.streams == set()
    stream = await way.start(echo(), None)
    node.set_balance(signer.address, "echo", 0)
    node.reserve = False
    with pytest.raises(PaymentRequiredError, match="deposit"):
        await way.stop(stream)


async def test_a_stop_that_failed_is_paid_when_it_is_made_again(
    node: FakeOrchestrator, signer: LocalSigner, way: OrchestratorTransport, stream: StreamHandle
) -> None:
    node.set_balance(signer.address, "echo", 0)
    node.faults.answer(500, "Error sending request to worker", path=STOP)
    with pytest.raises(ClientError):
        await way.stop(stream)
    await way.stop(stream)
    assert node.streams == set()
    assert paid(node, STOP) == [True, True]
    # Then it is forgotten.
    assert await way.pay(stream) is None


async def test_a_stream_that_began_free_is_paid_once_it_has_a_price(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted
) -> None:
    node.capabilities["echo"].price = 0
    async with HTTP() as http:
        finder = Finder(ListSource([node.url]))

        def way(payments: PaymentProvider) -> OrchestratorTransport:
            return OrchestratorTransport(
                http, finder, signer=signer, payments=payments, terms_ttl_s=0
            )

        paying, poor = way(purse), way(FreeOnly())
        stream = await paying.start(echo(), None)
        other = await poor.start(echo(), None)
        assert await paying.pay(stream) == 20
        assert node.payments == []
        node.capabilities["echo"].price = PRICE
        # Nothing pays for this one: it goes on at the price that it began with.
        assert await poor.pay(other) == 20
        assert await paying.pay(stream) == 20
        assert [payment.value for payment in node.payments] == [80 * PRICE]
        await paying.stop(stream)
        assert stream.stream_id not in node.streams


@pytest.mark.parametrize("ticket_value", [100, 10_000])
async def test_the_credit_of_a_stream_lasts_from_one_payment_to_the_next(
    runner: Runner, signer: LocalSigner, purse: Noted, ticket_value: int
) -> None:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    credit: list[float] = []
    spaces: list[float] = []

    class Over(Exception):
        """The time that is looked at has passed."""

    async with (
        fake_orchestrator(offer, ticket_value=ticket_value) as node,
        HTTP() as http,
        transport(node.url, signer=signer, purse=purse) as way,
    ):
        stream = await way.start(echo(), None)
        began = purse.clock.now

        async def sleep(seconds: float) -> None:
            spaces.append(seconds)
            for _ in range(round(seconds)):
                purse.clock.advance(1)
                if (purse.clock.now - began) % 23 < 1:
                    credit.append(float(node.meters.tick(stream.stream_id)))
            if purse.clock.now - began > 130:
                raise Over

        control = channel_probe(stream.channels.control or "")
        watch = NodeWatch(http, control, missing_ends=True, probe_s=1, away_s=1)
        with pytest.raises(Over):
            await StreamPayments(way, stream, watch, 5, sleep=sleep).run()
        await way.stop(stream)
    assert len(credit) >= 5
    assert min(credit) >= 0
    assert max(spaces) <= 50
    assert sum(payment.value for payment in node.payments) <= max(ticket_value, PRICE * 350)


async def test_payments_of_one_stream_go_one_after_the_other(
    node: FakeOrchestrator,
    signer: LocalSigner,
    purse: Noted,
    way: OrchestratorTransport,
    stream: StreamHandle,
) -> None:
    node.set_balance(signer.address, "echo", 0)
    await asyncio.gather(*(way.pay(stream) for _ in range(4)))
    # The first paid, and the others saw the credit of it.
    assert len(node.payments) < 4
    assert all(said.startswith("accepted") for said in purse.told)
    await way.stop(stream)


async def test_a_failed_start_leaves_nothing_behind(
    node: FakeOrchestrator, signer: LocalSigner, purse: Noted
) -> None:
    async with transport(node.url, signer=signer, purse=purse) as way:
        node.faults.answer(
            500,
            "Error sending request to worker",
            path=START,
            headers={"X-Control-Url": "http://x"},
        )
        with pytest.raises(ClientError):
            await way.start(echo(), None)
        assert node.streams == set()
        assert node.paths() == [TOKEN, START]
