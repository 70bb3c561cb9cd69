"""BYOC payments by a remote signer: every case at a signer and an orchestrator that check it."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client import (
    BYOCPaymentSession,
    ClientError,
    FreeOnly,
    InvalidAnswer,
    InvalidJob,
    JobToken,
    Payment,
    PaymentRequiredError,
    PriceTooHigh,
    RemotePayments,
    RemoteSigner,
    SignerRefused,
    SignerUnavailable,
    TrustStore,
)
from livepeer.client._nodes.way import default_payments
from livepeer.client._pay.info import read_info
from livepeer.client._wire.jobs import BYOCJobRequest, stream_control_job
from livepeer.client._wire.tokens import parse_token
from livepeer.client.testing import (
    FakeCapability,
    FakeClock,
    RunnerReply,
    Verdict,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from livepeer.client.options import ClientOptions
    from livepeer.client.testing import FakeOrchestrator, FakeSigner

PAYMENTS = "/generate-live-payment"
REQUEST = BYOCJobRequest(capability="echo")
JOB = REQUEST.job()


async def echo(_request: object) -> RunnerReply:
    return RunnerReply.json({"ok": True})


class Market:
    """A signer, an orchestrator that asks 10 wei per second, and what goes between them."""

    def __init__(
        self,
        fake: FakeSigner,
        node: FakeOrchestrator,
        signer: RemoteSigner,
        http: aiohttp.ClientSession,
        clock: FakeClock,
    ) -> None:
        self.fake, self.node, self.signer, self.http, self.clock = fake, node, signer, http, clock

    def session(
        self, refresh: Callable[[], Awaitable[JobToken]] | None = None
    ) -> BYOCPaymentSession:
        return BYOCPaymentSession(
            self.signer,
            capability="echo",
            manifest_id=JOB.id,
            refresh=refresh or self.token,
            clock=self.clock,
        )

    async def token(self) -> JobToken:
        credentials = await self.signer.token_credentials()
        headers = {"Livepeer-Eth-Address": credentials.header(), "Livepeer-Capability": "echo"}
        async with self.http.get(f"{self.node.url}/process/token", headers=headers) as answer:
            return parse_token(await answer.read(), self.node.url)

    async def send(self, payment: Payment | None) -> int | None:
        """The status of a stream's payment; None when the connection was closed instead."""
        signed = await self.signer.sign_job(stream_control_job("echo", JOB.id, 70))
        headers = {"Livepeer": signed.header(), **(payment.headers if payment else {})}
        try:
            async with self.http.post(f"{self.node.url}/ai/stream/payment", headers=headers) as a:
                return a.status
        except aiohttp.ClientError:
            return None

    async def pay(self, session: BYOCPaymentSession) -> Payment | None:
        """What is owed now, sent and accepted."""
        payment = await session.payment(await self.token(), seconds=60)
        if payment is not None:
            assert await self.send(payment) == 200
            session.accepted(payment, balance=None)
        return payment

    def asked(self) -> list[dict[str, Any]]:
        """What the signer was asked for payments with."""
        return [json.loads(seen.body) for seen in self.fake.seen if seen.path == PAYMENTS]

    def balance(self) -> int:
        return self.node.balance(self.fake.address, "echo")

    def spend(self, seconds: int) -> None:
        """Let time pass that the orchestrator charges."""
        self.clock.advance(seconds)
        self.node.set_balance(self.fake.address, "echo", self.balance() - 10 * seconds)


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_signer(flavour="byoc", clock=clock))
        node = await stack.enter_async_context(
            fake_orchestrator(
                {"echo": FakeCapability(echo, price=10)},
                flavour="byoc",
                ticket_value=100,
                clock=clock,
            )
        )
        signer = await stack.enter_async_context(RemoteSigner(fake.url, attempts=1))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        yield Market(fake, node, signer, http, clock)


async def test_the_first_payment_is_in_advance_and_the_next_for_the_time_since(
    market: Market,
) -> None:
    session = market.session()
    first = await session.payment(await market.token(), seconds=90)
    assert first is not None
    assert set(first.headers) == {"Livepeer-Payment"}
    assert 900 <= first.value <= 901
    assert await market.send(first) == 200
    session.accepted(first, balance=None)
    market.spend(30)
    second = await market.pay(session)
    assert second is not None
    assert 300 <= second.value <= 301
    assert market.balance() == 900

    one, two = market.asked()
    assert (one["type"], one["ManifestID"], one["preloadSeconds"]) == ("byoc", JOB.id, 90)
    assert "state" not in one
    assert "maxPrice" not in one
    info = read_info(base64.b64decode(one["orchestrator"], validate=True))
    assert info.transcoder == market.node.service_url
    assert info.address == info.ticket_params.recipient == market.node.address
    assert info.auth_token.expiration > market.clock.now + 1000
    assert (two["type"], two["ManifestID"]) == ("byoc", JOB.id)
    assert set(two["state"]) == {"State", "Sig"}
    assert "preloadSeconds" not in two
    assert two["capabilities"] == one["capabilities"]
    assert one["requestID"]
    assert one["requestID"] != two["requestID"]
    assert market.fake.reused_states == 0
    shown = f"{session!r} {first!r} {second!r} {market.signer!r}"
    assert first.headers["Livepeer-Payment"] not in shown
    assert two["state"]["Sig"] not in shown


async def test_what_costs_nothing_or_is_covered_is_not_asked_for(market: Market) -> None:
    market.node.set_balance(market.fake.address, "echo", 1200)
    assert await market.pay(market.session()) is None
    market.node.capabilities["echo"].price = 0
    assert await market.pay(market.session()) is None
    info = read_info(base64.b64decode(""))
    assert await market.session().payment(info.SerializeToString()) is None
    assert market.asked() == []


async def test_outdated_terms_are_fetched_anew_with_the_same_state(market: Market) -> None:
    fetched: list[JobToken] = []

    async def refresh() -> JobToken:
        fetched.append(await market.token())
        return fetched[-1]

    session = market.session(refresh)
    await market.pay(session)
    market.spend(30)
    market.fake.faults.answer(480, path=PAYMENTS, json_body=True)
    assert await market.pay(session) is not None
    first, refused, again = market.asked()
    assert refused["state"] == again["state"]
    assert refused["ManifestID"] == again["ManifestID"] == first["ManifestID"]
    assert refused["orchestrator"] != again["orchestrator"]
    assert len(fetched) == 1

    market.spend(30)
    market.fake.faults.answer(480, path=PAYMENTS, json_body=True, times=9)
    with pytest.raises(PaymentRequiredError, match="4 of the orchestrator's terms"):
        await market.pay(session)
    assert len(market.asked()) == 3 + 4
    market.fake.faults.clear()
    assert await market.pay(session) is not None


async def test_an_interval_that_is_skipped_leaves_all_as_it_was(market: Market) -> None:
    session = market.session()
    await market.pay(session)
    market.spend(30)
    market.fake.faults.answer(482, path=PAYMENTS, json_body=True)
    assert await market.pay(session) is None
    assert await market.pay(session) is not None
    _, skipped, paid = market.asked()
    assert skipped["state"] == paid["state"]


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (481, "orchestrator price 10.000 exceeds", PriceTooHigh),
        (400, "numTickets 300 exceeds maximum of 100", SignerRefused),
        (403, "denied", SignerRefused),
        (500, "Internal Server Error", SignerUnavailable),
    ],
)
async def test_a_refusal_is_told_and_not_asked_for_again(
    market: Market, status: int, text: str, kind: type[ClientError]
) -> None:
    market.fake.faults.answer(status, text, path=PAYMENTS, json_body=True)
    with pytest.raises(kind) as caught:
        await market.pay(market.session())
    told = "it hides the reason" if status == 500 else text
    assert told in str(caught.value)
    assert caught.value.status == status
    assert caught.value.retryable is (status == 500)
    assert len(market.asked()) == 1


async def test_the_signers_own_checks_are_told(market: Market) -> None:
    market.fake.limits.max_price = Fraction(9)
    with pytest.raises(PriceTooHigh, match="configured maximum price"):
        await market.pay(market.session())
    market.fake.limits.max_price = None
    market.fake.webhook = lambda _headers: Verdict(status=402, reason="no funds left")
    with pytest.raises(SignerRefused, match="no funds left"):
        await market.pay(market.session())


async def test_a_released_signer_pays_for_no_byoc_job_and_the_error_says_what_to_do(
    market: Market,
) -> None:
    async with fake_signer() as released, RemoteSigner(released.url) as signer:
        session = BYOCPaymentSession(signer, capability="echo", manifest_id=JOB.id)
        with pytest.raises(SignerRefused, match=r"type 'byoc'.*TicketPayments") as caught:
            await session.payment(await market.token(), seconds=60)
    assert caught.value.status == 400


async def test_a_payment_belongs_to_a_job(market: Market) -> None:
    session = BYOCPaymentSession(market.signer, capability="echo", manifest_id="")
    with pytest.raises(InvalidJob, match="`manifest_id` must be the job's id"):
        await session.payment(await market.token())
    assert market.asked() == []
    payments = RemotePayments(market.signer)
    batch = payments.session(JOB, market.node.url)
    stop = payments.session(stream_control_job("echo", "s-1", 10), market.node.url)
    assert f"manifest_id={JOB.id!r}" in repr(batch)
    assert "manifest_id='s-1'" in repr(stop)


async def test_a_payment_that_never_arrived_is_given_again_as_it_was(market: Market) -> None:
    session = market.session()
    market.node.faults.drop(path="/ai/stream/payment")
    payment = await session.payment(await market.token(), seconds=60)
    assert payment is not None
    assert await market.send(payment) is None
    session.lost(payment)
    assert await session.payment(await market.token(), seconds=60) == payment
    assert await market.send(payment) == 200
    assert len(market.fake.payments) == len(market.node.payments) == 1


async def test_a_payment_whose_answer_was_lost_is_not_made_twice(market: Market) -> None:
    session = market.session()
    before = await market.token()
    market.node.faults.lose(path="/ai/stream/payment")
    payment = await session.payment(before, seconds=60)
    assert payment is not None
    assert await market.send(payment) is None
    session.lost(payment)
    # By the old terms it has to go again; the orchestrator has its tickets already.
    assert await session.payment(before, seconds=60) == payment
    assert await market.send(payment) == 400
    session.refused(payment)
    assert await session.payment(await market.token(), seconds=60) is None
    assert market.balance() == 600
    # By fresh terms there is nothing to send again.
    other = market.session()
    market.node.set_balance(market.fake.address, "echo", 0)
    market.node.faults.lose(path="/ai/stream/payment")
    second = await other.payment(await market.token(), seconds=60)
    assert await market.send(second) is None
    assert await other.payment(await market.token(), seconds=60) is None
    assert len(market.fake.payments) == 2


async def test_a_payment_is_renewed_once_after_a_refusal(market: Market) -> None:
    session = market.session()
    for _ in range(2):
        payment = await session.payment(await market.token(), seconds=60)
        assert payment is not None
        session.refused(payment)
    with pytest.raises(PaymentRequiredError, match="refused 2 payments"):
        await session.payment(await market.token(), seconds=60)
    # Each pays in advance: the signer believes the one before to have been for this time.
    assert [made.value for made in market.fake.payments] == [600, 600]

    session = market.session()
    for _ in range(3):
        payment = await session.payment(await market.token(), seconds=60)
        assert payment is not None
        session.refused(payment)
        await market.pay(session)
        market.spend(60)


async def test_an_orchestrator_that_lost_the_credit_is_paid_in_advance_again(
    market: Market,
) -> None:
    session = market.session()
    await market.pay(session)
    market.spend(20)
    await market.node.restart()
    assert await market.pay(session) is not None
    assert market.balance() == 600
    assert "state" not in market.asked()[-1]


@pytest.mark.parametrize(("balance", "in_advance"), [(0, 200), (-(10**9), 260)])
async def test_an_orchestrator_that_tells_of_no_credit_is_not_paid_above_its_price(
    market: Market, balance: int, in_advance: int
) -> None:
    session = market.session()
    began, left = market.clock.now, 0

    async def pay() -> None:
        nonlocal left
        while market.clock.now - began < 600:
            terms = replace(await market.token(), balance=balance)
            payment = await session.payment(terms, seconds=80)
            assert payment is not None
            left += payment.value
            # Each is rounded up by what a ticket is worth.
            assert left <= 10 * (market.clock.now - began + in_advance)
            session.accepted(payment, balance=balance)
            market.clock.advance(20)

    with pytest.raises(PriceTooHigh, match="above its price of 10 wei per second"):
        await pay()
    asked = len(market.asked())
    with pytest.raises(PriceTooHigh):
        await session.payment(replace(await market.token(), balance=balance), seconds=80)
    assert len(market.asked()) == asked


async def test_calls_of_one_session_go_one_after_the_other(market: Market) -> None:
    session = market.session()
    terms = await market.token()
    market.fake.faults.delay(0.05, path=PAYMENTS)
    got = await asyncio.gather(*(session.payment(terms, seconds=60) for _ in range(5)))
    assert got[0] is not None
    assert got == [got[0]] * 5
    assert market.fake.most_at_once == len(market.asked()) == 1


async def test_a_stream_is_paid_for_on_a_plain_timer_and_its_credit_never_ends(
    market: Market,
) -> None:
    session = market.session()
    await market.pay(session)
    market.spend(1)
    credit: list[int] = []
    for second in range(1, 201):
        market.clock.advance(1)
        if second % 23 == 0:
            market.node.set_balance(market.fake.address, "echo", market.balance() - 230)
            credit.append(market.balance())
        if second % 20 == 0:
            await market.pay(session)
    assert min(credit) >= 0
    assert max(credit) < 1200
    assert market.fake.reused_states == 0


async def test_without_terms_the_orchestrator_is_asked_by_grpc(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    async with (
        fake_signer(flavour="byoc") as fake,
        fake_orchestrator(
            {"echo": FakeCapability(echo, price=10)},
            flavour="byoc",
            ticket_value=100,
            tls=True,
            grpc=True,
        ) as node,
        RemoteSigner(fake.url) as signer,
    ):
        session = BYOCPaymentSession(
            signer, capability="echo", manifest_id=JOB.id, node_url=node.url, trust=store
        )
        payment = await session.payment()
        assert payment is not None
        assert 600 <= payment.value <= 601
        unsafe = BYOCPaymentSession(
            signer, capability="echo", manifest_id=JOB.id, node_url=node.url, use_tofu=False
        )
        with pytest.raises(ClientError, match="certificate"):
            await unsafe.payment()
        # What a client is told of certificates holds for what it pays with by default.
        options: tuple[ClientOptions, ...] = (
            {"trust": TrustStore(tmp_path / "other")},
            {"use_tofu": False, "verify_tls": False},
        )
        for each in options:
            payments = default_payments(each, signer)
            assert isinstance(payments, RemotePayments)
            assert await payments.session(JOB, node.url).payment() is not None
        assert list((tmp_path / "other").iterdir())
        # Not those of the user.
        assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(("balance", "preload"), [(0, 60), (-251, 86), (-(10**30), 120)])
async def test_what_is_owed_already_is_paid_up_to_a_minute(
    market: Market, balance: int, preload: int
) -> None:
    terms = replace(await market.token(), balance=balance)
    assert await market.session().payment(terms) is not None
    assert market.asked()[0]["preloadSeconds"] == preload


async def test_a_price_that_no_orchestrator_can_write_is_no_price(market: Market) -> None:
    terms = replace(await market.token(), price_per_s=2**63, price=(2**63, 1))
    with pytest.raises(InvalidAnswer, match="`price` is too large"):
        await market.session().payment(terms)
    assert market.asked() == []


async def test_free_only_pays_nothing(market: Market) -> None:
    session = FreeOnly().session(JOB, market.node.url)
    with pytest.raises(PaymentRequiredError, match="10 wei per second") as caught:
        await session.payment(await market.token(), seconds=60)
    assert caught.value.price_per_s == 10
    market.node.capabilities["echo"].price = 0
    assert await session.payment(await market.token(), seconds=60) is None
