"""What one session owes, and what it gave out without hearing of it again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from livepeer.client.errors import PaymentRequiredError, PriceTooHigh

from .payments import ADMITTED_S, ARREARS_S, COVERED_S

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.client._wire.tokens import JobToken

    from .payments import Payment

MAX_REFUSALS: Final = 2
"""A payment that was refused is renewed once."""


class Ledger:
    """The payments of one session, one after the other.

    Args:
        clock: Seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._spoke_at: float | None = None
        # Wei: what the time was worth, what may be ahead of that, what was owed at first, what
        # left, and of that what was refused and may be made up for.
        self._earned = 0.0
        self._ahead = 0
        self._owed = 0
        self._left = 0
        self._forgiven = 0
        self._renewals = 0
        self._lock = asyncio.Lock()
        self._given: Payment | None = None
        # The credit when the given payment was made; None where it is not told.
        self._balance: int | None = None
        self._arrived = False
        self._refusals = 0

    async def payment(
        self, terms: JobToken | None, make: Callable[[], Awaitable[Payment | None]]
    ) -> Payment | None:
        """The payment that is given again, or else a new one of `make`; None when nothing is owed.

        Args:
            terms: Price and credit; None where they are not known, and something is owed.
            make: Makes a payment, or None when nothing has to be paid yet.

        Raises:
            PaymentRequiredError: Two payments were refused, one after the other.
        """
        async with self._lock:
            if terms is not None and not self._owes(terms):
                return None
            if self._given is not None:
                return self._given
            if self._refusals >= MAX_REFUSALS:
                raise PaymentRequiredError(
                    f"the orchestrator refused {MAX_REFUSALS} payments, one after the other",
                    url=terms.url if terms else "",
                    price_per_s=terms.price_per_s if terms else None,
                )
            payment = await make()
            self._arrived = False
            self._given = payment
            self._balance = terms.balance if terms else None
            if payment is not None:
                self._left += payment.value
            return payment

    def allows(self, terms: JobToken, *, cost: int, lead: int) -> bool:
        """Whether a payment is in keeping with the time that was sold so far.

        The credit is the orchestrator's word, and one that always tells of too little would be
        paid at any rate. What may be ahead of the time is what is always paid in advance, with
        what was owed at first; and two payments that were refused are made up for. Who is ahead of
        that pays nothing while the credit suffices: another job of the same sender may have used
        what was paid here, and pays in its turn.

        Args:
            terms: Price and credit of this moment.
            cost: What the payment is to be worth, in wei.
            lead: What a payment in advance is worth, in wei, without anything that is owed.

        Raises:
            PriceTooHigh: It is not, and the orchestrator wants more all the same.
        """
        now, price = self._clock(), terms.price_per_s
        if self._spoke_at is not None:
            self._earned += (now - self._spoke_at) * price
        self._spoke_at = now
        self._ahead = max(self._ahead, COVERED_S * price + lead)
        if not self._left:
            self._owed = min(ARREARS_S * price, max(0, -terms.balance))
        if self._left + cost <= self._earned + self._ahead + self._owed + self._forgiven:
            return True
        if terms.balance >= ADMITTED_S * price:
            return False
        raise PriceTooHigh(
            f"the orchestrator got {self._left} wei, and wants {cost} more: that is above its"
            f" price of {price} wei per second",
            url=terms.url,
            price_per_s=price,
        )

    def accepted(self, payment: Payment) -> None:
        """It arrived and was taken."""
        self._settle(payment)
        self._refusals = 0

    def refused(self, payment: Payment) -> None:
        """It was not taken; or it was given again, after it had arrived the first time."""
        self._settle(payment)
        self._refusals += 1
        if self._renewals < MAX_REFUSALS:
            self._renewals += 1
            self._forgiven += payment.value

    def _settle(self, payment: Payment) -> None:
        if payment == self._given:
            self._given = None

    def _owes(self, terms: JobToken) -> bool:
        if terms.price_per_s <= 0:
            return False
        # Credit rises by payments only. A wrong guess, when another job of the same sender paid
        # meanwhile, costs nothing: the credit decides what is owed.
        if self._given is not None and self._balance is not None and terms.balance > self._balance:
            self.accepted(self._given)
            self._arrived = True
        # After one that was refused, or arrived unnoticed, no more is paid than has to be: it
        # would be a second payment for the same time.
        wanted_s = ADMITTED_S if self._arrived or self._refusals else COVERED_S
        return terms.balance < wanted_s * terms.price_per_s


class LedgerSession:
    """What a session is told of its payments, where its ledger is all that wants to know."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def accepted(self, payment: Payment, *, balance: int | None) -> None:
        """The request that carried the payment was served."""
        del balance
        self._ledger.accepted(payment)

    def lost(self, payment: Payment) -> None:
        """Nobody knows whether the payment arrived; it is given again."""

    def refused(self, payment: Payment) -> None:
        """The orchestrator did not take the payment. It is renewed once."""
        self._ledger.refused(payment)
