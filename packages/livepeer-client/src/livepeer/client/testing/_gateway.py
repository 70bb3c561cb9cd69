"""The fake gateway, in front of fake orchestrators.

Source: go-livepeer `byoc/job_gateway.go`, `byoc/stream_gateway.go`.
"""

from __future__ import annotations

import json
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from livepeer.trickle import JSONLSubscriber
from livepeer.trickle.testing import serve

from ._checks import JobFields, read_job, record, refuse
from ._node import TRICKLE
from ._relay import relayed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ._orchestrator import FakeOrchestrator
    from ._runner import SeenRequest

# Not JSON lines of events but, as the gateway writes it, backslashes and letters.
_DATA_END = b'data: \n\nevent: end\\ndata: {"type":"stream_ended"}\\n\\n'


class FakeGateway:
    """A gateway that asks its orchestrators in order.

    Attributes:
        url: Where it listens.
        seen: Every request that it got.
        status: What `/status` answers, by stream id.
        rtmp: The media server that it names, to which a stream's id is added.
        rtmp_out: The media server that it names for what comes out; empty for none.
    """

    def __init__(self, orchestrators: Sequence[FakeOrchestrator]) -> None:
        self.url = ""
        self.seen: list[SeenRequest] = []
        self.status: dict[str, dict[str, object]] = {}
        self.rtmp = "rtmp://localhost:1935"
        self.rtmp_out = ""
        self._orchestrators = tuple(orchestrators)
        self._streams: dict[str, tuple[FakeOrchestrator, JobFields]] = {}

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=10 << 20)
        app.router.add_post("/process/request/{rest:.*}", self._batch)
        app.router.add_post("/process/stream/start", self._start)
        app.router.add_post("/process/stream/{id}/stop", self._stop)
        app.router.add_post("/process/stream/{id}/update", self._update)
        app.router.add_get("/process/stream/{id}/status", self._status)
        app.router.add_get("/process/stream/{id}/data", self._data)
        return app

    def forget(self, stream_id: str) -> None:
        """Lose a stream, as a gateway does that gave up on it."""
        del self._streams[stream_id]

    async def _see(self, request: web.Request) -> SeenRequest:
        seen = await record(request)
        self.seen.append(seen)
        return seen

    def _admit(self, request: web.Request) -> JobFields | web.Response:
        job = read_job(request.headers.get("Livepeer"))
        if job is None:
            return refuse(400, "Unable to parse job request, err=illegal base64 data")
        if job.timeout_seconds == 0:
            text = "no timeout_seconds set with request, timeout_seconds is required"
            return refuse(400, f"Unable to parse job request, err={text}")
        for name, text in (("request", job.request), ("parameters", job.parameters)):
            try:
                json.loads(text)
            except ValueError:
                return refuse(
                    400, f"Unable to unmarshal job {name} err=unexpected end of JSON input"
                )
        return job

    def _offering(self, capability: str) -> list[FakeOrchestrator]:
        return [
            node
            for node in self._orchestrators
            if capability in node.capabilities and node.capabilities[capability].capacity > 0
        ]

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        seen = await self._see(request)
        job = self._admit(request)
        if isinstance(job, web.Response):
            return job
        nodes = self._offering(job.capability)
        if not nodes:
            return refuse(400, f"No orchestrators found for capability {job.capability}")
        events: web.StreamResponse | None = None
        for node in nodes:
            reply = await node.run(job, "/" + request.match_info["rest"], seen.body)
            if 400 <= reply.status < 500 and reply.status != 401:
                return refuse(reply.status, reply.body.decode() + "\n")
            if reply.status >= 400:
                continue
            headers = {"X-Orchestrator-Url": node.url, "Livepeer-Balance": "0"}
            if reply.chunks is None:
                # Go guesses the type of the content: JSON is plain text to it.
                return web.Response(body=reply.body, content_type="text/plain", headers=headers)
            if events is None:
                headers["Content-Type"] = "text/event-stream"
                events = web.StreamResponse(headers=headers)
                await events.prepare(request)
            lines = relayed(reply.chunks, job.timeout_seconds)
            async with aclosing(lines):
                async for line in lines:
                    await events.write(line)
                    if b"[DONE]" in line:
                        break
            # And on with the next orchestrator: the gateway does not stop after an event stream.
        return events or web.Response()

    async def _start(self, request: web.Request) -> web.Response:
        seen = await self._see(request)
        job = self._admit(request)
        if isinstance(job, web.Response):
            return job
        try:
            body = json.loads(seen.body)
        except ValueError:
            return refuse(400, "invalid JSON request body: EOF")
        params = body.get("params", "")
        if not isinstance(params, str):
            return refuse(400, "invalid JSON request body: json: cannot unmarshal object")
        nodes = self._offering(job.capability)
        if not nodes:
            return refuse(400, f"No orchestrators found for capability {job.capability}")
        stream_id = body.get("stream_id") or "abcd1234"
        if stream_id in self._streams:
            return refuse(400, f"stream already exists: {stream_id}")
        job = JobFields(
            id=stream_id,
            request=json.dumps({"stream_id": stream_id}),
            parameters=job.parameters,
            capability=job.capability,
            timeout_seconds=job.timeout_seconds,
        )
        self._streams[stream_id] = (nodes[0], job)
        # Its outcome is not told to the caller.
        await nodes[0].start_stream(job, {"params": json.loads(params) if params else None})
        # Without -gatewayHost the URLs have no host.
        urls = {
            f"{name}_url": f"https:///process/stream/{stream_id}/{name}"
            for name in ("update", "status", "data", "stop")
        }
        media = {
            "whip_url": "",
            "whep_url": f"http://localhost:8889/{stream_id}-out/whep",
            "rtmp_url": f"{self.rtmp}/{stream_id}",
            "rtmp_output_url": f"{self.rtmp_out}/{stream_id}-out" if self.rtmp_out else "",
        }
        return web.json_response({"stream_id": stream_id, **media, **urls})

    async def _stop(self, request: web.Request) -> web.Response:
        seen = await self._see(request)
        node, job = self._streams.pop(request.match_info["id"], (None, None))
        if node is None or job is None:
            return refuse(404, "Stream not found")
        reply = await node.run(job, "/stream/stop", seen.body)
        node.remove_stream(job.id)
        # The runner hears of it twice.
        await node.run(job, "/stream/stop", b"stream ended")
        return web.Response(body=reply.body if reply.status == 200 else b"")

    async def _update(self, request: web.Request) -> web.Response:
        seen = await self._see(request)
        node, started = self._streams.get(request.match_info["id"], (None, None))
        if node is None or started is None:
            return refuse(404, "Stream not found")
        job = self._admit(request)
        if isinstance(job, web.Response):
            return job
        if not job.capability:
            return refuse(400, "failed to get token from Orchestrator after 3 attempts")
        reply = await node.run(job, "/stream/params", seen.body)
        return web.Response(status=reply.status, body=reply.body)

    async def _status(self, request: web.Request) -> web.Response:
        await self._see(request)
        status = self.status.get(request.match_info["id"])
        return refuse(404, "Stream not found") if status is None else web.json_response(status)

    async def _data(self, request: web.Request) -> web.StreamResponse:
        await self._see(request)
        node, job = self._streams.get(request.match_info["id"], (None, None))
        if node is None or job is None:
            return refuse(404, "Stream not found")
        if not job.flags.get("enable_data_output"):
            return refuse(503, "Stream data not available")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        async with JSONLSubscriber(f"{node.url}{TRICKLE}/{job.id}-data", start=0) as items:
            async for item in items:
                # Not even the headers are sent before the first item.
                if not response.prepared:
                    await response.prepare(request)
                await response.write(b"data: " + json.dumps(item).encode() + b"\n\n")
        if not response.prepared:
            await response.prepare(request)
        await response.write(_DATA_END)
        return response


@asynccontextmanager
async def fake_gateway(orchestrators: Sequence[FakeOrchestrator]) -> AsyncGenerator[FakeGateway]:
    """Serve a fake gateway on a free loopback port."""
    gateway = FakeGateway(orchestrators)
    async with serve(gateway.app()) as url:
        gateway.url = url
        yield gateway
