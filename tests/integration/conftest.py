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
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client import (
    BYOCJob,
    BYOCJobRequest,
    Client,
    Job,
    LocalSigner,
    StreamLost,
    TicketPayments,
)
from livepeer.client._wire.tokens import JobToken, parse_token
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
    signer_key: str = field(default="", repr=False)
    """Of a sender with funds, for tests marked `paid`; "" where everybody has funds."""
    second: str = ""
    """Another orchestrator that the gateway knows; for tests marked `second`."""
    charged: bool = False
    """What is registered as free costs something all the same, and is paid for."""

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
        """A caller that is its own gateway, of the orchestrator and then of others.

        It pays where nothing is free, unless it is told how to pay.
        """
        nodes = [self.orchestrator, *others]
        if self.charged and "payments" not in options:
            signer = options.setdefault("signer", self.signer())
            options["payments"] = TicketPayments(signer)
        return Client(orchestrators=nodes, verify_tls=not self.insecure, **options)

    def signer(self) -> LocalSigner:
        """A caller's key, with funds where the network wants them."""
        return LocalSigner.from_key(self.signer_key) if self.signer_key else LocalSigner.ephemeral()

    def paying_client(self, signer: LocalSigner, **options: Any) -> Client:
        """A caller that is its own gateway and pays."""
        return self.client(signer=signer, payments=TicketPayments(signer), **options)

    async def token(self, signer: LocalSigner, name: str) -> JobToken:
        """The orchestrator's terms for a sender, its balance among them."""
        credentials = await signer.token_credentials()
        headers = {"Livepeer-Eth-Address": credentials.header(), "Livepeer-Capability": name}
        url = self.orchestrator + "/process/token"
        async with self.http() as http, http.get(url, headers=headers) as answer:
            return parse_token(await answer.read(), self.orchestrator)

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
            base, headers = self.orchestrator, await self._signed(job)
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
        headers = {**await self._signed(job), "Content-Type": "application/json"}
        url = f"{self.orchestrator}/ai/stream/{act}"
        async with self.http() as http, http.post(url, data=body, headers=headers) as answer:
            yield answer

    async def _signed(self, job: Job) -> dict[str, str]:
        """What a job is sent with by a sender of its own, who pays where nothing is free."""
        signer = self.signer()
        headers = {"Livepeer": (await signer.sign_job(job)).header()}
        if not self.charged:
            return headers
        session = TicketPayments(signer).session(job, self.orchestrator)
        terms = await self.token(signer, job.capability)
        paid = await session.payment(terms, seconds=job.timeout_s)
        return headers if paid is None else {**headers, **paid.headers}


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


def _key(file: str | None) -> str:
    return Path(file).read_text(encoding="ascii").strip() if file else ""


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
            signer_key=_key(option("--signer-key")),
            second=second.rstrip("/"),
            charged=bool(option("--charged")),
        )
        return
    async with AsyncExitStack() as stack:
        others: list[str] = []
        verify = request.param == "local-signed"
        charge = request.node.get_closest_marker("paid") is not None
        if request.node.get_closest_marker("second"):
            made = LocalNetwork(secret=secret, verify=verify, charge=charge)
            others = [(await stack.enter_async_context(made)).orchestrator_url]
        made = LocalNetwork(secret=secret, verify=verify, charge=charge, other_orchestrators=others)
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
