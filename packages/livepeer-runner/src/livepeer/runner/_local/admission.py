"""The orchestrator's state, and the checks that every signed request passes (`setupOrchJob`)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from . import gojson, jobs
from .answers import Dropped, Refusal
from .money.messages import PAYMENT_HEADER, PaymentRefused
from .money.tickets import decimal_text
from .money.till import FREE, InsufficientBalance

if TYPE_CHECKING:
    from fractions import Fraction

    import aiohttp
    from aiohttp import web

    from livepeer.trickle import TrickleServer

    from .capabilities import Registry, Slot
    from .keys import Verifier
    from .money.till import Bill, Till
    from .settings import LocalSettings

logger = logging.getLogger("livepeer.runner.local")

_NOTHING = {jobs.BALANCE_HEADER: "0"}


@dataclass(slots=True)
class Node:
    """What the orchestrator's routes share."""

    url: str
    settings: LocalSettings
    registry: Registry
    verifier: Verifier
    trickle: TrickleServer
    till: Till | None
    # Made when the application starts, for it needs the running loop.
    session: aiohttp.ClientSession = field(init=False)

    def token(self, capability: str) -> str:
        """The token that the capability's runner wants to see, "" for none."""
        record = self.registry.get(capability)
        return record.token if record else ""

    def price(self, capability: str) -> int:
        """What a second of the capability costs, in wei; 0 for one that nobody knows."""
        return 0 if self.till is None else self.till.price(self.registry.price(capability))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that passed the checks, and the bill that it runs up."""

    request: jobs.JobRequest
    stream_id: str
    url: str
    bill: Bill

    def charge_since(self, began: float) -> dict[str, str]:
        """Charge for every second that was begun; the header that tells what is left.

        Args:
            began: By `time.monotonic`.
        """
        if self.bill is FREE:
            return _NOTHING
        self.bill.charge(ceil(time.monotonic() - began))
        return {jobs.BALANCE_HEADER: whole(self.bill.balance)}


def whole(wei: Fraction) -> str:
    """An amount as headers have it."""
    return decimal_text(wei, 0)


def admit(node: Node, request: web.Request) -> Admitted:
    """Check a job without taking capacity; its capability need not be registered.

    Raises:
        Refusal: With status 400 and the reason.
        Dropped: Its payment was not taken.
    """
    return _admitted(node, request, _verified(node, request.headers.get(jobs.JOB_HEADER, "")))


def admit_and_reserve(node: Node, request: web.Request) -> tuple[Admitted, Slot]:
    """Check a job and take one unit of its capability.

    Raises:
        Refusal: 503 for a capability that is not registered, else 400.
        Dropped: Its payment was not taken.
    """
    job = _verified(node, request.headers.get(jobs.JOB_HEADER, ""))
    slot = node.registry.reserve(job.capability)
    if slot is None:
        raise Refusal(503, jobs.NO_CAPACITY)
    try:
        return _admitted(node, request, job), slot
    except (Refusal, Dropped):
        slot.release()
        raise


def _admitted(node: Node, request: web.Request, job: jobs.JobRequest) -> Admitted:
    bill = FREE if node.till is None else _open_bill(node, node.till, job, request)
    try:
        stream_id = jobs.stream_id(job.request)
    except gojson.GoJSONError as error:
        raise Refusal(400, f"Unable to unmarshal job request details err={error}") from None
    record = node.registry.get(job.capability)
    return Admitted(job, stream_id, record.url if record else "", bill)


def _open_bill(node: Node, till: Till, job: jobs.JobRequest, request: web.Request) -> Bill:
    payment = request.headers.get(PAYMENT_HEADER, "")
    try:
        return till.open_bill(job.sender, job.capability, node.price(job.capability), payment)
    except InsufficientBalance:
        raise Refusal(400, jobs.NO_BALANCE) from None
    except PaymentRefused as reason:
        logger.warning("a payment for %r was refused: %s", job.capability, reason)
        if node.settings.signature == "v1":
            raise Refusal(400, jobs.NO_PAYMENT) from None
        raise Dropped from None


def _verified(node: Node, header: str) -> jobs.JobRequest:
    try:
        job = jobs.parse_job(header)
        signature = jobs.signature_bytes(job.sig)
        v1 = node.settings.signature == "v1"
        message = job.v1_message() if v1 else job.legacy_message()
    except jobs.NoTimeout:
        raise Refusal(400, jobs.NO_TIMEOUT) from None
    except jobs.BadJob:
        raise Refusal(400, jobs.NO_CREDS) from None
    if not node.verifier.accepts(jobs.address_bytes(job.sender), message, signature):
        raise Refusal(400, jobs.NO_CREDS)
    return job
