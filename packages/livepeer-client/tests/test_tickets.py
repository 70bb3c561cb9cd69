"""Tickets by one's own key: the golden vectors, and a fake orchestrator that checks each one."""

from __future__ import annotations

import base64
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client import (
    ConfigError,
    InvalidAnswer,
    JobToken,
    LocalSigner,
    Payment,
    PaymentRequiredError,
    PriceTooHigh,
    TicketPayments,
)
from livepeer.client._pay.tickets import ticket_count, ticket_hash, ticket_value
from livepeer.client._proto import livepeer_pb2 as wire
from livepeer.client._wire.jobs import BYOCJobRequest
from livepeer.client._wire.tokens import parse_token
from livepeer.client.testing import FakeCapability, FakeClock, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client.testing import FakeOrchestrator

JOB = BYOCJobRequest(capability="echo").job()
URL = "http://127.0.0.1:28935"

# A fifth, which is exact, of 50 wei.
TEN_WEI: dict[str, JSONValue] = {
    "face_value": base64.b64encode(bytes([50])).decode(),
    "win_prob": base64.b64encode(b"\x33" * 32).decode(),
}


class Stamp:
    """Signs at no cost what nobody is going to check."""

    address = "0x" + "19" * 20

    async def sign_hashes(self, hashes: Sequence[bytes]) -> list[bytes]:
        return [bytes(65)] * len(hashes)


def number(text: str) -> bytes:
    value = int(text)
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def raw(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


@pytest.fixture
def terms(vectors: dict[str, Any]) -> JobToken:
    """Go-livepeer's own token: 10 wei per second, no credit, tickets of 10,000 wei."""
    (row,) = [row for row in vectors["job_token_json"] if row["case"].startswith("paid")]
    return parse_token(row["body"].encode(), URL)


async def test_hash_signature_and_value_of_the_golden_tickets(
    vectors: dict[str, Any], signer: LocalSigner
) -> None:
    for row in vectors["pm_ticket"]["vectors"]:
        ticket = row["ticket"]
        params = wire.TicketParams(
            recipient=raw(ticket["Recipient"]),
            face_value=number(ticket["FaceValue"]),
            win_prob=number(ticket["WinProb"]),
            recipient_rand_hash=raw(ticket["Rand"]),
            expiration_params=wire.TicketExpirationParams(
                creation_round=ticket["Round"], creation_round_block_hash=raw(ticket["BlockHash"])
            ),
        )
        hashed = ticket_hash(params, raw(ticket["Sender"]), ticket["Nonce"])
        assert "0x" + hashed.hex() == row["hash"]
        if "ticket_signature_by_K1" in row:
            (signature,) = await signer.sign_hashes([hashed])
            assert "0x" + signature.hex() == row["ticket_signature_by_K1"]
            assert f"{float(ticket_value(params)):.6f}" == row["ev_wei"]


def test_the_number_of_tickets_is_go_livepeers(vectors: dict[str, Any]) -> None:
    for row in vectors["ticket_count"]["rows"]:
        assert ticket_count(row["cost"], Fraction(row["ev"])) == row["count"], row


async def test_a_payment_is_byte_for_byte_the_gateways(
    vectors: dict[str, Any], signer: LocalSigner, terms: JobToken
) -> None:
    payments = TicketPayments(signer)
    assert payments.address == signer.address
    payment = await payments.session(JOB, URL).payment(terms, seconds=30)
    assert payment is not None
    assert payment.headers == {"Livepeer-Payment": vectors["payment"]["livepeer_payment_header"]}
    assert payment.value == 10_000
    assert "Livepeer-Payment" not in repr(payment)


@pytest.mark.parametrize(
    ("balance", "seconds", "tickets"),
    [
        (0, 30, 60),
        (0, 200, 200),
        # What is owed already is paid as well: the credit has to be worth a minute after it.
        (-250, 60, 85),
        # But not any debt that an orchestrator may claim.
        (-(10**30), 60, 120),
        (1199, 60, 60),
        (1200, 60, 0),
    ],
)
async def test_at_least_a_minute_is_paid_for_unless_two_are_covered(
    terms: JobToken, balance: int, seconds: int, tickets: int
) -> None:
    small = with_params(terms, **TEN_WEI, balance=balance)
    payment = await TicketPayments(Stamp()).session(JOB, URL).payment(small, seconds=seconds)
    assert count(payment) == tickets
    assert (payment.value if payment else 0) == tickets * 10


async def test_tickets_of_the_same_terms_go_on_counting(terms: JobToken) -> None:
    clock = FakeClock()
    session = TicketPayments(Stamp(), clock=clock).session(JOB, URL)
    small = with_params(terms, **TEN_WEI)
    nonces: list[int] = []
    for _ in range(10):
        payment = await session.payment(small, seconds=60)
        assert payment is not None
        session.accepted(payment, balance=None)
        clock.advance(60)
        nonces += [ticket.sender_nonce for ticket in tickets_of(payment)]
    assert nonces == list(range(1, 601))
    with pytest.raises(PaymentRequiredError, match="used up"):
        await session.payment(small, seconds=60)


async def test_tickets_that_are_worth_too_much_are_not_signed(
    signer: LocalSigner, terms: JobToken
) -> None:
    for limit in ("max_ticket_value", "max_payment_value"):
        careful = TicketPayments(signer, **{limit: 9_999}).session(JOB, URL)
        with pytest.raises(PriceTooHigh, match=rf"10000 wei, more than `{limit}`, 9999"):
            await careful.payment(terms, seconds=60)
    with pytest.raises(ConfigError, match="max_ticket_value"):
        TicketPayments(signer, max_ticket_value=0)


async def test_terms_that_cannot_be_paid_by_are_told(signer: LocalSigner, terms: JobToken) -> None:
    session = TicketPayments(signer).session(JOB, URL)
    bad: list[tuple[JobToken, type[Exception], str]] = [
        (replace(terms, ticket_params=None), InvalidAnswer, "no ticket parameters"),
        (with_params(terms, seed="?"), InvalidAnswer, r"ticket_params\.seed"),
        (with_params(terms, win_prob=7), InvalidAnswer, r"ticket_params\.win_prob"),
        (with_params(terms, recipient="A" * 44), InvalidAnswer, "20 bytes or fewer"),
        (with_params(terms, expiration_params=None), InvalidAnswer, "no round"),
        (with_params(terms, expiration_params={"creation_round": -1}), InvalidAnswer, "no round"),
        (with_params(terms, face_value=""), PaymentRequiredError, "tickets of 0 wei"),
        (with_params(terms, face_value="BQ=="), PaymentRequiredError, "do not pay for a minute"),
    ]
    for token, kind, text in bad:
        with pytest.raises(kind, match=text):
            await session.payment(token, seconds=60)


@pytest.mark.parametrize(
    ("balance", "in_advance"),
    [
        # What is always in advance: two minutes and a payment.
        (0, 180),
        # With what is owed at first, as far as that is believed.
        (-(10**9), 240),
    ],
)
async def test_an_orchestrator_that_tells_of_no_credit_is_not_paid_above_its_price(
    terms: JobToken, balance: int, in_advance: int
) -> None:
    clock = FakeClock()
    session = TicketPayments(Stamp(), clock=clock).session(JOB, URL)
    small = with_params(terms, **TEN_WEI, balance=balance)
    began, left = clock.now, 0

    async def pay() -> None:
        nonlocal left
        while clock.now - began < 600:
            payment = await session.payment(small, seconds=60)
            assert payment is not None
            left += payment.value
            assert left <= 10 * (clock.now - began + in_advance)
            session.accepted(payment, balance=balance)
            clock.advance(20)

    with pytest.raises(PriceTooHigh, match="above its price of 10 wei per second"):
        await pay()
    # Who is ahead waits while the credit suffices: another job may use it, too.
    assert await session.payment(with_params(terms, **TEN_WEI, balance=600), seconds=60) is None
    clock.advance(600)
    assert await session.payment(small, seconds=60) is not None


async def test_an_orchestrator_takes_the_tickets_and_a_lost_payment_is_paid_once() -> None:
    signer = LocalSigner.ephemeral()
    async with (
        fake_orchestrator({"echo": FakeCapability(_echo, price=10)}, ticket_value=100) as node,
        aiohttp.ClientSession() as http,
    ):
        session = TicketPayments(signer).session(JOB, node.url)
        first = await session.payment(await token(http, node, signer), seconds=120)
        assert await post(http, node, signer, None) == 400
        assert await post(http, node, signer, first) == 200
        # Nobody said so to the session; the credit does.
        assert await session.payment(await token(http, node, signer), seconds=60) is None
        assert node.balance(signer.address, "echo") == 1200 - 10

        node.set_balance(signer.address, "echo", 0)
        second = await session.payment(await token(http, node, signer), seconds=60)
        assert second is not None
        session.lost(second)
        # It never arrived: it is the same one, and not a third.
        assert await session.payment(await token(http, node, signer), seconds=60) == second
        assert await post(http, node, signer, second) == 200
        # Told twice of the same tickets, an orchestrator closes the connection.
        assert await post(http, node, signer, second) is None
        session.refused(second)
        node.set_balance(signer.address, "echo", 700)
        assert await session.payment(await token(http, node, signer), seconds=60) is None
        assert [payment.value for payment in node.payments] == [1200, 600]


async def _echo(_request: object) -> Any:
    from livepeer.client.testing import RunnerReply

    return RunnerReply.json({"ok": True})


def with_params(terms: JobToken, *, balance: int = 0, **changes: JSONValue) -> JobToken:
    return replace(terms, balance=balance, ticket_params={**(terms.ticket_params or {}), **changes})


def tickets_of(payment: Payment) -> list[wire.TicketSenderParams]:
    message = wire.Payment.FromString(base64.b64decode(payment.headers["Livepeer-Payment"]))
    return list(message.ticket_sender_params)


def count(payment: Payment | None) -> int:
    return len(tickets_of(payment)) if payment else 0


async def token(
    http: aiohttp.ClientSession, node: FakeOrchestrator, signer: LocalSigner
) -> JobToken:
    credentials = await signer.token_credentials()
    headers = {"Livepeer-Eth-Address": credentials.header(), "Livepeer-Capability": "echo"}
    async with http.get(f"{node.url}/process/token", headers=headers) as answer:
        return parse_token(await answer.read(), node.url)


async def post(
    http: aiohttp.ClientSession,
    node: FakeOrchestrator,
    signer: LocalSigner,
    payment: Payment | None,
) -> int | None:
    """The status; None when the connection was closed instead."""
    signed = await signer.sign_job(JOB, "legacy")
    headers = {"Livepeer": signed.header(), **(payment.headers if payment else {})}
    try:
        async with http.post(f"{node.url}/process/request/x", headers=headers, data=b"{}") as a:
            return a.status
    except aiohttp.ClientError:
        return None
