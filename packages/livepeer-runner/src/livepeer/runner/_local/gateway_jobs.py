"""Jobs on the gateway: the unsigned header, and batch jobs on one orchestrator after the other.

Source: go-livepeer `byoc/job_gateway.go` (`setupGatewayJob`, `submitJob`).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiohttp import web

from . import calls, gojson, jobs
from .answers import Refusal, error, raw, read_body
from .batch import scanned
from .lines import DONE

if TYPE_CHECKING:
    import aiohttp

    from .offers import Offer, Orchestrators

logger = logging.getLogger("livepeer.runner.local")

PREFIX: Final = "/process/request/"
_EXTRA_STREAM_S = 10  # an event stream may last so much longer than the job's own limit


@dataclass(frozen=True, slots=True)
class ClientJob:
    """A job as a client describes it."""

    request: jobs.JobRequest
    parameters: jobs.JobParameters


def parse(request: web.Request) -> ClientJob:
    """Read the unsigned job header; its `request` and `parameters` must both be JSON.

    Raises:
        Refusal: With status 400 and the reason.
    """
    try:
        job = jobs.parse_job(request.headers.get(jobs.JOB_HEADER, ""))
    except jobs.BadJob as reason:
        raise Refusal(400, f"Unable to parse job request, err={reason}") from None
    try:
        jobs.stream_id(job.request)
    except gojson.GoJSONError as reason:
        raise Refusal(400, f"Unable to unmarshal job request err={reason}") from None
    try:
        parameters = jobs.parse_parameters(job.parameters)
    except gojson.GoJSONError as reason:
        raise Refusal(400, f"Unable to unmarshal job parameters err={reason}") from None
    return ClientJob(job, parameters)


async def find(orchestrators: Orchestrators, job: ClientJob) -> list[Offer]:
    """Orchestrators that offer the job's capability.

    Raises:
        Refusal: There is none (400).
    """
    offers = await orchestrators.search(job.request.capability, job.parameters)
    if not offers:
        raise Refusal(400, f"No orchestrators found for capability {job.request.capability}")
    return offers


class GatewayBatch:
    """The route `/process/request/{rest}`."""

    def __init__(self, orchestrators: Orchestrators) -> None:
        self._orchestrators = orchestrators

    def add_routes(self, app: web.Application) -> None:
        """Mount the route."""
        app.router.add_route("*", PREFIX + "{rest:.*}", self.process)

    async def process(self, request: web.Request) -> web.StreamResponse:
        """Run one job on the first orchestrator that can.

        When all of them failed, the answer is an empty 200 without `X-Orchestrator-Url`, as
        upstream: that header is how a client knows that its job was done.
        """
        if request.method != "POST":
            raise Refusal(405, "Method not allowed")
        job = parse(request)
        offers = await find(self._orchestrators, job)
        body = await read_body(request, self._orchestrators.settings.max_body_bytes)
        kind = request.headers.get("Content-Type", "")
        events: web.StreamResponse | None = None
        for offer in offers:
            path = request.rel_url.raw_path
            try:
                async with self._orchestrators.send(job.request, offer, path, body, kind) as answer:
                    if events is None and not _is_events(answer):
                        done = await self._answer(answer, offer)
                        if done is not None:
                            return done
                        continue
                    events = events or await _begin_events(request, answer, offer)
                    if _is_events(answer):
                        limit = job.request.timeout_seconds + _EXTRA_STREAM_S
                        await _relay_events(answer, events, limit)
                    # There is no return here upstream: the next orchestrator runs the job too, and
                    # its events follow the first end marker.
            except calls.CallError as reason:
                logger.warning("%s did not process the job: %s", offer.url, reason)
            except ConnectionResetError:
                logger.debug("the client of an event stream left")
                break
        return events or web.Response()

    async def _answer(self, answer: aiohttp.ClientResponse, offer: Offer) -> web.Response | None:
        """The client's answer, or None when the next orchestrator is to be tried."""
        settings = self._orchestrators.settings
        data = await calls.read_answer(answer, settings.max_body_bytes, settings.answer_timeout_s)
        if answer.status > 499:
            logger.warning("%s answered %d", offer.url, answer.status)
            return None
        if answer.status > 399:
            return error(answer.status, data.decode("utf-8", "surrogateescape"))
        # The type is not copied but sniffed: JSON becomes plain text.
        return raw(200, data, _headers(answer, offer))


def _is_events(answer: aiohttp.ClientResponse) -> bool:
    return answer.status < 400 and "text/event-stream" in answer.headers.get("Content-Type", "")


def _headers(answer: aiohttp.ClientResponse, offer: Offer) -> dict[str, str]:
    copied = {name: answer.headers.get(name, "") for name in (jobs.BALANCE_HEADER, "X-Metadata")}
    return {**copied, "X-Orchestrator-Url": offer.url}


async def _begin_events(
    request: web.Request, answer: aiohttp.ClientResponse, offer: Offer
) -> web.StreamResponse:
    response = web.StreamResponse(
        headers={
            **_headers(answer, offer),
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache",
            "Connection": "keep-alive",
        }
    )
    await response.prepare(request)
    return response


async def _relay_events(
    answer: aiohttp.ClientResponse, response: web.StreamResponse, timeout_s: float
) -> None:
    """Hand lines on up to the end marker, whose event is left without its blank line."""
    try:
        async with asyncio.timeout(timeout_s), aclosing(scanned(answer)) as lines:
            async for line in lines:
                await response.write(line + b"\n")
                if DONE in line:
                    return
    except TimeoutError:
        logger.warning("an event stream took longer than %g s", timeout_s)
