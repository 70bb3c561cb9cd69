"""The gateway's way to orchestrators: who offers a capability, and jobs signed and sent there.

Source: go-livepeer `byoc/job_gateway.go` (`getJobOrchestrators`, `getToken`, `sendJobToOrch`).
"""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, cast

from . import calls, gojson, jobs
from .money.messages import PAYMENT_HEADER
from .money.wallet import TERMS_FIELDS, CannotPay, Terms, payment, read_terms

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    import aiohttp

    from .keys import Signer
    from .settings import LocalSettings

logger = logging.getLogger("livepeer.runner.local")

_MAX_TOKEN_BYTES = 1024 * 1024
_EXTRA_WAIT_S = 5  # a gateway waits so much longer than the job's own limit


class NoToken(Exception):
    """The orchestrator gave no token."""


@dataclass(frozen=True, slots=True)
class Offer:
    """An orchestrator's token: where to send jobs, how many it would take, and for what."""

    url: str
    available: int
    terms: Terms


@dataclass(slots=True)
class Orchestrators:
    """The orchestrators that the gateway knows, and its key for talking to them."""

    urls: Sequence[str]
    signer: Signer
    settings: LocalSettings
    # Made when the application starts, for it needs the running loop.
    session: aiohttp.ClientSession = field(init=False)

    async def search(self, capability: str, parameters: jobs.JobParameters) -> list[Offer]:
        """Those that offer the capability now, in the order in which they answered."""
        urls = [url for url in self.urls if _wanted(url, parameters)]
        random.shuffle(urls)
        found: list[Offer] = []

        async def ask(url: str) -> None:
            try:
                offer = await self._token(url, capability)
            except NoToken as reason:
                logger.info("%s offers nothing: %s", url, reason)
                return
            if offer.available > 0:
                found.append(offer)

        try:
            async with (
                asyncio.timeout(self.settings.search_timeout_s),
                asyncio.TaskGroup() as group,
            ):
                for url in urls:
                    group.create_task(ask(url))
        except TimeoutError:
            logger.info("not every orchestrator answered in time")
        return found

    async def token(self, url: str, capability: str) -> Offer:
        """Ask one orchestrator, a few times.

        Raises:
            NoToken: It gave none.
        """
        pause = 0.1
        for attempt in range(self.settings.token_attempts):
            if attempt:
                await asyncio.sleep(pause)
                pause *= 2
            try:
                return await self._token(url, capability)
            except NoToken as reason:
                logger.info("%s gave no token: %s", url, reason)
        # Counted from zero upstream, so that three attempts are "2".
        attempts = self.settings.token_attempts - 1
        raise NoToken(f"failed to get token from Orchestrator after {attempts} attempts")

    @asynccontextmanager
    async def send(
        self, job: jobs.JobRequest, offer: Offer, path: str, body: bytes, content_type: str
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Sign the job, pay for it where credit is short, and POST it.

        Raises:
            calls.CallError: No answer, or no means to pay.
        """
        headers = {"Content-Type": content_type, jobs.JOB_HEADER: self._signed(job).header()}
        if offer.terms.is_due:
            headers[PAYMENT_HEADER] = self._payment(offer, job.timeout_seconds)
        timeout_s = job.timeout_seconds + _EXTRA_WAIT_S
        async with calls.send(self.session, offer.url + path, body, headers, timeout_s) as response:
            yield response

    def _payment(self, offer: Offer, seconds: int) -> str:
        try:
            return payment(offer.terms, seconds, self.signer)
        except CannotPay as reason:
            raise calls.CallError(f"Unable to create payment err={reason}") from None

    def _signed(self, job: jobs.JobRequest) -> jobs.JobRequest:
        v1 = self.settings.signature == "v1"
        signature = self.signer.sign(job.v1_message() if v1 else job.legacy_message())
        return replace(job, sender=self.signer.address, sig=signature)

    async def _token(self, url: str, capability: str) -> Offer:
        address = self.signer.address
        credentials = jobs.Credentials(address, self.signer.sign(address.encode()))
        headers = {
            jobs.ADDRESS_HEADER: credentials.header(),
            jobs.CAPABILITY_HEADER: capability,
        }
        timeout_s = self.settings.token_timeout_s
        try:
            async with calls.send(
                self.session, f"{url}/process/token", b"", headers, timeout_s, method="GET"
            ) as answer:
                body = await calls.read_answer(answer, _MAX_TOKEN_BYTES, timeout_s)
                status = answer.status
        except calls.CallError as error:
            raise NoToken(str(error)) from None
        if status != 200:
            raise NoToken(body.decode("utf-8", "replace").strip())
        return _offer(body)


def _offer(body: bytes) -> Offer:
    fields: dict[str, gojson.Kind] = {
        "service_addr": "string",
        "available_capacity": "int64",
        **TERMS_FIELDS,
    }
    try:
        found = gojson.struct(body, "byoc.JobToken", fields)
        terms = read_terms(found)
    except gojson.GoJSONError as error:
        raise NoToken(str(error)) from None
    available = cast("int", found.get("available_capacity", 0))
    return Offer(str(found.get("service_addr", "")), available, terms)


def _wanted(url: str, parameters: jobs.JobParameters) -> bool:
    """URLs are compared as strings, with what the gateway was configured with."""
    if url in parameters.exclude:
        return False
    return not parameters.include or url in parameters.include
