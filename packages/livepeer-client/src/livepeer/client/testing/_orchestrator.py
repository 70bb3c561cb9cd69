"""The fake orchestrator: token, batch and streams, with real trickle channels.

Source: go-livepeer `byoc/job_orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

from livepeer.trickle import TrickleServer
from livepeer.trickle.testing import serve

from ._checks import JobFields, decode, is_signed, read_job, refuse
from ._relay import relayed
from ._runner import FakeCapability, RunnerReply, RunnerRequest, SeenRequest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from livepeer.client._wire import JSONValue

TRICKLE: Final = "/ai/trickle"
MIN_CREDIT_S: Final = 60

# Flag, channel suffix, the runner's key, the caller's header.
_CHANNELS: Final = (
    ("", "-control", "control_url", "X-Control-Url"),
    ("", "-events", "events_url", "X-Events-Url"),
    ("enable_video_ingress", "", "subscribe_url", "X-Publish-Url"),
    ("enable_video_egress", "-out", "publish_url", "X-Subscribe-Url"),
    ("enable_data_output", "-data", "data_url", "X-Data-Url"),
)


class FakeOrchestrator:
    """An orchestrator whose runners are functions.

    Attributes:
        url: Where it listens.
        capabilities: What it offers; may be changed at any time.
        seen: Every request that it got, trickle excepted.
        streams: The ids of the running streams.
        trickle: Its trickle server.
        public_host: The host that it writes into channel URLs in place of its own, as with
            `-liveAITrickleHostForRunner`; empty for its own.
    """

    def __init__(
        self,
        capabilities: Mapping[str, FakeCapability],
        *,
        verify: bool = True,
        public_host: str = "",
    ) -> None:
        self.url = ""
        self.capabilities = dict(capabilities)
        self.seen: list[SeenRequest] = []
        self.streams: set[str] = set()
        self.trickle = TrickleServer()
        self.public_host = public_host
        self._verify = verify

    def paths(self) -> list[str]:
        """The paths of the requests that it got, in order."""
        return [request.path for request in self.seen]

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=1 << 26)
        app.router.add_get("/process/token", self._token)
        app.router.add_post("/process/request/{rest:.*}", self._batch)
        app.router.add_post("/ai/stream/start", self._start)
        app.router.add_post("/ai/stream/{action:stop|update}", self._control)
        self.trickle.add_routes(app, TRICKLE)
        return app

    async def run(self, job: JobFields, path: str, body: bytes) -> RunnerReply:
        """Let the runner answer; its own timeout is a reply as well, of status 500."""
        request = RunnerRequest(path=path, body=body, stream_id=job.stream_id)
        handler = self.capabilities[job.capability].handler
        try:
            async with asyncio.timeout(job.timeout_seconds):
                return await handler(request)
        except TimeoutError:
            text = (
                'job not able to be processed, removing capability err=Post "x": context canceled'
            )
            return RunnerReply(status=500, body=text.encode())

    async def start_stream(self, job: JobFields, body: dict[str, JSONValue]) -> web.Response:
        """Create the channels and ask the runner, as the route does after its checks."""
        if job.id in self.streams:
            self._close_channels(job.id)
            return refuse(500, "Error adding stream to external capabilities")
        host = self.public_host or self.url
        start: dict[str, JSONValue] = {"gateway_request_id": job.id}
        headers = {"Livepeer-Balance": "0"}
        for flag, suffix, key, header in _CHANNELS:
            if not flag or job.flags.get(flag):
                self.trickle.create_channel(job.id + suffix)
                start[key] = headers[header] = f"{host}{TRICKLE}/{job.id}{suffix}"
        self.streams.add(job.id)
        reply = await self.run(job, "/stream/start", json.dumps(start | body).encode())
        if reply.status < 400:
            return web.Response(headers=headers)
        self.remove_stream(job.id)
        # The channels' URLs are in the answer all the same; the status counts.
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def remove_stream(self, stream_id: str) -> None:
        """Forget a stream and close its channels, without a word to the runner."""
        self.streams.discard(stream_id)
        self._close_channels(stream_id)

    def _close_channels(self, stream_id: str) -> None:
        for _, suffix, _, _ in _CHANNELS:
            self.trickle.close_channel(stream_id + suffix)

    async def _see(self, request: web.Request) -> SeenRequest:
        seen = SeenRequest(
            method=request.method,
            path=request.raw_path,
            headers={name.lower(): value for name, value in request.headers.items()},
            body=await request.read(),
            job=decode(request.headers.get("Livepeer")) or {},
        )
        self.seen.append(seen)
        return seen

    async def _token(self, request: web.Request) -> web.Response:
        await self._see(request)
        credentials = decode(request.headers.get("Livepeer-Eth-Address")) or {}
        address, signature = str(credentials.get("addr")), str(credentials.get("sig"))
        if self._verify and not is_signed(address, signature, address):
            return refuse(400, "Invalid eth address header ")
        capability = self.capabilities.get(request.headers.get("Livepeer-Capability", ""))
        price: dict[str, JSONValue] = {"pixelsPerUnit": 1}
        token: dict[str, JSONValue] = {"service_addr": self.url, "LastNonce": 0, "price": price}
        # What is zero is left out.
        if capability is not None and capability.price:
            price["pricePerUnit"] = capability.price
        if capability is not None and capability.capacity > 0:
            token["available_capacity"] = capability.capacity
        return web.json_response(token)

    def _admit(self, request: web.Request, *, batch: bool) -> JobFields | web.Response:
        job = read_job(request.headers.get("Livepeer"))
        if job is None or (
            self._verify and not is_signed(job.request + job.parameters, job.sig, job.sender)
        ):
            return refuse(400, "Could not verify job creds")
        if job.timeout_seconds == 0:
            return refuse(400, "no timeout_seconds set with request, timeout_seconds is required")
        capability = self.capabilities.get(job.capability)
        if capability is None:
            return refuse(503 if batch else 400, "No capacity available for capability")
        if capability.price and not request.headers.get("Livepeer-Payment"):
            unpaid = 402 if request.path == "/ai/stream/start" else 400
            return refuse(unpaid, "Insufficient balance for request")
        return job

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        seen = await self._see(request)
        job = self._admit(request, batch=True)
        if isinstance(job, web.Response):
            return job
        reply = await self.run(job, "/" + request.match_info["rest"], seen.body)
        if reply.status == 401:
            del self.capabilities[job.capability]
            text = "job not able to be processed, removing capability err=worker auth token failed"
            return refuse(500, text)
        if reply.status >= 400:
            return refuse(reply.status, reply.body.decode())
        if reply.chunks is None:
            return web.Response(
                body=reply.body,
                headers={"Livepeer-Balance": "0", "Content-Type": reply.content_type},
            )
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        lines = relayed(reply.chunks, job.timeout_seconds)
        async with aclosing(lines):
            async for line in lines:
                await response.write(line)
        return response

    async def _start(self, request: web.Request) -> web.Response:
        seen = await self._see(request)
        job = self._admit(request, batch=False)
        if isinstance(job, web.Response):
            return job
        try:
            body: object = json.loads(seen.body)
        except ValueError:
            body = []
        if not isinstance(body, dict):
            return refuse(400, "Invalid JSON body")
        return await self.start_stream(job, body)  # pyright: ignore[reportUnknownArgumentType]

    async def _control(self, request: web.Request) -> web.Response:
        seen = await self._see(request)
        job = self._admit(request, batch=False)
        if isinstance(job, web.Response):
            reason = (job.body or b"").decode().strip() if isinstance(job.body, bytes) else ""
            return refuse(400, f"Failed to stop stream, request not valid err={reason}")
        stop = request.match_info["action"] == "stop"
        reply = await self.run(job, "/stream/stop" if stop else "/stream/params", seen.body)
        if stop:
            self.remove_stream(job.stream_id)
        return web.Response(status=reply.status, body=reply.body)


@asynccontextmanager
async def fake_orchestrator(
    capabilities: Mapping[str, FakeCapability], *, verify: bool = True, public_host: str = ""
) -> AsyncGenerator[FakeOrchestrator]:
    """Serve a fake orchestrator on a free loopback port.

    Args:
        capabilities: What it offers.
        verify: Check signatures, for which the extra `eth` is needed; False is an orchestrator
            without a chain.
        public_host: The host in channel URLs; by default its own.
    """
    node = FakeOrchestrator(capabilities, verify=verify, public_host=public_host)
    async with serve(node.app()) as url:
        node.url = url
        yield node
