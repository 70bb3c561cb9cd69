"""One stream on the gateway, on one orchestrator after the other, for as long as one is left.

Source: go-livepeer `byoc/stream_gateway.go` (`runStream`, `monitorStream`).
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from livepeer.trickle.aio import cancel_and_wait

from . import calls
from .offers import NoToken
from .session import Channels, Session
from .stream_state import StreamState

if TYPE_CHECKING:
    from .jobs import JobRequest
    from .offers import Offer

logger = logging.getLogger("livepeer.runner.local")

_SWAPS_ALLOWED = 2
_SWAP_WINDOW_S = 60.0


class GatewayStream(StreamState):
    """A stream that a client started and that runs by itself."""

    async def run(self) -> None:
        """Serve the stream until it is ended or no orchestrator is left."""
        paying = asyncio.create_task(self._keep_paid(), name=f"payments of stream {self.id}")
        try:
            await self._run()
        finally:
            await cancel_and_wait(paying)
            self.ended.set()
            if self.data is not None:
                self.data.close()
        if self.current:
            await self.stop(b"stream ended")

    async def stop(self, body: bytes) -> bytes:
        """Stop at the orchestrator; the runner's answer, or b"" when it was not reached."""
        settings = self.orchestrators.settings
        job = self._about("", settings.stop_timeout_s)
        try:
            offer = await self.orchestrators.token(self.current, job.capability)
            async with self.orchestrators.send(
                job, offer, "/ai/stream/stop", body, "application/json"
            ) as answer:
                data = await calls.read_answer(
                    answer, settings.max_body_bytes, settings.answer_timeout_s
                )
        except (NoToken, calls.CallError) as reason:
            logger.warning("stream %s: the stop did not arrive: %s", self.id, reason)
            return b""
        return data if answer.status == 200 else b""

    async def _keep_paid(self) -> None:
        """Pay whoever runs the stream, time and again; what fails is tried again next time."""
        if not any(offer.terms.price[0] for offer in self.offers):
            return
        while True:
            await asyncio.sleep(self.orchestrators.settings.stream_payment_interval_s)
            try:
                await self._pay()
            except (NoToken, calls.CallError) as reason:
                logger.warning("stream %s was not paid for: %s", self.id, reason)

    async def _pay(self) -> None:
        """Pay with a new token, unless there is credit enough."""
        if not self.current:
            return
        job = self._about("{}", self.orchestrators.settings.stream_payment_s)
        offer = await self.orchestrators.token(self.current, job.capability)
        if not offer.terms.is_due:
            return
        path = "/ai/stream/payment"
        async with self.orchestrators.send(job, offer, path, b"", "application/json") as answer:
            if answer.status != 200:
                logger.warning("stream %s: a payment got %d", self.id, answer.status)

    def _about(self, parameters: str, timeout_s: int) -> JobRequest:
        """A job that concerns this stream as it runs."""
        request = json.dumps({"stream_id": self.id}, separators=(",", ":"))
        return replace(
            self.job.request,
            id="",
            request=request,
            parameters=parameters,
            timeout_seconds=timeout_s,
        )

    async def _run(self) -> None:
        swaps, swapped_at = -1, time.monotonic()
        for offer in self.offers:
            # The status of the answer is not looked at: what counts is whether there are channels.
            channels = await self._start(offer, refresh=swaps >= 0)
            if channels is None:
                continue
            if not channels.control or not channels.events:
                logger.warning("stream %s: %s gave no channels", self.id, offer.url)
                self.current = ""
                return
            reason = await Session(self, channels).run()
            if self.ended.is_set():
                return
            logger.warning("stream %s leaves %s: %s", self.id, offer.url, reason)
            await self.stop(reason.encode())
            self.current = ""
            if swaps > _SWAPS_ALLOWED and time.monotonic() - swapped_at < _SWAP_WINDOW_S:
                return
            swaps, swapped_at = swaps + 1, time.monotonic() if swaps >= 0 else swapped_at

    async def _start(self, offer: Offer, *, refresh: bool) -> Channels | None:
        job = replace(self.job.request, id=self.id)
        if refresh:
            try:
                offer = await self.orchestrators.token(offer.url, job.capability)
            except NoToken as reason:
                logger.info("stream %s goes on with an old token: %s", self.id, reason)
        self.current = offer.url
        settings = self.orchestrators.settings
        try:
            async with self.orchestrators.send(
                job, offer, "/ai/stream/start", self.start_body, "application/json"
            ) as answer:
                await calls.read_answer(answer, settings.max_body_bytes, settings.answer_timeout_s)
        except calls.CallError as reason:
            logger.warning("stream %s did not start at %s: %s", self.id, offer.url, reason)
            return None
        self.statuses.put_key(self.id, "orchestrator", offer.url)
        given = [answer.headers.get(f"X-{name}-Url", "") for name in ("Control", "Events", "Data")]
        return Channels(*(urljoin(offer.url, url) if url else "" for url in given))
