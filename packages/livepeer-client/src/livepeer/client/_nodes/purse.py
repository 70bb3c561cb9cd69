"""What pays for one job at one orchestrator, and the payment that is on its way."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.client._pay.payments import Payment, PaymentProvider, PaymentSession
    from livepeer.client._wire.jobs import Job
    from livepeer.client._wire.tokens import JobToken

    from .terms import Terms


class Purse:
    """Gets a payment where one is owed, holds it while it is sent, and tells what became of it.

    Costs nothing for a free capability.

    Args:
        payments: What pays.
        job: What is paid for; of a stream, the job that starts it.
        node_url: The orchestrator.
        terms: Its terms, for those of a later moment.
        token: Its terms of this moment.
        seconds: For how long each payment is to last at least.

    Attributes:
        began_free: The capability had no price at first.
        paid: What was got here, in wei; a payment that is given again counts once.
        lock: Whoever pays holds it, from `fill` until the outcome is told: a session's calls go
            one after the other.
    """

    def __init__(
        self,
        payments: PaymentProvider,
        job: Job,
        node_url: str,
        terms: Terms,
        token: JobToken,
        *,
        seconds: int,
    ) -> None:
        self.began_free = token.price_per_s <= 0
        self.paid = 0
        self.lock = asyncio.Lock()
        self._payments = payments
        self._job = job
        self._node_url = node_url
        self._terms = terms
        self._token = token
        self._seconds = seconds
        self._session: PaymentSession | None = None
        self._held: Payment | None = None
        # One that may be given again.
        self._counted: Payment | None = None

    @property
    def priced(self) -> bool:
        """Whether the capability had a price when that was last looked at."""
        return self._token.price_per_s > 0

    @property
    def headers(self) -> Mapping[str, str]:
        """What carries the payment that is held; empty without one."""
        return {} if self._held is None else self._held.headers

    @property
    def full(self) -> bool:
        """Whether a payment is held."""
        return self._held is not None

    async def look(self) -> bool:
        """Whether the capability has a price by now; what is known may be some seconds old."""
        self._token = await self._terms.get(self._job.capability)
        return self.priced

    async def arrived(self) -> bool:
        """Whether the credit has grown since the payment was got: by that payment.

        Raises:
            ClientError: The orchestrator does not tell.
        """
        before = self._token.balance
        self._token = await self._fresh()
        return self._token.balance > before

    def lasts(self, seconds: float) -> bool:
        """Whether the credit that was told last is worth so many seconds at least."""
        return self._token.balance >= seconds * self._token.price_per_s

    async def fill(self, *, anew: bool = False, unless_s: float = math.inf) -> bool:
        """Get what is owed now; whether that is anything.

        Args:
            anew: Ask for the orchestrator's terms of this moment first.
            unless_s: Get nothing where the credit is worth so many seconds.

        Raises:
            PaymentRequiredError: It cannot be paid.
            SignerError: A remote signer did not pay.
        """
        if anew:
            self._token = await self._fresh()
        self._held = None
        if self._token.price_per_s > 0 and not self.lasts(unless_s):
            if self._session is None:
                self._session = self._payments.session(
                    self._job, self._node_url, refresh=self._fresh
                )
            self._held = await self._session.payment(self._token, seconds=self._seconds)
            self._count()
        return self._held is not None

    def accepted(self, balance: int | None) -> None:
        """Tell that what was sent with the payment was served."""
        if self._session is not None and self._held is not None:
            self._session.accepted(self._held, balance=balance)
            self._held = self._counted = None

    def lost(self) -> None:
        """Tell that nobody knows whether the payment arrived."""
        if self._session is not None and self._held is not None:
            self._session.lost(self._held)
            self._held = None

    def refused(self) -> None:
        """Tell that the payment was not taken."""
        if self._session is not None and self._held is not None:
            self._session.refused(self._held)
            self._held = self._counted = None

    def _count(self) -> None:
        if self._held is not None and self._held != self._counted:
            self.paid += self._held.value
            self._counted = self._held

    async def _fresh(self) -> JobToken:
        return await self._terms.fetch(self._job.capability)
