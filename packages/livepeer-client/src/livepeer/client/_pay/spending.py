"""What a caller allows to be spent: a highest price, and a sum that nothing exceeds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.client.errors import ConfigError, PriceTooHigh, SpendLimit

from .payments import COVERED_S, payer_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.client._wire.jobs import Job
    from livepeer.client._wire.tokens import JobToken

    from .payments import Payment, PaymentProvider, PaymentSession


class SpendingLimits:
    """Limits that all sessions of a client share, whoever pays.

    A payment counts when it leaves, whatever becomes of it: its tickets are then in other hands.
    One that is given again counts once.

    Args:
        max_price_per_s: The most that a capability may cost, in wei per second.
        max_spend: The most that may leave in all, in wei: the expected value of tickets.

    Raises:
        ConfigError: A limit is negative.

    Attributes:
        spent: What has left so far, in wei.
    """

    def __init__(self, *, max_price_per_s: int | None = None, max_spend: int | None = None) -> None:
        for name, limit in (("max_price_per_s", max_price_per_s), ("max_spend", max_spend)):
            if limit is not None and limit < 0:
                raise ConfigError(f"`{name}` must be 0 or more, not {limit!r}")
        self._max_price_per_s = max_price_per_s
        self._max_spend = max_spend
        self.spent = 0

    def check_price(self, price_per_s: int, *, url: str = "") -> None:
        """Refuse a price.

        Raises:
            PriceTooHigh: It is above the highest.
        """
        if self._max_price_per_s is not None and price_per_s > self._max_price_per_s:
            raise PriceTooHigh(
                f"the price is {price_per_s} wei per second, more than"
                f" `max_price_per_s`, {self._max_price_per_s}",
                url=url,
                price_per_s=price_per_s,
            )

    def check_left(self, *, url: str = "") -> None:
        """Refuse to have a payment made when nothing may be spent any more.

        Raises:
            SpendLimit: All is spent.
        """
        if self._max_spend is not None and self.spent >= self._max_spend:
            raise SpendLimit(f"all of `max_spend`, {self._max_spend} wei, is spent", url=url)

    def spend(self, value: int, *, url: str = "") -> None:
        """Count a payment that is about to leave.

        Raises:
            SpendLimit: It would exceed the sum. It is not counted, and may not leave.
        """
        if self._max_spend is not None and self.spent + value > self._max_spend:
            raise SpendLimit(
                f"a payment of {value} wei would exceed `max_spend`, {self._max_spend}:"
                f" {self.spent} wei are spent",
                url=url,
            )
        self.spent += value

    def applied_to(self, payments: PaymentProvider) -> PaymentProvider:
        """The same provider, within these limits."""
        return _LimitedPayments(payments, self)


class _LimitedPayments:
    def __init__(self, payments: PaymentProvider, limits: SpendingLimits) -> None:
        self.payer = payer_of(payments)
        self._payments = payments
        self._limits = limits

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> PaymentSession:
        checked = None if refresh is None else _checked(refresh, self._limits)
        return _LimitedSession(self._payments.session(job, node_url, refresh=checked), self._limits)

    def __repr__(self) -> str:
        return f"{self._payments!r} within limits"


def _checked(
    refresh: Callable[[], Awaitable[JobToken]], limits: SpendingLimits
) -> Callable[[], Awaitable[JobToken]]:
    async def refreshed() -> JobToken:
        terms = await refresh()
        limits.check_price(terms.price_per_s, url=terms.url)
        return terms

    return refreshed


class _LimitedSession:
    def __init__(self, session: PaymentSession, limits: SpendingLimits) -> None:
        self._session = session
        self._limits = limits
        # The payment that was let through last: given again, it is not counted again.
        self._counted: Payment | None = None

    async def payment(self, terms: JobToken, *, seconds: int) -> Payment | None:
        self._limits.check_price(terms.price_per_s, url=terms.url)
        # Before a signer is asked; a payment on its way is given again in any case.
        if self._counted is None and _may_owe(terms):
            self._limits.check_left(url=terms.url)
        payment = await self._session.payment(terms, seconds=seconds)
        # From here to the count nothing else can run, so that concurrent calls cannot both pass.
        if payment is not None and payment != self._counted:
            self._limits.spend(payment.value, url=terms.url)
            self._counted = payment
        return payment

    def accepted(self, payment: Payment, *, balance: int | None) -> None:
        self._settle(payment)
        self._session.accepted(payment, balance=balance)

    def lost(self, payment: Payment) -> None:
        self._session.lost(payment)

    def refused(self, payment: Payment) -> None:
        self._settle(payment)
        self._session.refused(payment)

    def _settle(self, payment: Payment) -> None:
        if payment == self._counted:
            self._counted = None


def _may_owe(terms: JobToken) -> bool:
    return terms.balance < COVERED_S * terms.price_per_s
