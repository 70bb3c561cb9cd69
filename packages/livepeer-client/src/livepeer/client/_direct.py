"""Jobs straight to an orchestrator: we are our own gateway.

Source: go-livepeer `byoc/job_orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar, cast

from ._answers import refusal
from ._http import MAX_REFUSAL_BYTES
from ._wire import (
    CAPABILITY,
    CONTROL_URL,
    DATA_URL,
    ETH_ADDRESS,
    EVENTS_URL,
    JOB,
    PAYMENT,
    PUBLISH_URL,
    SUBSCRIBE_URL,
    dump_json,
    load_json,
    on_host,
    redact,
    route_path,
)
from .answer import Answer
from .errors import (
    CapabilityUnavailable,
    ClientError,
    ConfigError,
    NodeUnreachable,
    NoOrchestrator,
    OrchestratorError,
    PaymentRequired,
    StreamError,
)
from .jobs import stream_control_job
from .tokens import JobToken, parse_token
from .transport import ChannelURLs, StreamHandle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    import aiohttp

    from ._http import HTTP, Reply
    from ._wire import JSONValue
    from .jobs import BYOCJobRequest, Job
    from .payments import PaymentProvider
    from .signing import Signer

_T = TypeVar("_T")

GRACE_S: Final = 5.0
"""Added to a job's timeout, as go-livepeer's gateway does: the answer that tells of a timeout
needs time to arrive, too."""

TOKEN_TIMEOUT_S: Final = 10.0
ABANDON_TIMEOUT_S: Final = 3.0
"""For the stop of a stream whose start was given up; a cancelled caller waits for it."""

STOP_TIMEOUT_S: Final = 10
"""Seconds that a runner has to stop; go-livepeer's gateway grants the same."""

_JSON = {"Content-Type": "application/json"}


class OrchestratorTransport:
    """Carries jobs straight to orchestrators, in the order given, until one takes the job.

    The URL that was given is the base of every request, and of the channels as well: the
    orchestrator's own idea of its address may not be reachable from here.
    """

    def __init__(
        self, http: HTTP, urls: Sequence[str], *, signer: Signer, payments: PaymentProvider
    ) -> None:
        self._http = http
        self._urls = tuple(urls)
        self._signer = signer
        self._payments = payments
        if not self._urls:
            raise ConfigError("`orchestrators` must name at least one URL")

    @asynccontextmanager
    async def call(self, job: Job, body: bytes, *, route: str) -> AsyncGenerator[Answer]:
        """Run a batch job at the first orchestrator that takes it."""
        path = route_path(route)

        async with AsyncExitStack() as stack:

            async def attempt(node: str) -> Answer:
                url = f"{node}/process/request/{path}"

                async def send(payment: str | None) -> aiohttp.ClientResponse:
                    return await self._open(stack, url, job, body, payment)

                response = await self._paid(node, job, send)
                return Answer(
                    self._http,
                    response,
                    orchestrator_url=node,
                    timeout_s=job.timeout_s + GRACE_S,
                    through_gateway=False,
                )

            yield await self._first(job.capability, attempt)

    async def start(
        self, request: BYOCJobRequest, params: Mapping[str, object] | None
    ) -> StreamHandle:
        """Start a live stream at the first orchestrator that takes it."""
        job = request.stream_job()
        text = dump_json({"params": None if params is None else dict(params)}, "params")

        async def attempt(node: str) -> StreamHandle:
            stream = StreamHandle(
                stream_id=request.id,
                capability=request.capability,
                node_url=node,
                timeout_s=request.timeout_s,
            )

            async def send(payment: str | None) -> Reply:
                url = f"{node}/ai/stream/start"
                try:
                    return await self._post(url, job, text.encode(), payment=payment)
                except (asyncio.CancelledError, TimeoutError):
                    # It may start all the same, and nobody else would end it.
                    await self._abandon(stream)
                    raise

            return _with_channels(stream, await self._paid(node, job, send))

        return await self._first(request.capability, attempt)

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters; what it answers, None when that is no JSON."""
        job = stream_control_job(stream.capability, stream.stream_id, stream.timeout_s)
        body = dump_json(dict(params), "params").encode()
        reply = await self._control(f"{stream.node_url}/ai/stream/update", stream, job, body)
        with suppress(ValueError):
            return load_json(reply.body)
        return None

    async def stop(self, stream: StreamHandle) -> None:
        """Stop a stream. The orchestrator takes it for stopped whatever the runner answers."""
        job = stream_control_job(stream.capability, stream.stream_id, STOP_TIMEOUT_S)
        await self._control(f"{stream.node_url}/ai/stream/stop", stream, job, b"{}")

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
            raise StreamError("the orchestrator gave no events channel", url=stream.node_url)
        async with JSONSubscriber(url, start=0, session=self._http.trickle) as events:
            async for event in events:
                yield cast("dict[str, JSONValue]", event)

    async def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, from the first item on."""
        from livepeer.trickle import JSONLSubscriber  # lazy: aiohttp

        url = stream.channels.data
        if url is None:
            raise StreamError("the stream was started without data_out", url=stream.node_url)
        async with JSONLSubscriber(url, start=0, session=self._http.trickle) as data:
            async for item in data:
                yield cast("dict[str, JSONValue]", item)

    async def _first(self, capability: str, attempt: Callable[[str], Awaitable[_T]]) -> _T:
        """What the first orchestrator gives that does not fail in a way another may not."""
        causes: list[ClientError] = []
        for node in self._urls:
            try:
                return await attempt(node)
            except (
                CapabilityUnavailable,
                NodeUnreachable,
                PaymentRequired,
                OrchestratorError,
            ) as error:
                causes.append(error)
            except ClientError as error:
                if error.status not in (500, 503) or not error.retryable:
                    raise
                causes.append(error)
        if len(causes) == 1:
            raise causes[0]
        if all(isinstance(cause, CapabilityUnavailable) for cause in causes):
            raise CapabilityUnavailable(
                f"none of {len(causes)} orchestrators offers {capability!r} at the moment"
            ) from causes[-1]
        reasons = "; ".join(str(cause) for cause in causes)
        raise NoOrchestrator(
            f"each of {len(causes)} orchestrators failed: {reasons}", causes=causes
        ) from causes[-1]

    async def _paid(self, node: str, job: Job, send: Callable[[str | None], Awaitable[_T]]) -> _T:
        """Send with what is owed, and once more with a fresh payment when that is not enough."""
        token = await self._token(node, job.capability)
        if token.available_capacity <= 0:
            raise CapabilityUnavailable(
                f"capability {job.capability!r} is not offered, or every slot is taken",
                url=redact(node),
            )
        payment = await self._payments.payment(token, job)
        try:
            return await send(payment)
        except PaymentRequired:
            token = await self._token(node, job.capability)
            payment = await self._payments.payment(token, job)
            if payment is None:
                raise
            return await send(payment)

    async def _token(self, node: str, capability: str) -> JobToken:
        credentials = await self._signer.token_credentials()
        url = f"{node}/process/token"
        headers = {ETH_ADDRESS: credentials.header(), CAPABILITY: capability}
        reply = await self._http.exchange("GET", url, headers=headers, timeout_s=TOKEN_TIMEOUT_S)
        if reply.status != 200:
            raise refusal(reply.status, reply.body, url=redact(url), node=OrchestratorError)
        return parse_token(reply.body, redact(node))

    async def _control(self, url: str, stream: StreamHandle, job: Job, body: bytes) -> Reply:
        """Update or stop. Free, but a priced capability wants credit for it all the same."""
        try:
            return await self._post(url, job, body)
        except PaymentRequired:
            token = await self._token(stream.node_url, stream.capability)
            payment = await self._payments.payment(token, job)
            if payment is None:
                raise
            return await self._post(url, job, body, payment=payment)

    async def _abandon(self, stream: StreamHandle) -> None:
        with suppress(ClientError, TimeoutError):
            async with asyncio.timeout(ABANDON_TIMEOUT_S):
                await self.stop(stream)

    async def _headers(self, job: Job, payment: str | None) -> dict[str, str]:
        signed = await self._signer.sign_job(job)
        headers = {JOB: signed.header(), **_JSON}
        return headers if payment is None else headers | {PAYMENT: payment}

    async def _open(
        self, stack: AsyncExitStack, url: str, job: Job, body: bytes, payment: str | None
    ) -> aiohttp.ClientResponse:
        timeout_s = job.timeout_s + GRACE_S
        opened = self._http.open(
            "POST",
            url,
            headers=await self._headers(job, payment),
            body=body,
            timeout_s=timeout_s,
        )
        response = await stack.enter_async_context(opened)
        if response.status == 200:
            return response
        data = await self._http.read(response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES)
        raise refusal(response.status, data, url=redact(url), node=OrchestratorError)

    async def _post(self, url: str, job: Job, body: bytes, *, payment: str | None = None) -> Reply:
        reply = await self._http.exchange(
            "POST",
            url,
            headers=await self._headers(job, payment),
            body=body,
            timeout_s=job.timeout_s + GRACE_S,
        )
        # The status decides, although a failed start may carry channel URLs as well.
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, url=redact(url), node=OrchestratorError)
        return reply


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
    return StreamHandle(
        stream_id=stream.stream_id,
        capability=stream.capability,
        node_url=stream.node_url,
        timeout_s=stream.timeout_s,
        channels=channels,
    )
