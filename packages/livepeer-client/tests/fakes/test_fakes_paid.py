"""A priced orchestrator: tickets truly checked, credit, admission, debits, and what is refused."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing import (
    FakeCapability,
    FakeChain,
    FakeOrchestrator,
    FakeSigner,
    RunnerReply,
    RunnerRequest,
    fake_orchestrator,
    fake_signer,
)
from livepeer.client.testing._keys import FakeKey

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from conftest import Caller
    from livepeer.client.testing._branch import Flavour

PRICE = 10
BATCH = "/process/request/predict"
UNPAID = "Insufficient balance for request\n"
STREAM = {"id_": "s1", "request": '{"stream_id":"s1"}', "parameters": '{"enable_data_output":true}'}


async def runner(request: RunnerRequest) -> RunnerReply:
    match request.path:
        case "/fail":
            return RunnerReply.json({"detail": "boom"}, status=500)
        case "/events":
            return RunnerReply.events(_events())
        case _:
            return RunnerReply.json({"ok": True})


async def _events() -> AsyncIterator[bytes]:
    yield b'data: {"i":0}\n\n'
    await asyncio.Event().wait()


@pytest.fixture
def chain() -> FakeChain:
    return FakeChain()


@pytest.fixture
async def signer(chain: FakeChain) -> AsyncIterator[FakeSigner]:
    async with fake_signer(flavour="byoc", key="11" * 32, chain=chain) as signer:
        yield signer


@pytest.fixture(params=["head", "byoc"])
async def node(request: Any, chain: FakeChain) -> AsyncIterator[FakeOrchestrator]:
    flavour: Flavour = request.param
    offers = {"hello": FakeCapability(runner, price=PRICE), "free": FakeCapability(runner)}
    async with fake_orchestrator(offers, flavour=flavour, chain=chain) as node:
        yield node


async def test_tokens_tell_what_a_job_costs(node: FakeOrchestrator, caller: Caller) -> None:
    free = await caller.token(node, "free")
    assert free["price"] == {"pixelsPerUnit": 1}
    assert "face_value" not in free["ticket_params"]
    token = await caller.token(node)
    assert token["price"]["pricePerUnit"] == PRICE
    assert token["sender_address"]["addr"] == caller.key.address
    assert "balance" not in token
    assert token["ticket_params"] != (await caller.token(node))["ticket_params"]
    node.set_balance(caller.key.address, "hello", -7)
    assert (await caller.token(node))["balance"] == -7
    unknown = await caller.token(node, "nope")
    assert "available_capacity" not in unknown
    node.reserve = False
    with pytest.raises(AssertionError, match="insufficient sender reserve"):
        await caller.token(node)


async def test_credit_admits_and_work_is_debited(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller
) -> None:
    status, text, _ = await caller.run(node, BATCH)
    assert (status, text) == (400, UNPAID)
    payment = await caller.payment(node, signer)
    status, body, headers = await caller.run(node, BATCH, payment)
    assert (status, body) == (200, {"ok": True})
    assert headers["livepeer-balance"] == "9990"
    # What a runner fails at is paid for as well, and credit is enough for the next job.
    status, _, headers = await caller.run(node, "/process/request/fail")
    assert (status, headers["livepeer-balance"]) == (500, "9980")
    assert node.balance(signer.address, "hello") == 9980
    assert [(p.nonces, p.value, p.account) for p in node.payments] == [((1,), 10_000, "hello")]
    # 60 s of credit are the least.
    node.set_balance(signer.address, "hello", 60 * PRICE - 1)
    assert (await caller.run(node, BATCH))[:2] == (400, UNPAID)
    node.set_balance(signer.address, "hello", 60 * PRICE)
    assert (await caller.run(node, BATCH))[0] == 200
    assert (await caller.run(node, BATCH, payment, capability="free"))[0] == 200


def _change(payment: str, change: Callable[[pb.Payment], None]) -> str:
    message = pb.Payment.FromString(base64.b64decode(payment))
    change(message)
    return base64.b64encode(message.SerializeToString()).decode()


def _price(payment: pb.Payment) -> None:
    payment.expected_price.pricePerUnit = 1


def _face(payment: pb.Payment) -> None:
    payment.ticket_params.face_value = b"\xff" * 16


def _recipient(payment: pb.Payment) -> None:
    payment.ticket_params.recipient = b"\x03" * 20


def _sender(payment: pb.Payment) -> None:
    payment.sender = FakeKey().raw


def _nonce(payment: pb.Payment) -> None:
    payment.ticket_sender_params[0].sender_nonce += 1


def _round(payment: pb.Payment) -> None:
    payment.expiration_params.creation_round += 1


def _without(name: str) -> Callable[[pb.Payment], None]:
    return lambda payment: payment.ClearField(name)


@pytest.mark.parametrize(
    "change",
    [
        _price,
        _face,
        _recipient,
        _sender,
        _nonce,
        _round,
        _without("sender"),
        _without("expiration_params"),
        _without("expected_price"),
    ],
)
async def test_a_payment_that_was_changed_is_refused(
    node: FakeOrchestrator,
    signer: FakeSigner,
    caller: Caller,
    change: Callable[[pb.Payment], None],
) -> None:
    payment = await caller.payment(node, signer)
    await is_refused(node, caller, _change(payment, change))
    assert node.balance(signer.address, "hello") == 0


async def is_refused(node: FakeOrchestrator, caller: Caller, payment: str) -> None:
    """The released node drops the connection, the branch answers."""
    for path, prefix in (
        (BATCH, ""),
        ("/ai/stream/start", ""),
        ("/ai/stream/stop", "Failed to stop stream, request not valid err="),
        ("/ai/stream/payment", "Failed to process payment, request not valid err="),
    ):
        if node.flavour == "head":
            with pytest.raises(aiohttp.ClientConnectionError):
                await caller.run(node, path, payment, **STREAM)
        else:
            status, text, _ = await caller.run(node, path, payment, **STREAM)
            assert (status, text) == (400, f"{prefix}Could not parse payment\n")


async def test_a_payment_counts_once_and_while_its_terms_hold(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller, chain: FakeChain
) -> None:
    payment = await caller.payment(node, signer)
    assert (await caller.run(node, "/ai/stream/payment", payment))[0] == 200
    await is_refused(node, caller, payment)
    assert node.balance(signer.address, "hello") == 10_000
    late = await caller.payment(node, signer)
    chain.block += 40
    await is_refused(node, caller, late)
    before_restart = await caller.payment(node, signer)
    await node.restart()
    await is_refused(node, caller, before_restart)
    for junk in ("!", "AAAA", "cGFpZA=="):
        await is_refused(node, caller, junk)


async def test_jobs_have_to_be_signed(node: FakeOrchestrator, caller: Caller) -> None:
    header = caller.job(node, capability="free")
    fields = json.loads(base64.b64decode(header))
    for change in ({"parameters": "[]"}, {"sig": "0x"}, {"sender": FakeKey().address}):
        raw = base64.b64encode(json.dumps({**fields, **change}).encode())
        status, text, _ = await caller.post(node.url + BATCH, {}, {"Livepeer": raw.decode()})
        assert (status, text) == (400, "Could not verify job creds\n")
    # The other form of a signature is not taken.
    node.flavour = "byoc" if node.flavour == "head" else "head"
    status, text, _ = await caller.post(node.url + BATCH, {}, {"Livepeer": header})
    assert (status, text) == (400, "Could not verify job creds\n")


async def test_a_priced_stream(node: FakeOrchestrator, signer: FakeSigner, caller: Caller) -> None:
    status, text, _ = await caller.run(node, "/ai/stream/start", **STREAM)
    assert (status, text) == (402, UNPAID)
    payment = await caller.payment(node, signer)
    status, _, headers = await caller.run(node, "/ai/stream/start", payment, **STREAM)
    assert (status, headers["livepeer-balance"]) == (200, "9990")
    assert headers["x-data-url"].startswith(node.url)
    assert node.meters.tick("s1") == node.cashier.balance(caller.key.raw, "hello")
    assert node.balance(signer.address, "hello") == 9990 - 23 * PRICE
    # A stop needs credit, and without it the stream goes on.
    node.set_balance(signer.address, "hello", 0)
    status, text, _ = await caller.run(node, "/ai/stream/stop", **STREAM)
    assert (status, text) == (400, f"Failed to stop stream, request not valid err={UNPAID}")
    status, text, _ = await caller.run(node, "/ai/stream/payment", **STREAM)
    assert (status, text) == (400, f"Failed to process payment, request not valid err={UNPAID}")
    assert node.streams == {"s1"}
    payment = await caller.payment(node, signer)
    status, _, headers = await caller.run(node, "/ai/stream/payment", payment, **STREAM)
    assert (status, headers["livepeer-balance"]) == (200, "10000")
    assert (await caller.run(node, "/ai/stream/stop", **STREAM))[0] == 200
    assert node.streams == set()


async def test_a_stream_in_debt_ends_at_the_second_charge(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller
) -> None:
    node.meters.every_s = 0.01
    payment = await caller.payment(node, signer)
    await caller.run(node, "/ai/stream/start", payment, **STREAM)
    async with asyncio.timeout(20):
        while node.streams:  # noqa: ASYNC110 - a server tells nobody what it did
            await asyncio.sleep(0.01)
    assert -46 * PRICE <= node.balance(signer.address, "hello") < -23 * PRICE
    assert not node.trickle.has_channel("s1-data")


async def test_events_end_with_the_credit(
    node: FakeOrchestrator, signer: FakeSigner, caller: Caller
) -> None:
    node.events_charge_s = 0.01
    node.set_balance(signer.address, "hello", 60 * PRICE)
    status, text, headers = await caller.run(node, "/process/request/events")
    assert (status, headers["livepeer-payment-balance"]) == (200, "600")
    assert text.endswith('event: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n\n')
    assert text.startswith('data: {"i":0}\n\n')
    assert node.balance(signer.address, "hello") == -5 * PRICE
