"""What a call owes, and the header that pays it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .errors import PaymentRequired

if TYPE_CHECKING:
    from .jobs import Job
    from .tokens import JobToken


class PaymentProvider(Protocol):
    """Pays for jobs."""

    async def payment(self, token: JobToken, job: Job) -> str | None:
        """The value of the `Livepeer-Payment` header for a job, or None when nothing is owed.

        Args:
            token: The orchestrator's terms, fetched for this job.
            job: What is going to be sent.

        Raises:
            PaymentRequired: Something is owed that this provider does not pay.
        """
        ...


class FreeOnly:
    """Pays nothing, and stops a call that would cost something before it is sent."""

    async def payment(self, token: JobToken, job: Job) -> str | None:
        """None for a free capability.

        Raises:
            PaymentRequired: The capability has a price.
        """
        if token.price_per_s > 0:
            raise PaymentRequired(
                f"capability {job.capability!r} costs {token.price_per_s} wei per second,"
                " and this client pays nothing; give it a payment provider",
                url=token.url,
                price_per_s=token.price_per_s,
            )
        return None
