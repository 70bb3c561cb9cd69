"""Jobs through a gateway, which finds an orchestrator, signs and pays.

Source: go-livepeer `byoc/job_gateway.go`, `byoc/stream_gateway.go`.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import TYPE_CHECKING, Final

from livepeer.client._answers.answer import Answer
from livepeer.client._answers.items import DataReader
from livepeer.client._answers.refusals import NO_GATEWAY, refusal
from livepeer.client._net.http import MAX_REFUSAL_BYTES
from livepeer.client._wire.encoding import (
    JOB,
    ORCHESTRATOR_URL,
    dump_json,
    json_object,
    load_json,
    redact,
    route_path,
)
from livepeer.client._wire.jobs import stream_control_job
from livepeer.client.errors import (
    ClientError,
    GatewayError,
    InvalidAnswer,
    InvalidJob,
    NoOrchestrator,
    StreamError,
)

from .transport import ABANDON_TIMEOUT_S, GatewayMediaURLs, StreamHandle, may_have_started

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Mapping

    import aiohttp

    from livepeer.client._body.body import Body
    from livepeer.client._net.http import HTTP
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.jobs import BYOCJobRequest, Job

GRACE_S: Final = 10.0
"""Added to a job's timeout: the gateway looks for orchestrators and adds 5 s of its own."""

STOP_TIMEOUT_S: Final = 20.0

ABANDON_PAUSE_S: Final = 0.25
"""Until it is told again of a stream that it did not know yet."""

_ANSWER: Final = "the gateway's answer"
_JSON = {"Content-Type": "application/json"}


class GatewayTransport:
    """Carries jobs through one gateway."""

    def __init__(self, http: HTTP, url: str) -> None:
        self._http = http
        self._base = url

    def call(
        self, job: Job, body: Body, *, route: str, at_most_once: bool = False
    ) -> AbstractAsyncContextManager[Answer]:
        """Run a batch job."""
        if at_most_once:
            raise InvalidJob(
                "`at_most_once` needs orchestrators: a gateway sends a job that failed to another"
                " one by itself"
            )
        return _Call(self._http, job, body, f"{self._base}/process/request/{route_path(route)}")

    async def start(
        self,
        request: BYOCJobRequest,
        params: Mapping[str, object] | None,
        *,
        exclude: Collection[str] = frozenset(),  # noqa: ARG002 - the gateway chooses
    ) -> StreamHandle:
        """Start a live stream.

        That the gateway takes it does not mean that it runs: the gateway asks an orchestrator
        afterwards, and tells of a failure by `status` only.
        """
        fields = {"stream_id": request.id}
        if params is not None:
            # JSON text inside of JSON: the gateway refuses an object here.
            fields["params"] = dump_json(dict(params), "params")
        url = f"{self._base}/process/stream/start"
        body = dump_json(fields, "params").encode()
        try:
            reply = await self._http.exchange(
                "POST",
                url,
                headers={JOB: request.stream_job().header(), **_JSON},
                body=body,
                timeout_s=request.timeout_s + GRACE_S,
            )
        except BaseException as error:
            if may_have_started(error):
                # Nobody else would end it: the gateway goes on without us.
                await self._abandon(request.id)
            raise
        if reply.status != 200:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        try:
            return _started(request, self._base, json_object(reply.body, _ANSWER, redact(url)))
        except InvalidAnswer:
            await self._abandon(request.id)
            raise

    async def pay(self, stream: StreamHandle) -> float | None:  # noqa: ARG002 - as the interface
        """None: the gateway pays."""
        return None

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters; what it answers, None when that is no JSON."""
        job = stream_control_job(stream.capability, stream.stream_id, stream.timeout_s)
        url = self._url(stream.stream_id, "update")
        reply = await self._http.exchange(
            "POST",
            url,
            headers={JOB: job.header(), **_JSON},
            body=dump_json(dict(params), "params").encode(),
            timeout_s=stream.timeout_s + GRACE_S,
        )
        if not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        with suppress(ValueError):
            return load_json(reply.body)
        return None

    async def stop(self, stream: StreamHandle) -> None:
        """Stop a stream; one that the gateway does not know, or no longer, is stopped."""
        await self._stop(stream.stream_id)

    async def status(self, stream: StreamHandle) -> dict[str, JSONValue] | None:
        """The last status event of the runner, with what the gateway adds.

        None when the gateway has none. That does not mean that the stream ended: once in a
        stream's life, after a minute, the gateway forgets its status until the next event.
        """
        url = self._url(stream.stream_id, "status")
        reply = await self._http.exchange("GET", url, timeout_s=GRACE_S)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        return json_object(reply.body, _ANSWER, redact(url))

    def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """Not through a gateway, which keeps the events to itself.

        Raises:
            StreamError: Always.
        """
        raise StreamError(
            "a gateway gives no events to its callers; ask for the `status` of the stream, or"
            " stream directly to an orchestrator",
            url=redact(stream.node_url),
        )

    async def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, from the latest item on.

        A reader that falls more than five items behind is disconnected by the gateway, which
        looks like the end of the stream.
        """
        url = self._url(stream.stream_id, "data")
        # The gateway sends not even headers before the first item, so there is no deadline.
        async with self._http.open("GET", url, timeout_s=None) as response:
            if response.status != 200:
                data = await self._http.beginning(
                    response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES
                )
                if response.status == 503:
                    raise StreamError(
                        "the stream was started without data_out", url=redact(url), status=503
                    )
                raise refusal(response.status, data, url=redact(url), node=GatewayError)
            reader = DataReader(url=redact(url))
            chunks = self._http.chunks(response, timeout_s=None)
            async with aclosing(chunks):
                async for chunk in chunks:
                    for item in reader.feed(chunk):
                        yield item

    async def _stop(self, stream_id: str) -> bool:
        """Whether the gateway knew it."""
        url = self._url(stream_id, "stop")
        reply = await self._http.exchange(
            "POST", url, headers=_JSON, body=b"{}", timeout_s=STOP_TIMEOUT_S
        )
        if reply.status != 404 and not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        return reply.status != 404

    async def _abandon(self, stream_id: str) -> None:
        """Stop a stream that may only be about to start: it is unknown until then."""
        with suppress(ClientError, TimeoutError):
            async with asyncio.timeout(ABANDON_TIMEOUT_S):
                while not await self._stop(stream_id):  # noqa: ASYNC110 - the gateway's state
                    await asyncio.sleep(ABANDON_PAUSE_S)

    def _url(self, stream_id: str, action: str) -> str:
        # Built from our own base: the URLs of the answer have the gateway's idea of its host, or
        # none at all.
        return f"{self._base}/process/stream/{stream_id}/{action}"


class _Call(AbstractAsyncContextManager[Answer]):
    """A batch job while its answer is open; a class, as a generator would cost far more."""

    __slots__ = ("_body", "_http", "_job", "_response", "_url")

    def __init__(self, http: HTTP, job: Job, body: Body, url: str) -> None:
        self._http = http
        self._job = job
        self._body = body
        self._url = url
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Answer:
        timeout_s = self._job.timeout_s + GRACE_S
        headers = {JOB: self._job.header(), **self._body.headers()}
        began = time.monotonic()
        response = await self._http.send(
            "POST", self._url, headers=headers, body=self._body, timeout_s=timeout_s
        )
        orchestrator = response.headers.get(ORCHESTRATOR_URL)
        if response.status != 200 or orchestrator is None:
            try:
                raise await self._failure(response, time.monotonic() - began)
            finally:
                response.close()
        self._response = response
        return Answer(
            self._http,
            response,
            orchestrator_url=orchestrator,
            timeout_s=timeout_s,
            through_gateway=True,
        )

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()

    async def _failure(self, response: aiohttp.ClientResponse, after_s: float) -> Exception:
        url = redact(self._url)
        data = await self._http.beginning(response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES)
        if response.status != 200:
            return refusal(response.status, data, url=url, node=GatewayError)
        if not data:
            return NoOrchestrator(_all_failed(self._job, after_s), url=url, status=200)
        return GatewayError(
            f"the answer has no {ORCHESTRATOR_URL}, so it is not a gateway's; {NO_GATEWAY}",
            url=url,
            status=200,
        )


def _all_failed(job: Job, after_s: float) -> str:
    """What can be said of an empty success, by which a gateway says that all failed.

    It tells no reasons. A refusal with 4xx would have been passed on, and nobody with a free slot
    is another answer, so that what is left are failures and time.
    """
    if after_s >= job.timeout_s:
        likely = f"its runners took longer than `timeout_s`, {job.timeout_s}"
    else:
        likely = "its runners are busy (503) or fail (5xx), or its orchestrators are out of reach"
    return (
        f"each orchestrator of {job.capability!r} that the gateway tried failed, the last after"
        f" {after_s:.1f} s; the gateway does not say why, but most likely {likely}. Its log has"
        " the reasons, as has a call straight to orchestrators"
    )


def _started(request: BYOCJobRequest, base: str, fields: dict[str, JSONValue]) -> StreamHandle:
    def text(key: str) -> str:
        value = fields.get(key)
        return value if isinstance(value, str) else ""

    return StreamHandle(
        stream_id=text("stream_id") or request.id,
        capability=request.capability,
        node_url=base,
        timeout_s=request.timeout_s,
        media=GatewayMediaURLs(
            whip=text("whip_url"),
            whep=text("whep_url"),
            rtmp=text("rtmp_url"),
            rtmp_outputs=tuple(url for url in text("rtmp_output_url").split(",") if url),
        ),
    )
