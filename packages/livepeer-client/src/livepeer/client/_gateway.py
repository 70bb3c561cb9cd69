"""Jobs through a gateway, which finds an orchestrator, signs and pays.

Source: go-livepeer `byoc/job_gateway.go`, `byoc/stream_gateway.go`.
"""

from __future__ import annotations

from contextlib import aclosing, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from ._answers import refusal
from ._http import MAX_REFUSAL_BYTES
from ._items import DataReader
from ._wire import JOB, ORCHESTRATOR_URL, dump_json, load_json, redact, route_path
from .answer import Answer
from .errors import GatewayError, InvalidAnswer, NoOrchestrator, StreamError
from .jobs import stream_control_job
from .transport import GatewayMediaURLs, StreamHandle

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    import aiohttp

    from ._http import HTTP, Reply
    from ._wire import JSONValue
    from .jobs import BYOCJobRequest, Job

GRACE_S: Final = 10.0
"""Added to a job's timeout: the gateway looks for orchestrators and adds 5 s of its own."""

STOP_TIMEOUT_S: Final = 20.0

_JSON = {"Content-Type": "application/json"}


class GatewayTransport:
    """Carries jobs through one gateway."""

    def __init__(self, http: HTTP, url: str) -> None:
        self._http = http
        self._base = url

    @asynccontextmanager
    async def call(self, job: Job, body: bytes, *, route: str) -> AsyncGenerator[Answer]:
        """Run a batch job."""
        url = f"{self._base}/process/request/{route_path(route)}"
        timeout_s = job.timeout_s + GRACE_S
        async with self._http.open(
            "POST", url, headers={JOB: job.header(), **_JSON}, body=body, timeout_s=timeout_s
        ) as response:
            orchestrator = response.headers.get(ORCHESTRATOR_URL)
            if response.status != 200 or orchestrator is None:
                raise await self._batch_failure(response, redact(url))
            yield Answer(
                self._http,
                response,
                orchestrator_url=orchestrator,
                timeout_s=timeout_s,
                through_gateway=True,
            )

    async def start(
        self, request: BYOCJobRequest, params: Mapping[str, object] | None
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
        reply = await self._http.exchange(
            "POST",
            url,
            headers={JOB: request.stream_job().header(), **_JSON},
            body=dump_json(fields, "params").encode(),
            timeout_s=request.timeout_s + GRACE_S,
        )
        if reply.status != 200:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        return _started(request, self._base, _object(reply, redact(url)))

    async def update(self, stream: StreamHandle, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters; what it answers, None when that is no JSON."""
        job = stream_control_job(stream.capability, stream.stream_id, stream.timeout_s)
        url = self._url(stream, "update")
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
        url = self._url(stream, "stop")
        reply = await self._http.exchange(
            "POST", url, headers=_JSON, body=b"{}", timeout_s=STOP_TIMEOUT_S
        )
        if reply.status != 404 and not 200 <= reply.status < 300:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)

    async def status(self, stream: StreamHandle) -> dict[str, JSONValue] | None:
        """The last status event of the runner, with what the gateway adds.

        None when the gateway has none. That does not mean that the stream ended: once in a
        stream's life, after a minute, the gateway forgets its status until the next event.
        """
        url = self._url(stream, "status")
        reply = await self._http.exchange("GET", url, timeout_s=GRACE_S)
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise refusal(reply.status, reply.body, url=redact(url), node=GatewayError)
        return _object(reply, redact(url))

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
        url = self._url(stream, "data")
        # The gateway sends not even headers before the first item, so there is no deadline.
        async with self._http.open("GET", url, timeout_s=None) as response:
            if response.status != 200:
                data = await self._http.read(response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES)
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

    def _url(self, stream: StreamHandle, action: str) -> str:
        # Built from our own base: the URLs of the answer have the gateway's idea of its host, or
        # none at all.
        return f"{self._base}/process/stream/{stream.stream_id}/{action}"

    async def _batch_failure(self, response: aiohttp.ClientResponse, url: str) -> Exception:
        data = await self._http.read(response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES)
        if response.status != 200:
            return refusal(response.status, data, url=url, node=GatewayError)
        if not data:
            # How a gateway says that every orchestrator failed.
            return NoOrchestrator(
                "each orchestrator that the gateway tried failed", url=url, status=200
            )
        return GatewayError(
            f"the answer has no {ORCHESTRATOR_URL}, so it is not a gateway's", url=url, status=200
        )


def _object(reply: Reply, url: str) -> dict[str, JSONValue]:
    try:
        fields = load_json(reply.body)
    except ValueError as error:
        raise InvalidAnswer("the gateway's answer is not JSON", url=url) from error
    if not isinstance(fields, dict):
        raise InvalidAnswer("the gateway's answer is no JSON object", url=url)
    return fields


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
