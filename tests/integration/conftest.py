"""A network, a runner that registers with it, and clients: all over real sockets.

Without options each test has a local network of its own; with `--orchestrator-url` the same tests
run against the nodes that the options name.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client import BYOCJob, BYOCJobRequest, Client, Job, LocalSigner, StreamLost
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner.testing import serve
from livepeer.trickle import trickle_session
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from livepeer.runner import LivePipeline, Pipeline

LIMIT_S = 20.0
"""For whatever must happen; only a fault lets it pass."""

SETTINGS: Mapping[str, Any] = {
    "capability_capacity": 4,
    "concurrency": 4,
    "heartbeat_interval_s": 0.2,
    "stats_interval_s": 0.1,
    "output_linger_s": 0.5,
    "register_give_up_s": 5.0,
}


@dataclass(frozen=True, kw_only=True)
class Served:
    """A registered runner: its capability's name, and its own URL."""

    name: str
    url: str


@dataclass(frozen=True, kw_only=True)
class Network:
    """The nodes under test."""

    orchestrator: str
    gateway: str | None
    secret: str
    insecure: bool = False
    second: str = ""
    """Another orchestrator that the gateway knows; for tests marked `second`."""

    @asynccontextmanager
    async def serve(
        self,
        pipeline: Pipeline | LivePipeline | type[Pipeline],
        *,
        name: str | None = None,
        **settings: Any,
    ) -> AsyncGenerator[Served]:
        """Serve a pipeline, by default under a name of its own, registered by its own registrar."""
        name = name or new_name(pipeline)
        own: dict[str, Any] = {
            "orch_url": self.orchestrator,
            "orch_token": self.secret,
            "orch_tls_verify": not self.insecure,
            "trickle_tls_verify": not self.insecure,
            "capability_name": name,
        }
        async with serve(pipeline, **{**SETTINGS, **own, **settings}) as server:
            await server.wait_registered()
            yield Served(name=name, url=server.url)

    def client(self, *others: str, **options: Any) -> Client:
        """A caller that is its own gateway, of the orchestrator and then of others."""
        nodes = [self.orchestrator, *others]
        return Client(orchestrators=nodes, verify_tls=not self.insecure, **options)

    def gateway_client(self) -> Client:
        """A caller of the gateway."""
        if self.gateway is None:
            pytest.fail("--gateway-url is not given; leave these out with: -m 'not gateway'")
        return Client(gateway=self.gateway, verify_tls=not self.insecure)

    def http(self) -> aiohttp.ClientSession:
        """A session for requests to the nodes beside the client."""
        return trickle_session(verify_tls=not self.insecure)

    @asynccontextmanager
    async def post_job(
        self,
        way: str,
        name: str,
        data: object,
        *,
        route: str = "predict",
        timeout_s: int = 20,
        content_type: str | None = "application/json",
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A batch job with any body, and its answer as it comes over the wire.

        Without a content type a form has its own, and anything else none.
        """
        job = BYOCJobRequest(capability=name, timeout_s=timeout_s).job()
        if way == "direct":
            base, signed = self.orchestrator, await LocalSigner.ephemeral().sign_job(job)
            headers = {"Livepeer": signed.header()}
        else:
            base, headers = str(self.gateway), {"Livepeer": job.header()}
        if content_type is not None:
            headers["Content-Type"] = content_type
        url = f"{base}/process/request/{route}"
        own = () if isinstance(data, aiohttp.FormData) else ("Content-Type",)
        async with (
            self.http() as http,
            http.post(url, data=data, headers=headers, skip_auto_headers=own) as answer,
        ):
            yield answer

    @asynccontextmanager
    async def post_signed(
        self, act: str, job: Job, body: bytes = b"{}"
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """A signed request to one of the orchestrator's stream routes, and its answer."""
        signed = await LocalSigner.ephemeral().sign_job(job)
        headers = {"Livepeer": signed.header(), "Content-Type": "application/json"}
        url = f"{self.orchestrator}/ai/stream/{act}"
        async with self.http() as http, http.post(url, data=body, headers=headers) as answer:
            yield answer


@dataclass
class Watched:
    """What comes out of a stream, collected while it runs."""

    job: BYOCJob
    events: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    data: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    segments: list[bytes] = field(default_factory=list[bytes])
    tasks: list[asyncio.Task[None]] = field(default_factory=list["asyncio.Task[None]"])

    def begin(self) -> None:
        """Watch each channel that the stream has."""
        urls = self.job.urls
        if urls.events is not None:
            self.tasks.append(asyncio.create_task(self._watch_events()))
        if urls.data is not None:
            self.tasks.append(asyncio.create_task(self._watch_data()))
        if urls.subscribe is not None:
            self.tasks.append(asyncio.create_task(self._watch_output()))

    async def close(self) -> None:
        """Stop watching, before the client of the stream closes; raises what failed. Idempotent."""
        tasks, self.tasks = self.tasks, []
        failed = [task for task in tasks if task.done() and task.exception()]
        await cancel_and_wait(*tasks)
        for task in failed:
            task.result()

    async def event(self, kind: str, **fields: object) -> dict[str, Any]:
        """Wait for an event of a type and with these fields."""
        wanted = {"type": kind, **fields}

        def found() -> list[dict[str, Any]]:
            return [event for event in self.events if wanted.items() <= event.items()]

        await wait_until(lambda: bool(found()))
        return found()[0]

    async def output(self, segments: int) -> None:
        """Wait for so many segments of the output."""
        await wait_until(lambda: len(self.segments) >= segments)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.events]

    async def _watch_events(self) -> None:
        with suppress(StreamLost):
            async for event in self.job.events():
                self.events.append(event)

    async def _watch_data(self) -> None:
        with suppress(StreamLost):
            async for item in self.job.data():
                self.data.append(item)

    async def _watch_output(self) -> None:
        async with self.job.subscriber() as subscriber:
            async for segment in subscriber:
                self.segments.append(await segment.read(1 << 26))


def new_name(pipeline: object) -> str:
    """A name that no other test uses, in a network that many may share."""
    kind = pipeline if isinstance(pipeline, type) else type(pipeline)
    return f"{kind.__name__.lower()}-{secrets.token_hex(4)}"


Watch = Callable[[BYOCJob], Awaitable[Watched]]


Until = Callable[[Callable[[], bool | Awaitable[bool]]], Awaitable[None]]


async def wait_until(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Ask, again and again, until the answer is yes."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        answer = condition()
        if answer if isinstance(answer, bool) else await answer:
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


@pytest.fixture
def until() -> Until:
    return wait_until


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "network" not in metafunc.fixturenames:
        return
    kinds = ["local"]
    if metafunc.config.getoption("--orchestrator-url"):
        kinds = ["given"]
    elif metafunc.definition.get_closest_marker("signed"):
        kinds = ["local", "local-signed"]
    metafunc.parametrize("network", kinds, indirect=True)


@pytest.fixture
async def network(request: pytest.FixtureRequest) -> AsyncGenerator[Network]:
    option = request.config.getoption
    secret = str(option("--orch-secret"))
    if request.param == "given":
        gateway: str | None = option("--gateway-url")
        second = str(option("--second-orchestrator-url") or "")
        if not second and request.node.get_closest_marker("second"):
            pytest.fail("--second-orchestrator-url is not given; leave out with: -m 'not second'")
        yield Network(
            orchestrator=str(option("--orchestrator-url")).rstrip("/"),
            gateway=gateway.rstrip("/") if gateway else None,
            secret=secret,
            insecure=bool(option("--insecure")),
            second=second.rstrip("/"),
        )
        return
    async with AsyncExitStack() as stack:
        others: list[str] = []
        if request.node.get_closest_marker("second"):
            other = await stack.enter_async_context(LocalNetwork(secret=secret))
            others = [other.orchestrator_url]
        verify = request.param == "local-signed"
        made = LocalNetwork(secret=secret, verify=verify, other_orchestrators=others)
        local = await stack.enter_async_context(made)
        yield Network(
            orchestrator=local.orchestrator_url,
            gateway=local.gateway_url,
            secret=secret,
            second=others[0] if others else "",
        )


@pytest.fixture
async def direct(network: Network) -> AsyncGenerator[Client]:
    async with network.client() as client:
        yield client


@pytest.fixture
async def by_gateway(network: Network) -> AsyncGenerator[Client]:
    async with network.gateway_client() as client:
        yield client


@pytest.fixture(params=["direct", pytest.param("gateway", marks=pytest.mark.gateway)])
def way(request: pytest.FixtureRequest) -> str:
    """How a job reaches the runner."""
    return str(request.param)


@pytest.fixture
async def client(way: str, network: Network) -> AsyncGenerator[Client]:
    """A client of each way."""
    async with network.client() if way == "direct" else network.gateway_client() as client:
        yield client


@pytest.fixture
async def watch() -> AsyncGenerator[Watch]:
    """Collect, in the background, what a stream gives out."""
    watching: list[Watched] = []

    async def watch(job: BYOCJob) -> Watched:
        watched = Watched(job)
        watched.begin()
        watching.append(watched)
        return watched

    yield watch
    for watched in watching:
        await watched.close()
