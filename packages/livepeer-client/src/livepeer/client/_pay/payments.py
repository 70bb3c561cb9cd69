"""What a job owes, and the headers that pay it.

A provider makes one session for each job and orchestrator, and a session makes the payments: the
one that goes with the job, and those that keep a stream running. Whoever sends a payment tells its
session what became of it. `FreeOnly` pays nothing, `RemotePayments` has a remote signer pay, and
`TicketPayments` pays with a key of one's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client.errors import PaymentRequiredError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from livepeer.client._wire.jobs import Job
    from livepeer.client._wire.tokens import JobToken

ADMITTED_S: Final = 60
"""An orchestrator admits a job, an update, a stop or a payment only to a sender whose credit is
worth so many seconds (go-livepeer `byoc/job_orchestrator.go`)."""

COVERED_S: Final = 120
"""Nothing is paid while the credit is worth so many seconds, as go-livepeer's gateway does."""

ARREARS_S: Final = 60
"""Of what is owed already, no more than so many seconds' worth is paid with one payment: an
orchestrator could claim any debt."""

CHARGED_S: Final = 23
"""An orchestrator charges a running stream for so many seconds at a time (go-livepeer
`byoc/stream_orchestrator.go`)."""

PAY_EVERY_S: Final = 20.0
"""How often a running stream pays: thrice within the least that is paid for at its start."""


@dataclass(frozen=True, kw_only=True)
class Payment:
    """A payment that is ready to be sent.

    Attributes:
        headers: What carries it. Kept out of the representation: it is as good as money.
        value: Wei, rounded up: the expected value of its tickets.
    """

    headers: Mapping[str, str] = field(repr=False)
    value: int


class PaymentSession(Protocol):
    """Pays one orchestrator for one job. Its calls go one after the other."""

    async def payment(self, terms: JobToken, *, seconds: int) -> Payment | None:
        """What has to go with the next request, or None when nothing is owed.

        A payment of which nobody said that it was accepted or refused is given again, as it was,
        before a new one is made; unless the balance shows that it arrived.

        Args:
            terms: The orchestrator's terms, fetched for this payment.
            seconds: What the job may take; at least `ADMITTED_S` are paid for.

        Raises:
            PaymentRequiredError: Something is owed that cannot be paid: the price or the spending
                is limited, nothing pays here, or two payments were refused one after the other.
            SignerError: A remote signer did not pay.
        """
        ...

    def accepted(self, payment: Payment, *, balance: int | None) -> None:
        """The request that carried the payment was served; `balance` is the credit told, in wei."""
        ...

    def lost(self, payment: Payment) -> None:
        """Nobody knows whether the payment arrived."""
        ...

    def refused(self, payment: Payment) -> None:
        """The orchestrator did not take the payment. One new one may be made in its place."""
        ...


class PaymentProvider(Protocol):
    """Pays for jobs.

    One with an attribute `payer`, a key or a remote signer, says by that whose credit grows: a
    client signs as that one, and takes no other signer.
    """

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> PaymentSession:
        """What pays for one job at one orchestrator.

        Args:
            job: The job; of a stream, the one that starts it.
            node_url: The orchestrator.
            refresh: Fetches its terms anew, for a payment whose terms turn out to be outdated.
        """
        ...


def payer_of(payments: PaymentProvider) -> object:
    """Whose credit grows; None where a provider does not say."""
    return getattr(payments, "payer", None)


class FreeOnly:
    """Pays nothing, and stops a call that would cost something before it is sent."""

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> PaymentSession:
        """A session that refuses whatever has a price."""
        del node_url, refresh
        return _FreeSession(job.capability)


@dataclass(frozen=True)
class _FreeSession:
    capability: str

    async def payment(self, terms: JobToken, *, seconds: int) -> Payment | None:
        del seconds
        if terms.price_per_s > 0:
            raise PaymentRequiredError(
                f"capability {self.capability!r} costs {terms.price_per_s} wei per second,"
                " and this client pays nothing; give it `payments=`, or the URL of a remote signer"
                " as `signer=` (in a shell: --key-file with --max-spend, or --signer)",
                url=terms.url,
                price_per_s=terms.price_per_s,
            )
        return None

    def accepted(self, payment: Payment, *, balance: int | None) -> None:
        """There is none."""

    def lost(self, payment: Payment) -> None:
        """There is none."""

    def refused(self, payment: Payment) -> None:
        """There is none."""
