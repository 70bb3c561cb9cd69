"""What a BYOC job must show to be let in: a signature, a timeout, a capability and credit.

Source: go-livepeer `byoc/job_orchestrator.go` (`setupOrchJob`, `confirmPayment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._cashier import PaymentRefusedError, read_payment
from ._checks import JobFields, is_job_signed, read_job
from ._keys import raw_address

if TYPE_CHECKING:
    from aiohttp import web

    from ._node import Node

MIN_CREDIT_S: Final = 60


@dataclass(frozen=True, kw_only=True)
class Admitted:
    """A job that passed every check.

    Attributes:
        job: Its header.
        sender: Who signed it, 20 bytes.
        price: Wei per second.
    """

    job: JobFields
    sender: bytes
    price: int


class NotAdmittedError(Exception):
    """A job was refused, with this text."""


class Turnstile:
    """Lets jobs in that are signed and paid for."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def admit(self, request: web.Request, *, reserve: bool) -> Admitted:
        """Check a job's header and take its payment.

        Args:
            request: With the headers `Livepeer` and `Livepeer-Payment`.
            reserve: Whether the capability must be registered, as for a job that runs.

        Raises:
            NotAdmittedError: With the text of go-livepeer.
            PaymentRefusedError: The payment was bad, which there ends the handler.
        """
        node = self._node
        job = read_job(request.headers.get("Livepeer"))
        if job is None:
            raise NotAdmittedError("Could not verify job creds")
        if job.timeout_seconds == 0:
            text = "no timeout_seconds set with request, timeout_seconds is required"
            raise NotAdmittedError(text)
        sender = raw_address(job.sender)
        legacy = node.flavour == "head"
        if node.verify and not is_job_signed(job, sender, legacy=legacy):
            raise NotAdmittedError("Could not verify job creds")
        offer = node.capabilities.get(job.capability)
        if offer is None and reserve:
            raise NotAdmittedError("No capacity available for capability")
        price = 0 if offer is None else offer.price
        if price:
            self._pay(request, job, sender, price)
        try:
            job.stream_id  # noqa: B018
        except ValueError as error:
            text = f"Unable to unmarshal job request details err={error}"
            raise NotAdmittedError(text) from error
        return Admitted(job=job, sender=sender, price=price)

    def _pay(self, request: web.Request, job: JobFields, sender: bytes, price: int) -> None:
        header = request.headers.get("Livepeer-Payment", "")
        if not self._node.is_paid:
            if not header:
                raise NotAdmittedError("Insufficient balance for request")
            return
        if header:
            try:
                self._node.take(read_payment(header), job.capability)
            except (PaymentRefusedError, ValueError) as error:
                if self._node.flavour == "head":
                    raise PaymentRefusedError(str(error)) from error
                raise NotAdmittedError("Could not parse payment") from error
        if self._node.cashier.balance(sender, job.capability) < MIN_CREDIT_S * price:
            raise NotAdmittedError("Insufficient balance for request")
