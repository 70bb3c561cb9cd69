"""Payments as an orchestrator takes them, and the credit that each sender has.

Source: go-livepeer `core/orchestrator.go` (`ProcessPayment`), `core/accounting.go`.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ._protobuf import Message
from ._recipient import Recipient, TicketRefusedError
from ._tickets import Price, TicketTerms

if TYPE_CHECKING:
    from ._tickets import FakeChain


class PaymentRefusedError(Exception):
    """A payment was not accepted; the tickets before the first bad one count all the same."""


@dataclass(frozen=True, kw_only=True)
class ReceivedPayment:
    """A payment that an orchestrator accepted.

    Attributes:
        account: The capability, or the manifest id of a live-video job.
        sender: Who paid, 20 bytes.
        price: What the sender expected to pay for a unit.
        nonces: Those of its tickets.
        value: What it was worth, in whole wei.
    """

    account: str
    sender: bytes
    price: Fraction
    nonces: tuple[int, ...]
    value: int


def read_payment(header: str) -> Message:
    """The protobuf of a `Livepeer-Payment` header; an empty header is an empty payment.

    Raises:
        PaymentRefusedError: It cannot be read.
    """
    try:
        raw = base64.b64decode(header, validate=True)
    except (binascii.Error, ValueError) as error:
        raise PaymentRefusedError("base64 decode error: illegal base64 data") from error
    try:
        return Message(raw)
    except ValueError as error:
        raise PaymentRefusedError("protobuf unmarshal error: proto: cannot parse") from error


class Cashier:
    """Credit by sender and account, and the prices that first payments fixed.

    Attributes:
        payments: Every payment that was accepted.
        recipient: Who checks the tickets.
    """

    def __init__(self, address: bytes, chain: FakeChain, *, ticket_value: int) -> None:
        self.recipient = Recipient(address, chain, ticket_value=ticket_value)
        self.payments: list[ReceivedPayment] = []
        self._credit: dict[tuple[bytes, str], Fraction] = {}
        self._fixed: dict[tuple[bytes, str], Fraction] = {}

    def balance(self, sender: bytes, account: str) -> Fraction:
        """Credit in wei; may be negative."""
        return self._credit.get((sender, account), Fraction(0))

    def credit(self, sender: bytes, account: str, amount: Fraction) -> None:
        """Add to the credit, or take from it."""
        self._credit[sender, account] = self.balance(sender, account) + amount

    def fixed_price(self, sender: bytes, account: str) -> Fraction | None:
        """The price that the first payment of an account expected, for the rest of its life."""
        return self._fixed.get((sender, account))

    def forget(self, sender: bytes, account: str) -> None:
        """Drop an account, as happens when it is not used for ten minutes."""
        self._credit.pop((sender, account), None)
        self._fixed.pop((sender, account), None)

    def take(self, payment: Message, account: str) -> ReceivedPayment:
        """Check a payment's tickets and credit those that are good.

        Raises:
            PaymentRefusedError: With the text of go-livepeer.
        """
        sender = payment.data(2)
        if 1 not in payment:
            self._fixed.setdefault((sender, account), Fraction(0))
            rate = _expected_price(payment) if 5 in payment else Fraction(0)
            return ReceivedPayment(account=account, sender=sender, price=rate, nonces=(), value=0)
        if len(sender) != 20:
            raise PaymentRefusedError("Could not find Sender for payment")
        rate = _expected_price(payment)
        self._fixed.setdefault((sender, account), rate)
        if 3 not in payment:
            # There the handler fails, and the connection closes.
            raise PaymentRefusedError("the payment has no expiration_params")
        received = self._receive(payment, sender, rate, account)
        self.payments.append(received)
        return received

    def _receive(
        self, payment: Message, sender: bytes, rate: Fraction, account: str
    ) -> ReceivedPayment:
        terms = TicketTerms.decode(payment.message(1), payment.message(3))
        refused: TicketRefusedError | None = None
        nonces: list[int] = []
        for ticket in payment.messages(4):
            nonce = ticket.number(1)
            try:
                self.recipient.receive(terms, sender, rate, nonce, ticket.data(2))
            except TicketRefusedError as error:
                refused = error
                if error.fatal:
                    break
            if refused is None:
                self.credit(sender, account, terms.value)
                nonces.append(nonce)
        if refused is not None:
            raise PaymentRefusedError(str(refused)) from refused
        value = int(terms.value * len(nonces))
        return ReceivedPayment(
            account=account, sender=sender, price=rate, nonces=tuple(nonces), value=value
        )


def _expected_price(payment: Message) -> Fraction:
    if 5 not in payment:
        text = 'invalid expected price sent with payment err="expected price is nil"'
        raise PaymentRefusedError(text)
    price = payment.message(5)
    if price.number(2) <= 0:
        raise PaymentRefusedError("invalid expected price sent with payment err=invalid price")
    return Price(per_unit=price.number(1), units=price.number(2)).rate
