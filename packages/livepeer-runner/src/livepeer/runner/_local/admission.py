"""The orchestrator's state, and the checks that every signed request passes (`setupOrchJob`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import gojson, jobs
from .answers import Refusal

if TYPE_CHECKING:
    import aiohttp
    from aiohttp import web

    from livepeer.trickle import TrickleServer

    from .capabilities import Registry, Slot
    from .keys import Verifier
    from .settings import LocalSettings


@dataclass(slots=True)
class Node:
    """What the orchestrator's routes share."""

    url: str
    settings: LocalSettings
    registry: Registry
    verifier: Verifier
    trickle: TrickleServer
    # Made when the application starts, for it needs the running loop.
    session: aiohttp.ClientSession = field(init=False)

    def token(self, capability: str) -> str:
        """The token that the capability's runner wants to see, "" for none."""
        record = self.registry.get(capability)
        return record.token if record else ""


@dataclass(frozen=True, slots=True)
class Admitted:
    """A job that passed the checks."""

    request: jobs.JobRequest
    stream_id: str
    url: str


def admit(node: Node, request: web.Request) -> Admitted:
    """Check a job without taking capacity; its capability need not be registered.

    Raises:
        Refusal: With status 400 and the reason.
    """
    return _admitted(node, _verified(node, request.headers.get(jobs.JOB_HEADER, "")))


def admit_and_reserve(node: Node, request: web.Request) -> tuple[Admitted, Slot]:
    """Check a job and take one unit of its capability.

    Raises:
        Refusal: 503 for a capability that is not registered, else 400.
    """
    job = _verified(node, request.headers.get(jobs.JOB_HEADER, ""))
    slot = node.registry.reserve(job.capability)
    if slot is None:
        raise Refusal(503, jobs.NO_CAPACITY)
    try:
        return _admitted(node, job), slot
    except Refusal:
        slot.release()
        raise


def _admitted(node: Node, job: jobs.JobRequest) -> Admitted:
    try:
        stream_id = jobs.stream_id(job.request)
    except gojson.GoJSONError as error:
        raise Refusal(400, f"Unable to unmarshal job request details err={error}") from None
    record = node.registry.get(job.capability)
    return Admitted(job, stream_id, record.url if record else "")


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
