"""A fake runner and a caller, on real sockets, beside a local network."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from livepeer.runner._local import jobs
from livepeer.runner._local.keys import ThrowAwayKey
from livepeer.runner._local.money.messages import Payment
from livepeer.runner._local.money.wallet import read_terms
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner._local.settings import LocalSettings
from livepeer.trickle.testing import serve

VECTORS = Path(__file__).parents[4] / "tests" / "conformance" / "vectors" / "byoc.json"
SECRET = "orch-secret"
# Signed by a test key of the vectors, so that it holds where signatures are checked, too.
CREDENTIALS = json.loads(VECTORS.read_text())["token_creds"][0]["header_json"]
Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def until(condition: Callable[[], Awaitable[bool]], limit_s: float = 5.0) -> None:
    """Ask until the answer is yes."""
    async with asyncio.timeout(limit_s):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.02)


@dataclass
class Seen:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeRunner:
    """Keeps what it saw and answers `{}`, or as `replies` says for a path."""

    url: str = ""
    seen: list[Seen] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        path = request.rel_url.raw_path_qs
        self.seen.append(Seen(request.method, path, dict(request.headers), body))
        reply = self.replies.get(request.path)
        return await reply(request) if reply else web.json_response({})

    async def saw(self, path: str, count: int = 1) -> list[bytes]:
        """Wait for so many requests on a path, and give their bodies."""

        async def enough() -> bool:
            return len(self.bodies(path)) >= count

        await until(enough)
        return self.bodies(path)

    def paths(self) -> list[str]:
        return [seen.path for seen in self.seen]

    def bodies(self, path: str) -> list[bytes]:
        return [seen.body for seen in self.seen if seen.path == path]


@dataclass
class Answer:
    status: int
    body: str
    headers: dict[str, str]


@dataclass
class Network:
    """A caller beside a network: job headers, requests, registration."""

    orchestrator: str
    gateway: str
    session: aiohttp.ClientSession

    def header(self, **job: Any) -> dict[str, str]:
        fields = {
            "id": "j",
            "request": "{}",
            "parameters": "{}",
            "capability": "c1",
            "sender": "0x" + "0" * 40,
            "sig": "",
            "timeout_seconds": 5,
        }
        return {"Livepeer": base64.b64encode(json.dumps(fields | job).encode()).decode()}

    async def post(
        self, url: str, data: bytes | str = b"", headers: dict[str, str] | None = None
    ) -> Answer:
        return await self.ask("POST", url, data, headers)

    async def ask(
        self,
        method: str,
        url: str,
        data: bytes | str = b"",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        async with self.session.request(
            method,
            URL(url, encoded=True),
            data=data,
            headers=headers,
            skip_auto_headers=("Content-Type",),
            allow_redirects=False,
        ) as response:
            text = await response.text(errors="replace")
            return Answer(response.status, text, dict(response.headers))

    async def register(self, name: str, url: str, **more: Any) -> Answer:
        body = {"name": name, "url": url, "capacity": 1, **more}
        headers = {"Authorization": SECRET}
        return await self.post(
            self.orchestrator + "/capability/register", json.dumps(body), headers
        )

    async def token(self, capability: str = "c1", creds: dict[str, str] | None = None) -> Answer:
        given = json.dumps(creds) if creds else CREDENTIALS
        headers = {
            "Livepeer-Eth-Address": base64.b64encode(given.encode()).decode(),
            "Livepeer-Capability": capability,
        }
        return await self.ask("GET", self.orchestrator + "/process/token", b"", headers)

    def sender(self, capability: str = "c1", *, v1: bool = False) -> Sender:
        """A caller with a key of its own."""
        return Sender(self, capability, v1=v1)

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        await until(condition)

    async def free(self, count: int) -> None:
        """Wait until so much capacity is available."""

        async def is_free() -> bool:
            return await self.available() == count

        await until(is_free)

    async def available(self, capability: str = "c1") -> int:
        token = json.loads((await self.token(capability)).body)
        return int(token.get("available_capacity", 0))


class Sender:
    """A caller with a key, who signs jobs and makes payments."""

    def __init__(self, network: Network, capability: str, *, v1: bool) -> None:
        self.key = ThrowAwayKey()
        self.network = network
        self.capability = capability
        self._v1 = v1

    def job(self, **fields: Any) -> dict[str, str]:
        """The signed job header."""
        given = {"id": "j", "request": "{}", "parameters": "{}", "timeout_seconds": 5} | fields
        job = jobs.JobRequest(capability=self.capability, sender=self.key.address, **given)
        message = job.v1_message() if self._v1 else job.legacy_message()
        return {"Livepeer": replace(job, sig=self.key.sign(message)).header()}

    async def token(self) -> dict[str, Any]:
        address = self.key.address
        creds = {"addr": address, "sig": self.key.sign(address.encode())}
        answer = await self.network.token(self.capability, creds)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    async def balance(self) -> int:
        return int((await self.token()).get("balance", 0))

    async def payment(self, tickets: int = 1, **changed: Any) -> Payment:
        """Tickets with a new token's parameters, `changed` after they were signed."""
        terms = read_terms(await self.token())
        assert terms.params is not None
        sender = jobs.address_bytes(self.key.address)
        signed = tuple(
            (nonce, self.key.sign_ticket(terms.params.message(sender, nonce)))
            for nonce in range(1, tickets + 1)
        )
        made = Payment(sender=sender, params=terms.params, price=terms.price, tickets=signed)
        return replace(made, **changed)

    async def paid(self, **fields: Any) -> dict[str, str]:
        """The headers of a job with a payment of one ticket."""
        return {**self.job(**fields), "Livepeer-Payment": (await self.payment()).header()}


MakeNetwork = Callable[..., AbstractAsyncContextManager[Network]]


@pytest.fixture(scope="session")
def vectors() -> dict[str, Any]:
    return json.loads(VECTORS.read_text())


@pytest.fixture
async def runner() -> AsyncIterator[FakeRunner]:
    fake = FakeRunner()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", fake.handle)
    async with serve(app) as fake.url:
        yield fake


@pytest.fixture
def make_network() -> MakeNetwork:
    @asynccontextmanager
    async def make(
        *, verify: bool = False, charge: bool = False, **settings: Any
    ) -> AsyncIterator[Network]:
        made = LocalNetwork(
            secret=SECRET, verify=verify, charge=charge, settings=LocalSettings(**settings)
        )
        async with made, aiohttp.ClientSession() as session:
            yield Network(made.orchestrator_url, made.gateway_url, session)

    return make


@pytest.fixture
async def network(make_network: MakeNetwork) -> AsyncIterator[Network]:
    async with make_network() as made:
        yield made
