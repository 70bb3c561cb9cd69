"""Tickets, balances and amounts against the golden vectors, and what a payment must not be."""

from __future__ import annotations

import base64
import json
import sys
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner._local import jobs
from livepeer.runner._local.errors import VerifyUnavailable
from livepeer.runner._local.keys import EthereumVerifier, NoKey, ThrowAwayKey
from livepeer.runner._local.money.accounts import Accounts
from livepeer.runner._local.money.chain import Chain
from livepeer.runner._local.money.messages import Payment, PaymentRefused, read_payment
from livepeer.runner._local.money.recipient import Recipient, TicketRefused
from livepeer.runner._local.money.tickets import TicketParams, decimal_text, ticket_count
from livepeer.runner._local.money.wallet import CannotPay, Terms, payment, read_terms
from livepeer.runner._local.network import LocalNetwork

if TYPE_CHECKING:
    from collections.abc import Callable

PRICE = Fraction(10)


def params_of(ticket: dict[str, Any]) -> TicketParams:
    return TicketParams(
        recipient=jobs.address_bytes(ticket["Recipient"]),
        face_value=int(ticket["FaceValue"]),
        win_prob=int(ticket["WinProb"]),
        rand_hash=bytes.fromhex(ticket["Rand"][2:]),
        seed=0,
        expiration_block=0,
        round=ticket["Round"],
        round_hash=bytes.fromhex(ticket["BlockHash"][2:]),
    )


def test_ticket_hashes_signatures_and_values_are_the_golden_ones(vectors: dict[str, Any]) -> None:
    verifier = EthereumVerifier()
    for row in vectors["pm_ticket"]["vectors"]:
        ticket = row["ticket"]
        params, sender = params_of(ticket), jobs.address_bytes(ticket["Sender"])
        message = params.message(sender, ticket["Nonce"])
        assert "0x" + verifier.keccak(message).hex() == row["hash"]
        if "ev_wei" in row:
            assert decimal_text(params.value, 6) == row["ev_wei"]
            signature = bytes.fromhex(row["ticket_signature_by_K1"][2:])
            assert verifier.accepts(sender, message, signature)
            assert not verifier.accepts(sender, message + b"\0", signature)


def test_the_golden_payment_is_read_and_written(vectors: dict[str, Any]) -> None:
    row = vectors["pm_ticket"]["vectors"][-1]
    golden = vectors["payment"]["livepeer_payment_header"]
    read = read_payment(golden)
    assert read.header() == golden
    assert read.sender == jobs.address_bytes(row["ticket"]["Sender"])
    assert read.price == (10, 1)
    assert read.tickets == ((1, bytes.fromhex(row["ticket_signature_by_K1"][2:])),)
    assert read.params is not None
    wanted = params_of(row["ticket"])
    assert replace(read.params, seed=0, expiration_block=0) == wanted


def test_the_golden_token_is_read_and_written(vectors: dict[str, Any]) -> None:
    paid = next(row for row in vectors["job_token_json"] if row["case"].startswith("paid 10"))
    token = json.loads(paid["body"])
    terms = read_terms(token)
    assert (terms.price, terms.balance) == ((10, 1), 0)
    assert terms.params is not None
    assert terms.params.json() == token["ticket_params"]
    assert round(terms.params.value) == 10_000


def test_so_many_tickets_pay_a_cost(vectors: dict[str, Any]) -> None:
    for row in vectors["ticket_count"]["rows"]:
        assert ticket_count(Fraction(row["cost"]), Fraction(row["ev"])) == row["count"]


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        (Fraction(5, 2), 0, "3"),
        (Fraction(-5, 2), 0, "-3"),
        (Fraction(-1, 3), 0, "0"),
        (Fraction(1, 3), 3, "0.333"),
        (Fraction(-12345), 3, "-12345.000"),
    ],
)
def test_amounts_are_written_as_go_does(value: Fraction, places: int, text: str) -> None:
    assert decimal_text(value, places) == text


def test_accounts_are_kept_for_a_time_and_up_to_a_number() -> None:
    accounts = Accounts(idle_s=1000, limit=2)
    accounts.add(b"a", "c1", Fraction(7))
    accounts.add(b"a", "c2", Fraction(1))
    accounts.add(b"a", "c1", Fraction(-9))
    assert accounts.balance(b"a", "c1") == -2
    assert accounts.balance(b"b", "c1") == 0
    accounts.add(b"b", "c1", Fraction(1))
    assert [accounts.balance(b"a", name) for name in ("c1", "c2")] == [-2, 0]
    forgetful = Accounts(idle_s=-1, limit=2)
    forgetful.add(b"a", "c1", Fraction(7))
    assert forgetful.balance(b"a", "c1") == 0


class Desk:
    """A recipient, a sender, and the parameters that the one made for the other."""

    def __init__(self, **options: Any) -> None:
        self.chain = Chain(block_s=1000.0)
        limit = options.pop("limit", 10)
        self.recipient = Recipient(b"\x01" * 20, EthereumVerifier(), self.chain, limit)
        self.key = ThrowAwayKey()
        self.sender = jobs.address_bytes(self.key.address)
        self.params = self.recipient.params(self.sender, PRICE, 1000)

    def take(self, nonce: int = 1, *, price: Fraction = PRICE, **changed: Any) -> None:
        params = replace(self.params, **changed)
        signature = self.key.sign_ticket(params.message(self.sender, nonce))
        self.recipient.take(params, self.sender, price, nonce, signature)


def test_a_ticket_is_taken_once() -> None:
    desk = Desk()
    assert 1000 <= desk.params.value < 1001
    desk.take(1)
    desk.take(2)
    with pytest.raises(TicketRefused, match="already seen nonce=2"):
        desk.take(2)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"recipient": b"\x02" * 20}, "invalid ticket recipient"),
        ({"face_value": 10**9}, "invalid recipientRand"),
        ({"win_prob": 1}, "invalid recipientRand"),
        ({"seed": 1}, "invalid recipientRand"),
        ({"expiration_block": 10**9}, "invalid recipientRand"),
        ({"round": 1}, "invalid recipientRand"),
        ({"round": -(2**62)}, "invalid recipientRand"),
        ({"price": Fraction(11)}, "invalid recipientRand"),
    ],
)
def test_a_changed_ticket_is_refused(change: dict[str, Any], reason: str) -> None:
    desk = Desk()
    with pytest.raises(TicketRefused, match=reason) as refused:
        desk.take(1, **change)
    assert refused.value.fatal


def test_a_ticket_of_another_sender_or_with_a_wrong_signature_is_refused() -> None:
    desk = Desk()
    with pytest.raises(TicketRefused, match="invalid ticket signature"):
        desk.recipient.take(desk.params, desk.sender, PRICE, 1, b"\x1b" * 65)
    desk.sender = b"\x03" * 20
    with pytest.raises(TicketRefused, match="invalid recipientRand"):
        desk.take(1)
    desk.sender = bytes(20)
    with pytest.raises(TicketRefused, match="invalid ticket sender"):
        desk.take(1)


def test_parameters_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()
    began = desk.chain.block
    monkeypatch.setattr(Chain, "block", began + 39)
    desk.take(1)
    monkeypatch.setattr(Chain, "block", began + 40)
    with pytest.raises(TicketRefused, match="TicketParams expired"):
        desk.take(2)


def test_tickets_are_remembered_for_so_many_parameters() -> None:
    desk = Desk(limit=1)
    desk.take(1)
    desk.params = desk.recipient.params(desk.sender, PRICE, 1000)
    with pytest.raises(TicketRefused, match="too many ticket parameters"):
        desk.take(1)


def tickets(change: Callable[[Any], None]) -> str:
    """A payment header that `change` was done to."""
    from livepeer.runner._local._proto import local_pb2 as pb

    desk = Desk()
    made = Payment(sender=desk.sender, params=desk.params, price=(10, 1), tickets=((1, b"s"),))
    message = pb.Payment.FromString(base64.b64decode(made.header()))
    change(message)
    return base64.b64encode(message.SerializeToString()).decode()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("not base64", "no base64"),
        (base64.b64encode(b"\xff\xff").decode(), "no protobuf"),
        (tickets(lambda message: message.ClearField("sender")), "no sender"),
        (tickets(lambda message: message.ClearField("expiration_params")), "no expiration_params"),
        (tickets(lambda message: message.ClearField("expected_price")), "no expected_price"),
        (
            tickets(lambda message: message.expected_price.ClearField("pixelsPerUnit")),
            "no expected_price",
        ),
    ],
)
def test_what_is_no_payment_says_so(header: str, reason: str) -> None:
    with pytest.raises(PaymentRefused, match=reason):
        read_payment(header)


def test_who_has_no_key_or_no_parameters_cannot_pay() -> None:
    desk = Desk()
    terms = Terms(price=(10, 1), balance=1199, params=desk.params)
    assert terms.is_due
    assert not replace(terms, balance=1200).is_due
    assert len(read_payment(payment(terms, 70, desk.key)).tickets) == 1
    with pytest.raises(CannotPay, match="no ticket params"):
        payment(replace(terms, params=None), 70, desk.key)
    with pytest.raises(CannotPay, match="no ticket sender"):
        payment(terms, 70, NoKey())


def test_without_protobuf_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(VerifyUnavailable, match=r"`charge`.*pip install 'livepeer-runner\[verif"):
        LocalNetwork(charge=True)
