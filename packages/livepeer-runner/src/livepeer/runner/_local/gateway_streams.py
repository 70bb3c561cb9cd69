"""The client's face of streams on the gateway (go-livepeer `byoc/stream_gateway.go`)."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import aclosing
from typing import TYPE_CHECKING

from aiohttp import web

from . import calls, gateway_jobs, gojson
from .answers import Refusal, raw, read_body
from .gateway_stream import GatewayStream
from .offers import NoToken
from .status import DataRing, FellBehind, Statuses

if TYPE_CHECKING:
    from .gateway_jobs import ClientJob
    from .offers import Orchestrators

logger = logging.getLogger("livepeer.runner.local")

_START_FIELDS: dict[str, gojson.Kind] = {
    "stream_name": "string",
    "rtmp_output": "string",
    "stream_id": "string",
    "params": "string",
}
# The backslashes are upstream's: no event stream parser understands this ending.
_DATA_END = rb"event: end\ndata: {" + rb'"type":"stream_ended"}\n\n'


class GatewayStreams:
    """The routes under `/process/stream/`."""

    def __init__(self, orchestrators: Orchestrators) -> None:
        self._orchestrators = orchestrators
        self._settings = orchestrators.settings
        self._statuses = Statuses(self._settings.max_streams)
        self._streams: dict[str, GatewayStream] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def add_routes(self, app: web.Application) -> None:
        """Mount the routes."""
        base = "/process/stream"
        app.router.add_route("OPTIONS", base + "/{rest:.*}", self.preflight)
        app.router.add_post(base + "/start", self.start)
        app.router.add_post(base + "/{id}/update", self.update)
        app.router.add_post(base + "/{id}/stop", self.stop)
        app.router.add_get(base + "/{id}/status", self.status)
        app.router.add_get(base + "/{id}/data", self.data)

    async def preflight(self, _: web.Request) -> web.Response:
        """Answer a browser's question before its request."""
        methods = {"Access-Control-Allow-Methods": "OPTIONS, POST, GET"}
        return web.Response(status=204, headers=self._cors() | (methods if self._cors() else {}))

    async def start(self, request: web.Request) -> web.Response:
        """Begin a stream. 200 does not say that it runs: runner and orchestrator come later."""
        job = gateway_jobs.parse(request)
        offers = await gateway_jobs.find(self._orchestrators, job)
        body = await read_body(request, self._settings.max_client_body_bytes)
        stream_id, params = _start_request(body)
        if stream_id in self._streams:
            raise Refusal(400, f"stream already exists: {stream_id}")
        if len(self._streams) >= self._settings.max_streams:
            raise Refusal(
                503, f"this gateway holds its limit of {self._settings.max_streams} streams"
            )
        start_body = gojson.dumps({"params": params})
        stream = GatewayStream(
            stream_id, job, start_body, offers, self._orchestrators, self._statuses
        )
        urls = self._urls(stream, job)
        self._statuses.clear(stream_id)
        self._statuses.put_key(stream_id, "whep_url", urls["whep_url"])
        self._streams[stream_id] = stream
        task = asyncio.create_task(self._supervise(stream), name=f"gateway stream {stream_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return _json(urls, self._cors())

    async def update(self, request: web.Request) -> web.Response:
        """Hand parameters to the runner, and keep them for a next orchestrator."""
        stream = self._stream(request)
        job = gateway_jobs.parse(request)
        try:
            offer = await self._orchestrators.token(stream.current, job.request.capability)
        except NoToken as reason:
            raise Refusal(400, str(reason)) from None
        body = await read_body(request, self._settings.max_client_body_bytes)
        stream.params = body
        path = "/ai/stream/update"
        kind = request.headers.get("Content-Type", "")
        try:
            async with self._orchestrators.send(job.request, offer, path, body, kind) as answer:
                data = await calls.read_answer(
                    answer, self._settings.max_body_bytes, self._settings.answer_timeout_s
                )
        except calls.CallError as reason:
            raise Refusal(400, str(reason)) from None
        return raw(answer.status, data, self._cors())

    async def stop(self, request: web.Request) -> web.Response:
        """End the stream; the runner is told twice, with the client's body and without it."""
        stream = self._stream(request)
        body = await read_body(request, self._settings.max_client_body_bytes)
        data = await stream.stop(body)
        self._streams.pop(stream.id, None)
        stream.ended.set()
        return raw(200, data)

    async def status(self, request: web.Request) -> web.Response:
        """The last status event, or what the gateway itself knows before the first."""
        status = self._statuses.get(request.match_info["id"])
        if status is None:
            raise Refusal(404, "Stream not found")
        return _json(status, self._cors())

    async def data(self, request: web.Request) -> web.StreamResponse:
        """The runner's data, one event for each line. Nothing is sent before the first."""
        ring = self._stream(request).data
        if ring is None:
            raise Refusal(503, "Stream data not available")
        response = web.StreamResponse(
            headers={
                "Content-Type": "text/event-stream",
                "Cache-Control": "no-cache",
                "Connection": "keep-alive",
            }
        )
        try:
            await _send_data(request, response, ring)
        except (FellBehind, ConnectionResetError):
            logger.info("a data reader left or was too slow")
        if not response.prepared:
            await response.prepare(request)
        return response

    async def close(self) -> None:
        """Drop every stream."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _supervise(self, stream: GatewayStream) -> None:
        try:
            await stream.run()
        except Exception:  # the supervisor of a stream's task, which nobody awaits
            logger.exception("stream %s broke", stream.id)
        finally:
            if self._streams.get(stream.id) is stream:
                del self._streams[stream.id]

    def _stream(self, request: web.Request) -> GatewayStream:
        stream = self._streams.get(request.match_info["id"])
        if stream is None:
            raise Refusal(404, "Stream not found")
        return stream

    def _cors(self) -> dict[str, str]:
        if not self._settings.allow_cors:
            return {}
        return {"Access-Control-Allow-Origin": "*", "Access-Control-Allow-Headers": "Content-Type"}

    def _urls(self, stream: GatewayStream, job: ClientJob) -> dict[str, gojson.JSONValue]:
        """What upstream hands out, with MediaMTX's defaults; the local gateway serves no media."""
        base = f"https://{self._settings.gateway_host}/process/stream/{stream.id}"
        parameters = job.parameters
        whep = f"http://localhost:8889/{stream.id}-{stream.request_id}-out/whep"
        rtmp = f"rtmp://localhost:1935/{stream.id}"
        return {
            "stream_id": stream.id,
            "whip_url": f"{base}/whip" if parameters.video_ingress else "",
            "whep_url": whep if parameters.video_egress else "",
            "rtmp_url": rtmp if parameters.video_ingress else "",
            "rtmp_output_url": "",
            "update_url": f"{base}/update",
            "status_url": f"{base}/status",
            "data_url": f"{base}/data" if parameters.data_output else "",
            "stop_url": f"{base}/stop",
        }


def _start_request(body: bytes) -> tuple[str, gojson.JSONValue]:
    """The stream's id and the parameters for the runner, None without any."""
    if not body.strip():
        raise Refusal(400, "invalid JSON request body: EOF")
    try:
        found = gojson.struct(body, "byoc.StartRequest", _START_FIELDS)
    except gojson.GoJSONError as reason:
        text = str(reason).replace("unexpected end of JSON input", "unexpected EOF")
        raise Refusal(400, f"invalid JSON request body: {text}") from None
    name = str(found.get("stream_name", ""))
    if name.endswith("-out"):
        # Upstream the handler crashes and the connection closes without an answer.
        raise Refusal(400, "stream_name must not end in -out")
    text = str(found.get("params", ""))
    try:
        params = gojson.loads(text) if text else None
    except gojson.GoJSONError:
        raise Refusal(400, "invalid model params") from None
    if params is not None and not isinstance(params, dict):
        raise Refusal(400, "invalid model params")
    stream_id = str(found.get("stream_id", "")) or secrets.token_hex(4)
    return (f"{name}-{stream_id}" if name else stream_id), params


async def _send_data(request: web.Request, response: web.StreamResponse, ring: DataRing) -> None:
    async with aclosing(ring.read()) as items:
        async for item in items:
            if not response.prepared:
                await response.prepare(request)
            await response.write(b"data: " + item + b"\n\n")
    if not response.prepared:
        await response.prepare(request)
    await response.write(_DATA_END)


def _json(value: gojson.JSONValue, headers: dict[str, str]) -> web.Response:
    return web.Response(
        body=gojson.dumps(value) + b"\n",
        headers={"Content-Type": "application/json", **headers},
    )
