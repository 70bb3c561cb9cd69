"""What the orchestrator charges, and what it takes for it.

Source: go-livepeer `byoc/job_orchestrator.go` (`confirmPayment`, `processPayment`,
`chargeForCompute`), `core/orchestrator.go` (`ProcessPayment`).
"""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from livepeer.runner._local.jobs import address_bytes
from livepeer.runner._local.keys import EthereumVerifier, ThrowAwayKey

from .accounts import Accounts
from .chain import Chain
from .messages import PaymentRefused, check_messages, read_payment
from .recipient import Recipient, TicketRefused

if TYPE_CHECKING:
    from livepeer.runner._local.settings import LocalSettings

    from .messages import Payment
    from .tickets import TicketParams

logger = logging.getLogger("livepeer.runner.local")

MIN_CREDIT_S: Final = 60
"""A job is let in with so many seconds paid in advance."""

# A ticket pays for so many seconds, unless the settings say what it is worth, and for no more wei
# than senders agree to by default (`-maxTicketEV` is 3e12).
_TICKET_S: Final = 100
_TICKET_WEI: Final = 10**12
_ZERO: Final = Fraction(0)


class InsufficientBalance(Exception):
    """The sender's credit does not cover a minute."""


class Bill:
    """What one job costs its sender: nothing. The base of those that cost something."""

    price: int = 0
    """Wei per second."""

    @property
    def balance(self) -> Fraction:
        """What the sender has left for the capability, in wei; may be negative."""
        return _ZERO

    def charge(self, seconds: int) -> None:
        """Take the price of so many seconds."""


FREE: Final = Bill()


class _PaidBill(Bill):
    """Debits the sender's account for the capability, which all its jobs share."""

    def __init__(self, accounts: Accounts, sender: bytes, capability: str, price: int) -> None:
        self._accounts = accounts
        self._sender = sender
        self._capability = capability
        self.price = price

    @property
    def balance(self) -> Fraction:
        return self._accounts.balance(self._sender, self._capability)

    def charge(self, seconds: int) -> None:
        if self.price:
            amount = Fraction(-self.price * seconds)
            self._accounts.add(self._sender, self._capability, amount)


class Till:
    """Takes tickets and keeps accounts, as an on-chain orchestrator; off-chain there is no till.

    Args:
        recipient: Checks the tickets.
        accounts: Where they are credited.
        ticket_value: What a ticket is worth in wei; 0 for as much as 100 seconds cost.
    """

    def __init__(self, recipient: Recipient, accounts: Accounts, ticket_value: int) -> None:
        self._recipient = recipient
        self._accounts = accounts
        self._ticket_value = ticket_value

    def open_bill(self, sender: str, capability: str, price: int, header: str) -> Bill:
        """Let a job in, with the payment that it brings, "" for none.

        The payment is credited to whom it names as its sender, who need not be the job's.

        Args:
            sender: The address as the job's header has it.
            capability: What the job is for.
            price: Wei per second; at 0 the payment is not even looked at.
            header: The payment.

        Raises:
            PaymentRefused: The payment was not taken.
            InsufficientBalance: There is less than a minute's credit.
        """
        address = address_bytes(sender)
        if price > 0:
            if header:
                self._credit(header, capability)
            if self.balance(address, capability) < MIN_CREDIT_S * price:
                raise InsufficientBalance
        return _PaidBill(self._accounts, address, capability, price)

    def balance(self, sender: bytes, capability: str) -> Fraction:
        """What the sender has left for the capability, in wei; may be negative."""
        return self._accounts.balance(sender, capability)

    def ticket_params(self, sender: bytes, price: int) -> TicketParams:
        """New ticket parameters."""
        value = self._ticket_value or min(_TICKET_S * max(price, 1), _TICKET_WEI)
        return self._recipient.params(sender, Fraction(price), value)

    def price(self, registered: Fraction) -> int:
        """What a second costs: whole wei, rounded down, so that less than one is free."""
        return registered.numerator // registered.denominator

    def _credit(self, header: str, capability: str) -> None:
        payment = read_payment(header)
        if payment.params is not None:
            self._take(payment, payment.params, capability)

    def _take(self, payment: Payment, params: TicketParams, capability: str) -> None:
        """Credit each ticket up to the first that is refused; those after it are lost."""
        refused: TicketRefused | None = None
        for nonce, signature in payment.tickets:
            try:
                self._recipient.take(params, payment.sender, payment.rate, nonce, signature)
            except TicketRefused as reason:
                refused = reason
                if reason.fatal:
                    break
            if refused is None:
                self._accounts.add(payment.sender, capability, params.value)
        if refused is not None:
            raise PaymentRefused(str(refused))
        logger.debug("took %d tickets for %r", len(payment.tickets), capability)


def make_till(settings: LocalSettings) -> Till:
    """A till with a fresh key, on a chain of its own.

    Raises:
        VerifyUnavailable: The extra `verify` is not installed.
    """
    check_messages()
    recipient = Recipient(
        address_bytes(ThrowAwayKey().address),
        EthereumVerifier(),
        Chain(settings.block_s),
        settings.max_accounts,
    )
    accounts = Accounts(settings.account_idle_s, settings.max_accounts)
    return Till(recipient, accounts, settings.ticket_value)
