"""Live-video payments by a remote signer, at an orchestrator that charges for every second."""

from __future__ import annotations

import base64
import json
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import (
    PaymentRequiredError,
    PriceTooHigh,
    RemoteSigner,
    SpendingLimits,
    SpendLimit,
    build_capabilities_from_queries,
    get_orchestrator_info,
)
from livepeer.client._net.http import HTTP
from livepeer.client._pay.lv2v import LV2VPaymentSession, free_credentials, pinned_info
from livepeer.client._pay.signer_account import max_price_field
from livepeer.client._proto import livepeer_pb2 as wire
from livepeer.client.testing import (
    FakeChain,
    FakeClock,
    FakeModel,
    RunnerReply,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livepeer.client import Payment
    from livepeer.client.testing import FakeOrchestrator, FakeSigner

MODEL = "live-video-to-video/noop"
# Wei per pixel: 100 wei per second.
PRICE = Fraction(100, 1280 * 720 * 30)
PAYMENTS = "/generate-live-payment"


async def noop(_request: object) -> RunnerReply:
    return RunnerReply.json({})


class Market:
    """A signer, an orchestrator with a model at 100 wei per second, and what goes between them."""

    def __init__(
        self,
        fake: FakeSigner,
        node: FakeOrchestrator,
        signer: RemoteSigner,
        http: HTTP,
        clock: FakeClock,
        chain: FakeChain,
    ) -> None:
        self.fake, self.node, self.signer, self.http = fake, node, signer, http
        self.clock, self.chain = clock, chain
        self.manifest_id = ""

    async def info(self) -> bytes:
        info = await get_orchestrator_info(self.node.url, signer=self.signer, capabilities=(MODEL,))
        return info.raw

    async def pinned(self, manifest_id: str) -> bytes | None:
        return await pinned_info(
            self.http, self.node.url, sender=self.fake.address, manifest_id=manifest_id
        )

    async def session(
        self, *, max_price: float | None = None, limits: SpendingLimits | None = None
    ) -> LV2VPaymentSession:
        capabilities = build_capabilities_from_queries((MODEL,))
        assert capabilities is not None
        return LV2VPaymentSession(
            self.signer,
            await self.info(),
            refresh=self.info,
            refresh_pinned=self.pinned,
            capabilities=capabilities.SerializeToString(),
            max_price=max_price,
            limits=limits,
        )

    async def start(self, session: LV2VPaymentSession) -> None:
        payment = await session.payment()
        assert payment is not None
        body = b'{"model_id": "noop"}'
        url = f"{self.node.url}/live-video-to-video"
        reply = await self.http.exchange(
            "POST", url, headers=payment.headers, body=body, timeout_s=10
        )
        assert reply.status == 200, reply.body
        self.manifest_id = json.loads(reply.body)["manifest_id"]
        session.started(self.manifest_id)
        session.accepted(payment)

    async def send(self, payment: Payment) -> bytes | None:
        url = f"{self.node.url}/payment"
        reply = await self.http.exchange("POST", url, headers=payment.headers, timeout_s=10)
        return reply.body if reply.status == 200 else None

    def asked(self) -> list[dict[str, Any]]:
        return [json.loads(seen.body) for seen in self.fake.seen if seen.path == PAYMENTS]

    def balance(self) -> int:
        return self.node.balance(self.fake.address, self.manifest_id)


@pytest.fixture
async def market() -> AsyncIterator[Market]:
    clock, chain = FakeClock(), FakeChain()
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_signer(clock=clock, chain=chain))
        node = await stack.enter_async_context(
            fake_orchestrator(
                {},
                models={"noop": FakeModel(noop, price=PRICE, capacity=9)},
                ticket_value=500,
                clock=clock,
                chain=chain,
                grpc=True,
            )
        )
        signer = await stack.enter_async_context(RemoteSigner(fake.url, attempts=1))
        http = await stack.enter_async_context(HTTP())
        yield Market(fake, node, signer, http, clock, chain)


async def test_a_job_is_paid_for_under_the_id_that_the_orchestrator_gave_it(
    market: Market,
) -> None:
    session = await market.session()
    await market.start(session)
    assert market.balance() == 6000
    results: list[bytes] = []
    for _ in range(3):
        market.clock.advance(20)
        payment = await session.payment()
        assert payment is not None
        assert set(payment.headers) == {"Livepeer-Payment", "Livepeer-Segment"}
        result = await market.send(payment)
        assert result
        session.accepted(payment, result=result)
        results.append(result)
    assert market.balance() == 6000 + 3 * 2000
    first, *later = market.asked()
    assert first["type"] == "lv2v"
    assert "ManifestID" not in first
    assert [each["ManifestID"] for each in later] == [market.manifest_id] * 3
    # Each payment is made of what came back with the one before.
    given = [wire.PaymentResult.FromString(result).info.ticket_params.seed for result in results]
    used = [_terms(each).ticket_params.seed for each in market.asked()]
    assert used[2:] == given[:2]
    assert market.fake.reused_states == 0


async def test_a_payment_whose_answer_was_lost_is_given_again_before_a_new_one(
    market: Market,
) -> None:
    session = await market.session()
    await market.start(session)
    market.clock.advance(20)
    market.node.faults.drop(path="/payment")
    payment = await session.payment()
    assert payment is not None
    with pytest.raises(ConnectionError):
        await market.send(payment)
    session.lost(payment)
    assert await session.payment() == payment
    assert await market.send(payment) is not None
    # Told again of the same tickets, an orchestrator refuses; what is paid then is the time since.
    assert await market.send(payment) is None
    session.refused(payment)
    market.clock.advance(20)
    again = await session.payment()
    assert again is not None
    assert await market.send(again) is not None
    session.accepted(again, result=b"no message")
    assert market.balance() == 6000 + 2 * 2000
    assert len(market.asked()) == 3


async def test_a_refused_payment_is_made_up_for(market: Market) -> None:
    session = await market.session()
    await market.start(session)
    market.clock.advance(40)
    refused = await session.payment()
    assert refused is not None
    # It never arrived, so that the next one pays for its time as well.
    session.refused(refused)
    market.clock.advance(40)
    again = await session.payment()
    assert again is not None
    assert await market.send(again) is not None
    session.accepted(again)
    assert market.balance() == 6000 + 8000
    used = [_terms(each).ticket_params.recipient_rand_hash for each in market.asked()]
    # By other terms: an orchestrator takes no number of a ticket twice.
    assert used[1] != used[2]


async def test_terms_of_another_price_are_not_taken_up(market: Market) -> None:
    session = await market.session()
    await market.start(session)
    market.clock.advance(20)
    payment = await session.payment()
    assert payment is not None
    result = await market.send(payment)
    assert result
    dearer = wire.PaymentResult.FromString(result)
    dearer.info.price_info.pricePerUnit *= 2
    session.accepted(payment, result=dearer.SerializeToString())
    market.clock.advance(20)
    assert await session.payment() is not None
    _, second, third = (_terms(each) for each in market.asked())
    assert third.price_info == second.price_info
    assert third.ticket_params.seed == second.ticket_params.seed


async def test_terms_that_are_fetched_anew_are_held_against_the_highest_price(
    market: Market,
) -> None:
    session = await market.session(limits=SpendingLimits(max_price_per_s=100))
    # No job yet, and so no price that is pinned.
    market.node.models["noop"].price = 2 * PRICE
    market.fake.faults.answer(480, path=PAYMENTS, json_body=True)
    with pytest.raises(PriceTooHigh, match="200 wei per second"):
        await session.payment()
    assert len(market.asked()) == 1


async def test_outdated_terms_are_renewed_at_the_price_that_the_job_began_with(
    market: Market,
) -> None:
    session = await market.session()
    await market.start(session)
    market.node.models["noop"].price = 2 * PRICE
    market.clock.advance(20)
    # Ticket parameters are for a few blocks of the chain.
    market.chain.block += 1000
    payment = await session.payment()
    assert payment is not None
    assert await market.send(payment) is not None
    session.accepted(payment)
    assert "/refresh-payment" in market.node.paths()
    begun, refused, renewed = (_terms(each).price_info for each in market.asked())
    assert begun == refused == renewed

    fresh = await market.session()
    market.fake.faults.answer(480, path=PAYMENTS, json_body=True, times=9)
    with pytest.raises(PaymentRequiredError, match="outdated"):
        await fresh.payment()


async def test_a_job_that_the_orchestrator_forgot_has_no_pinned_terms(market: Market) -> None:
    assert await market.pinned("deadbeef") is None
    market.node.faults.answer(500, path="/refresh-payment")
    with pytest.raises(Exception, match="no terms for the running job"):
        await market.pinned("deadbeef")


async def test_an_interval_that_is_skipped_is_no_error(market: Market) -> None:
    session = await market.session()
    await market.start(session)
    market.fake.faults.answer(482, path=PAYMENTS, json_body=True)
    assert await session.payment() is None


async def test_what_may_be_spent_is_not_exceeded(market: Market) -> None:
    with pytest.raises(PriceTooHigh, match="100 wei per second"):
        await (await market.session(limits=SpendingLimits(max_price_per_s=99))).payment()
    assert market.asked() == []
    limits = SpendingLimits(max_spend=7000)
    session = await market.session(limits=limits)
    await market.start(session)
    market.clock.advance(20)
    with pytest.raises(SpendLimit, match="would exceed"):
        await session.payment()
    assert 6000 <= limits.spent <= 6001
    # What did not leave is not behind us.
    with pytest.raises(SpendLimit, match="would exceed"):
        await session.payment()
    _, first, second = market.asked()
    assert first["state"] == second["state"]


async def test_a_price_that_was_told_in_advance_is_the_signers_ceiling(market: Market) -> None:
    with pytest.raises(PriceTooHigh, match="request maxPrice"):
        await (await market.session(max_price=float(PRICE) * 0.9)).payment()
    assert await (await market.session(max_price=float(PRICE))).payment() is not None
    assert max_price_field("live", 12345) == {
        "price": 12493.14,
        "currency": "wei",
        "unit": "seconds",
    }
    assert max_price_field("byoc", 12345) is None


async def test_what_a_signer_gives_is_not_shown(market: Market) -> None:
    fields = {
        "type": "lv2v",
        "orchestrator": base64.b64encode(await market.info()).decode(),
    }
    paid = await market.signer.generate_live_payment(fields)
    for secret in (paid.payment, paid.segment, str(paid.state["Sig"])):
        assert secret
        assert secret not in repr(paid)


async def test_a_free_job_shows_its_session_token_and_pays_nothing(market: Market) -> None:
    market.node.models["noop"].price = Fraction(0)
    assert await (await market.session()).payment() is None
    assert market.asked() == []
    token = wire.AuthToken(
        token=bytes.fromhex("aabbccdd"), session_id="0a1b2c3d", expiration=1_900_000_000
    )
    info = wire.OrchestratorInfo(transcoder="http://a.example:8935", auth_token=token)
    assert free_credentials(info.SerializeToString()) == {
        "Livepeer-Payment": "",
        "Livepeer-Segment": "QhYKBKq7zN0SCDBhMWIyYzNkGIDm/okH",
    }


def _terms(request: dict[str, Any]) -> wire.OrchestratorInfo:
    return wire.OrchestratorInfo.FromString(base64.b64decode(request["orchestrator"]))
