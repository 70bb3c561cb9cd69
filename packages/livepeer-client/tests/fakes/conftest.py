"""A caller of the fakes by bare HTTP, with the wire's generated messages and no client."""

from __future__ import annotations

import base64
import io
import json
import time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing._branch import v1_message
from livepeer.client.testing._keys import FakeKey

KEY = "11" * 32

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livepeer.client.testing import FakeOrchestrator, FakeSigner


def b64(value: bytes | dict[str, Any]) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.b64encode(raw).decode()


class Caller:
    """Signs with a key and asks fake nodes."""

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self.http = http
        self.key = FakeKey(KEY)

    async def post(
        self, url: str, body: object = None, headers: dict[str, str] | None = None
    ) -> tuple[int, Any, dict[str, str]]:
        """Status, JSON or text, and headers."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with self.http.post(
            url, data=io.BytesIO(raw), headers=headers, ssl=False
        ) as response:
            text = await response.read()
            got = {name.lower(): value for name, value in response.headers.items()}
            if response.content_type == "application/json":
                return response.status, json.loads(text), got
            try:
                return response.status, text.decode(), got
            except UnicodeDecodeError:
                return response.status, text, got

    async def pay(self, signer: FakeSigner, **fields: object) -> tuple[int, Any]:
        status, body, _ = await self.post(f"{signer.url}/generate-live-payment", fields)
        return status, body

    def job(
        self,
        node: FakeOrchestrator,
        *,
        capability: str = "hello",
        id_: str = "job",
        request: str = "{}",
        parameters: str = "{}",
        timeout_s: int = 30,
    ) -> str:
        """A `Livepeer` header, signed as the node wants it."""
        parts = (id_, capability, request, parameters)
        legacy = node.flavour == "head"
        message = (request + parameters).encode() if legacy else v1_message(timeout_s, *parts)
        names = ("id", "capability", "request", "parameters")
        fields = dict(zip(names, parts, strict=True))
        sender = {"sender": self.key.address, "sig": "0x" + self.key.sign(message).hex()}
        return b64({**fields, **sender, "timeout_seconds": timeout_s})

    async def token(self, node: FakeOrchestrator, capability: str = "hello") -> dict[str, Any]:
        signature = "0x" + self.key.sign(self.key.address.encode()).hex()
        credentials = b64({"addr": self.key.address, "sig": signature})
        headers = {"Livepeer-Eth-Address": credentials, "Livepeer-Capability": capability}
        async with self.http.get(f"{node.url}/process/token", headers=headers) as response:
            assert response.status == 200, await response.text()
            token: dict[str, Any] = await response.json()
            return token

    async def payment(
        self, node: FakeOrchestrator, signer: FakeSigner, capability: str = "hello"
    ) -> str:
        """A first payment for a capability."""
        info = info_of(await self.token(node, capability))
        orchestrator = b64(info.SerializeToString())
        status, body = await self.pay(signer, orchestrator=orchestrator, type="byoc")
        assert status == 200, body
        return str(body["payment"])

    async def run(
        self, node: FakeOrchestrator, path: str, payment: str | None = None, **job: Any
    ) -> tuple[int, Any, dict[str, str]]:
        """A job at a node: status, answer, headers."""
        headers = {"Livepeer": self.job(node, **job)}
        if payment is not None:
            headers["Livepeer-Payment"] = payment
        return await self.post(node.url + path, {}, headers)


def info_of(token: dict[str, Any], *, expires_s: float = 1800) -> pb.OrchestratorInfo:
    """What a BYOC caller makes of a token for its signer."""
    terms = token["ticket_params"]
    raw = {name: base64.b64decode(value) for name, value in terms.items() if type(value) is str}
    expiration = terms["expiration_params"]
    return pb.OrchestratorInfo(
        transcoder=token["service_addr"],
        address=raw["recipient"],
        price_info=pb.PriceInfo(
            pricePerUnit=token["price"].get("pricePerUnit", 0), pixelsPerUnit=1
        ),
        ticket_params=pb.TicketParams(
            **raw,
            expiration_params=pb.TicketExpirationParams(
                creation_round=expiration["creation_round"],
                creation_round_block_hash=base64.b64decode(expiration["creation_round_block_hash"]),
            ),
        ),
        auth_token=pb.AuthToken(
            token=b"t", session_id="s", expiration=int(time.time() + expires_s)
        ),
    )


@pytest.fixture
async def caller() -> AsyncIterator[Caller]:
    async with aiohttp.ClientSession() as http:
        yield Caller(http)
