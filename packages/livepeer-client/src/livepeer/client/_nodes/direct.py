"""Jobs straight to orchestrators: we are our own gateway.

Source: go-livepeer `byoc/job_orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

import asyncio
import logging
import math
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final, cast

from livepeer.client._pay.payments import ADMITTED_S, CHARGED_S, PAY_EVERY_S
from livepeer.client._wire.encoding import (
    CONTROL_URL,
    DATA_URL,
    EVENTS_URL,
    PUBLISH_URL,
    SUBSCRIBE_URL,
    dump_json,
    load_json,
    on_host,
    redact,
    route_path,
)
from livepeer.client._wire.jobs import stream_control_job
from livepeer.client.errors import (
    ClientError,
    NodeUnreachable,
    OrchestratorError,
    PaymentRequiredError,
    PriceTooHigh,
    SpendLimit,
    StreamError,
)

from .direct_call import DirectCall
from .failover import Failover
from .node import GRACE_S, PAYMENT_PATH
from .purse import Purse
from .terms import TERMS_TTL_S
from .transport import ABANDON_TIMEOUT_S, ChannelURLs, StreamHandle, may_have_started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping
    from contextlib import AbstractAsyncContextManager

    from livepeer.client._answers.answer import Answer
    from livepeer.client._body.body import Body
    from livepeer.client._find.finder import Finder
    from livepeer.client._net.http import HTTP, Reply
    from livepeer.client._pay.payments import PaymentProvider
    from livepeer.client._sign.signing import Signer
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.jobs import BYOCJobRequest, Job
    from livepeer.client._wire.tokens import JobToken

    from .node import Node

_log = logging.getLogger(__name__)

STOP_TIMEOUT_S: Final = 10
"""Seconds that a runner has to stop; go-livepeer's gateway grants the same."""

MAX_UNSTOPPED: Final = 64
"""Of so many streams whose stop has failed the purse is kept, for another stop."""

PAYMENT_JOB_S: Final = 70
PAYMENT_TIMEOUT_S: Final = 10.0
"""Of the job that carries a payment, and for its answer; as at go-livepeer's gateway."""


class OrchestratorTransport:
    """Carries jobs straight to orchestrators, one after the other, until one takes the job.

    Args:
        http: The connections.
        finder: Who there is, and in what order.
        signer: Who answers for the jobs.
        payments: What pays for those that have a price.
        pay_every_s: Seconds between the payments of a stream.
        terms_ttl_s: For how many seconds the terms of a free capability are used again.
    """

    def __init__(
        self,
        http: HTTP,
        finder: Finder,
        *,
        signer: Signer,
        payments: PaymentProvider,
        pay_every_s: float = PAY_EVERY_S,
        terms_ttl_s: float = TERMS_TTL_S,
    ) -> None:
        self._http = http
        self._failover = Failover(http, finder, signer=signer, terms_ttl_s=terms_ttl_s)
        self._payments = payments
        self._pay_every_s = pay_every_s
        self._purses: dict[tuple[str, str], Purse] = {}
        # Of these a stop has failed, the longest ago first.
        self._unstopped: dict[tuple[str, str], None] = {}

    def call(
        self, job: Job, body: Body, *, route: str, at_most_once: bool = False
    ) -> AbstractAsyncContextManager[Answer]:
        """Run a batch job at the first orchestrator that takes it."""
        path = f"/process/request/{route_path(route)}"
        return DirectCall(
            self._http, self._failover, self._payments, job, body, path, at_most_once=at_most_once
        )

    async def start(
        self,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None,
        *,
        exclude: Collection[str] = frozenset(),
    ) -> StreamHandle:
        """Start a live stream at the first orchestrator that takes it."""
        job = request.stream_job()
        body = dump_json({"params": None if params is None else dict(params)}, "params").encode()

        async def attempt(node: Node, token: JobToken) -> StreamHandle:
            stream = StreamHandle(
                stream_id=request.id,
                capability=request.capability,
                node_url=node.url,
                timeout_s=request.timeout_s,
            )
            signed = await node.sign(job)
            seconds = ADMITTED_S + math.ceil(self._pay_every_s)
            purse = Purse(self._payments, job, node.url, node.terms, token, seconds=seconds)
            await purse.fill()
            self._purses[_key(stream)] = purse
            started = False
            try:
                reply = await node.post("/ai/stream/start", signed, body, purse, whole=False)
                started = True
                after_s = self._pay_every_s if purse.paid else 0.0
                return replace(_with_channels(stream, reply), pay_after_s=after_s)
            except BaseException as error:
                if started or may_have_started(error):
                    # Nobody else would end it.
                    await self._abandon(stream)
                self._purses.pop(_key(stream), None)
                raise

        return await self._failover.first(
            request.capability, attempt, attempt_s=request.timeout_s + GRACE_S, exclude=exclude
        )

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters; what it answers, None when that is no JSON.

        It carries no payment; where one is wanted it goes before.
        """
        node = self._failover.node(stream.node_url)
        job = stream_control_job(stream.capability, stream.stream_id, stream.timeout_s)
        body = dump_json(dict(params), "params").encode()
        signed = await node.sign(job)
        try:
            reply = await node.post("/ai/stream/update", signed, body)
        except PaymentRequiredError:
            await self.pay(stream)
            reply = await node.post("/ai/stream/update", signed, body)
        with suppress(ValueError):
            return load_json(reply.body)
        return None

    async def pay(self, stream: StreamHandle) -> float | None:
        """Pay what a running stream owes now; seconds until the next is due, None for never."""
        purse = self._purses.get(_key(stream))
        if purse is None:
            return None
        # A price may come later.
        if purse.priced or await purse.look():
            try:
                await self._pay(stream, purse)
            except PaymentRequiredError as error:
                # Go-livepeer charges a running stream the price that it began with.
                if not purse.began_free and not self._goes_on(error, purse):
                    raise
                _log.warning("stream %s goes on unpaid: %s", stream.stream_id, error)
        return self._pay_every_s

    def _goes_on(self, error: PaymentRequiredError, purse: Purse) -> bool:
        """Whether a stream that may not be paid has credit until it is asked again.

        And for the stop after that, which an orchestrator admits to the same credit only.
        """
        charges = math.ceil(self._pay_every_s / CHARGED_S)
        return isinstance(error, SpendLimit | PriceTooHigh) and purse.lasts(
            ADMITTED_S + charges * CHARGED_S
        )

    async def _pay(self, stream: StreamHandle, purse: Purse) -> None:
        node = self._failover.node(stream.node_url)
        job = stream_control_job(stream.capability, stream.stream_id, PAYMENT_JOB_S)
        send = partial(node.post, PAYMENT_PATH, await node.sign(job), b"", purse)
        async with purse.lock:
            if await purse.fill(anew=True):
                try:
                    await send(timeout_s=PAYMENT_TIMEOUT_S, cut_refuses=False)
                except NodeUnreachable as error:
                    # Given again as it was, unless the balance shows that it arrived.
                    if not error.connected:
                        raise
                    if await purse.fill(anew=True):
                        await send(timeout_s=PAYMENT_TIMEOUT_S)

    async def stop(self, stream: StreamHandle) -> None:
        """Stop a stream. The orchestrator takes it for stopped whatever the runner answers."""
        key = _key(stream)
        try:
            await self._stop(stream, self._purses.get(key))
        except BaseException:
            # It can be stopped again, and what pays for that is kept.
            self._keep(key)
            raise
        self._purses.pop(key, None)
        self._unstopped.pop(key, None)

    async def _stop(self, stream: StreamHandle, purse: Purse | None) -> None:
        node = self._failover.node(stream.node_url)
        job = stream_control_job(stream.capability, stream.stream_id, STOP_TIMEOUT_S)
        if purse is None or not purse.priced:
            await node.post("/ai/stream/stop", await node.sign(job), b"{}", purse)
            return
        async with purse.lock:
            unpaid: ClientError | None = None
            try:
                await purse.fill(anew=True, unless_s=ADMITTED_S)
            except ClientError as error:
                # It is tried all the same: the credit may suffice.
                unpaid = error
            try:
                await node.post("/ai/stream/stop", await node.sign(job), b"{}", purse)
            except PaymentRequiredError as error:
                if unpaid is None:
                    raise
                raise unpaid from error

    async def status(self, stream: StreamHandle) -> dict[str, JSONValue] | None:
        """Not at an orchestrator, which does not read the events.

        Raises:
            StreamError: Always.
        """
        raise StreamError(
            "an orchestrator keeps no status; read the stream's `events`",
            url=redact(stream.node_url),
        )

    async def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner reports, from the first event on."""
        from livepeer.trickle import JSONSubscriber  # lazy: aiohttp

        url = stream.channels.events
        if url is None:
            where = redact(stream.node_url)
            raise StreamError("the orchestrator gave no events channel", url=where)
        async with JSONSubscriber(url, start=0, session=self._http.trickle_session(url)) as events:
            async for event in events:
                yield cast("dict[str, JSONValue]", event)

    async def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, from the first item on."""
        from livepeer.trickle import JSONLSubscriber  # lazy: aiohttp

        url = stream.channels.data
        if url is None:
            where = redact(stream.node_url)
            raise StreamError("the stream was started without data_out", url=where)
        async with JSONLSubscriber(url, start=0, session=self._http.trickle_session(url)) as data:
            async for item in data:
                yield cast("dict[str, JSONValue]", item)

    def _keep(self, key: tuple[str, str]) -> None:
        self._unstopped[key] = None
        if len(self._unstopped) > MAX_UNSTOPPED:
            oldest = next(iter(self._unstopped))
            del self._unstopped[oldest]
            self._purses.pop(oldest, None)

    async def _abandon(self, stream: StreamHandle) -> None:
        with suppress(ClientError, TimeoutError):
            async with asyncio.timeout(ABANDON_TIMEOUT_S):
                await self.stop(stream)


def _key(stream: StreamHandle) -> tuple[str, str]:
    return stream.node_url, stream.stream_id


def _with_channels(stream: StreamHandle, reply: Reply) -> StreamHandle:
    def channel(header: str) -> str | None:
        url = reply.headers.get(header)
        return on_host(url, stream.node_url) if url else None

    channels = ChannelURLs(
        control=channel(CONTROL_URL),
        events=channel(EVENTS_URL),
        publish=channel(PUBLISH_URL),
        subscribe=channel(SUBSCRIBE_URL),
        data=channel(DATA_URL),
    )
    if channels.control is None:
        raise OrchestratorError(
            "the orchestrator started the stream without a control channel",
            url=redact(stream.node_url),
        )
    return replace(stream, channels=channels)
