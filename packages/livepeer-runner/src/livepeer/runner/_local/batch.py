"""Batch jobs on the orchestrator: one request to the runner, its answer or its event stream back.

Source: go-livepeer `byoc/job_orchestrator.go` (`processJob`).
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import aiohttp
from aiohttp import web

from livepeer.trickle.aio import cancel_and_wait

from . import calls, jobs
from .admission import Admitted, Node, admit_and_reserve, whole
from .answers import Refusal, error, read_body
from .lines import DONE, LineScanner, balance_event
from .money.tickets import decimal_text

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from .money.till import Bill

logger = logging.getLogger("livepeer.runner.local")

PREFIX: Final = "/process/request/"
_STARVED: Final = b'event: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n\n'
_NOT_PROCESSED = "job not able to be processed, removing capability err="


class Batch:
    """The route `/process/request/{rest}`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def add_routes(self, app: web.Application) -> None:
        """Mount the route."""
        app.router.add_route("*", PREFIX + "{rest:.*}", self.process)

    async def process(self, request: web.Request) -> web.StreamResponse:
        """Run one job."""
        if request.method != "POST":
            raise Refusal(405, "Method not allowed")
        job, slot = admit_and_reserve(self._node, request)
        with slot:
            body = await read_body(request, self._node.settings.max_body_bytes)
            # The path without its escapes: what the caller wrote as %3F becomes the runner's query,
            # while the caller's own query is dropped.
            rest = request.path.removeprefix(PREFIX)
            url = f"{job.url}/{rest}" if rest else job.url
            return await self._run(request, job, url, body)

    async def _run(
        self, request: web.Request, job: Admitted, url: str, body: bytes
    ) -> web.StreamResponse:
        name = job.request.capability
        headers = {
            # Sent even when the caller named none, and then empty.
            "Content-Type": request.headers.get("Content-Type", ""),
            **calls.bearer(self._node.token(name)),
        }
        timeout_s = job.request.timeout_seconds
        began = time.monotonic()
        try:
            async with calls.send(self._node.session, url, body, headers, timeout_s) as answer:
                return await self._relay(request, answer, job, began)
        except calls.BadURL as reason:
            raise Refusal(500, str(reason)) from None
        except calls.Expired as reason:
            raise Refusal(500, f"{_NOT_PROCESSED}{reason}", job.charge_since(began)) from None
        except calls.Unreachable as reason:
            self._remove(name, str(reason))
            raise Refusal(500, f"{_NOT_PROCESSED}{reason}", job.charge_since(began)) from None

    async def _relay(
        self, request: web.Request, answer: aiohttp.ClientResponse, job: Admitted, began: float
    ) -> web.StreamResponse:
        if answer.status == 401:
            self._remove(job.request.capability, "its runner answered 401")
            raise Refusal(500, f"{_NOT_PROCESSED}worker auth token failed", job.charge_since(began))
        kind = answer.headers.get("Content-Type", "")
        headers = {"Content-Type": kind, "X-Metadata": answer.headers.get("X-Metadata", "")}
        if "text/event-stream" in kind:
            return await self._relay_events(request, answer, headers, job)
        settings = self._node.settings
        try:
            data = await calls.read_answer(
                answer, settings.max_body_bytes, settings.answer_timeout_s
            )
        except calls.CallError as reason:
            return error(500, str(reason), headers | job.charge_since(began))
        headers |= job.charge_since(began)
        if answer.status > 399:
            return error(answer.status, data.decode("utf-8", "surrogateescape"), headers)
        # Any other success becomes 200, and no other header survives.
        return web.Response(body=data, headers=headers)

    async def _relay_events(
        self,
        request: web.Request,
        answer: aiohttp.ClientResponse,
        headers: Mapping[str, str],
        job: Admitted,
    ) -> web.StreamResponse:
        response = web.StreamResponse(
            headers={
                **headers,
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Connection": "keep-alive",
                jobs.SSE_BALANCE_HEADER: whole(job.bill.balance),
            }
        )
        try:
            async with asyncio.timeout(job.request.timeout_seconds):
                await response.prepare(request)
                if job.bill.price:
                    await self._relay_debited(answer, response, job.bill)
                else:
                    await self._relay_lines(answer, response, job.bill)
        except TimeoutError:
            await response.write_eof()
        except ConnectionResetError:
            logger.debug("the caller of an event stream left")
        return response

    async def _relay_lines(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, bill: Bill
    ) -> None:
        """Relay, and then fill: it ends with the caller or the time.

        Upstream the response does not end with the runner's: it is filled with bare newlines, as
        fast as they go, until the time is up or the caller leaves. The same here, now and then, so
        that a caller that does not leave at the end marker hangs here as it does there, without
        megabytes of nothing.
        """
        async with aclosing(scanned(answer)) as lines:
            async for line in lines:
                left = balance_event(decimal_text(bill.balance, 3)) if DONE in line else b""
                await response.write(left + line + b"\n")
        while True:
            await response.write(b"\n")
            await asyncio.sleep(self._node.settings.sse_filler_interval_s)

    async def _relay_debited(
        self, answer: aiohttp.ClientResponse, response: web.StreamResponse, bill: Bill
    ) -> None:
        """Relay for as long as the sender has credit; then say so and end."""
        settings = self._node.settings
        relaying = asyncio.create_task(self._relay_lines(answer, response, bill))
        try:
            while True:
                ended, _ = await asyncio.wait((relaying,), timeout=settings.events_debit_interval_s)
                if ended:
                    await relaying  # which raises: it does not end by itself
                bill.charge(settings.events_debit_s)
                if bill.balance < 0:
                    break
        finally:
            await cancel_and_wait(relaying)
        await response.write(_STARVED)
        await response.write_eof()

    def _remove(self, name: str, why: str) -> None:
        logger.warning("removing capability %r: %s", name, why)
        self._node.registry.remove(name)


async def scanned(answer: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
    """The lines of an event stream, up to its end, its break or a line that is too long."""
    scanner = LineScanner()
    try:
        async for chunk in answer.content.iter_any():
            for line in scanner.feed(chunk):
                yield line
            if scanner.too_long:
                logger.warning("an event stream ended at a line of more than 65535 bytes")
                return
    except (aiohttp.ClientError, ConnectionError) as reason:
        logger.warning("an event stream broke: %s", reason)
    for line in scanner.end():
        yield line
