"""What orchestrators say of themselves by gRPC, in clear text and by pinned certificates."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from livepeer.client import (
    CapabilityId,
    CapabilityPrice,
    CapabilityUnavailable,
    CertificateChanged,
    ConfigError,
    InvalidAnswer,
    JobTimeout,
    LocalSigner,
    MissingExtra,
    NodeUnreachable,
    OrchestratorError,
    OrchestratorInfo,
    TokenCredentials,
    TrustStore,
    get_orchestrator_info,
)
from livepeer.client._find.orchestrator_info import orchestrator_request, parse_orchestrator_info
from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo as Message
from livepeer.client.testing import FakeCapability, FakeModel, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.testing import FakeOrchestrator

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "tests/conformance/vectors/network.json").read_text("utf-8")
)["vectors"]


def outputs(name: str) -> bytes:
    return bytes.fromhex(VECTORS[name]["outputs"]["hex"])


@pytest.fixture(params=[False, True], ids=["h2c", "tls"])
async def node(request: pytest.FixtureRequest, runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    capabilities = {
        "text-reversal": FakeCapability(runner, price=10),
        "echo": FakeCapability(runner),
    }
    models = {"noop": FakeModel(runner, price=Fraction(3, 2))}
    async with fake_orchestrator(capabilities, models=models, tls=request.param, grpc=True) as node:
        yield node


async def test_what_it_says(node: FakeOrchestrator, signer: LocalSigner) -> None:
    node.nodes = ["https://other.example:8935"]
    info = await get_orchestrator_info(node.url, signer=signer)
    assert (info.url, info.transcoder) == (node.url, node.url)
    assert info.address == f"0x{node.address.hex()}"
    assert info.nodes == ("https://other.example:8935",)
    # BYOC capabilities are among the prices, and nowhere else.
    assert info.byoc_price("text-reversal") == CapabilityPrice(
        id=CapabilityId.BYOC, model="text-reversal", wei=10, units=1
    )
    assert info.byoc_price("nope") is None
    assert [(offer.id, offer.model, offer.idle) for offer in info.offers] == [(35, "noop", 1)]
    assert info.auth_token is not None
    assert info.auth_token.session_id
    assert info.raw == Message.FromString(info.raw).SerializeToString()
    assert str(info.auth_token.token) not in repr(info)


async def test_one_model(node: FakeOrchestrator, signer: LocalSigner) -> None:
    info = await get_orchestrator_info(
        node.url, signer=signer, capabilities=["live-video-to-video/noop"]
    )
    assert info.price is not None
    assert (info.price.wei, info.price.units) == (3, 2)
    assert info.price.wei_per_unit == 1.5
    assert info.prices == ()
    credentials = await signer.token_credentials()
    assert node.infos == [orchestrator_request(credentials, ["live-video-to-video/noop"])]


@pytest.mark.parametrize("flavour", ["head", "byoc"])
async def test_the_price_of_a_byoc_capability_is_never_that_of_transcoding(
    node: FakeOrchestrator, signer: LocalSigner, flavour: Literal["head", "byoc"]
) -> None:
    node.flavour = flavour

    async def ask(*capabilities: str) -> OrchestratorInfo:
        return await get_orchestrator_info(node.url, signer=signer, capabilities=capabilities)

    one = await ask("byoc/text-reversal")
    assert one.price == one.byoc_price("text-reversal")
    assert one.price is not None
    assert (one.price.wei, one.price.units, one.price.unit) == (10, 1, "second")
    assert len(node.infos) == 2
    free = await ask("byoc/echo")
    assert free.price is not None
    assert free.price.wei == 0
    # Not told is not free.
    assert (await ask("byoc/nope")).price is None
    # Seconds and pixels have no sum.
    several = await ask("byoc/text-reversal", "live-video-to-video/noop")
    assert several.price is None
    assert [price.model for price in several.prices] == ["text-reversal"]
    other = await ask("live-video-to-video/noop")
    assert other.price is not None
    assert (other.price.id, other.price.model, other.price.unit) == (35, "noop", "pixel")


async def test_a_full_model_is_told_before_anything_is_paid(
    node: FakeOrchestrator, signer: LocalSigner
) -> None:
    node.models["noop"].capacity = 0
    ask = ["live-video-to-video/noop"]
    with pytest.raises(CapabilityUnavailable, match="OrchestratorCapped") as caught:
        await get_orchestrator_info(node.url, signer=signer, capabilities=ask)
    assert caught.value.retryable
    assert await get_orchestrator_info(
        node.url, signer=signer, capabilities=ask, ignore_capacity_check=True
    )


async def test_a_signature_is_wanted_with_a_chain_and_none_without(
    node: FakeOrchestrator,
) -> None:
    with pytest.raises(OrchestratorError, match="sig check failed"):
        await get_orchestrator_info(node.url)
    async with fake_orchestrator({}, verify=False, grpc=True) as other:
        info = await get_orchestrator_info(other.url, ignore_capacity_check=True)
        assert (info.price, info.address) == (None, "")
        assert other.infos == [outputs("orchestrator_request_offchain_anonymous")]


async def test_requests_as_on_the_wire(signer: LocalSigner) -> None:
    credentials = await signer.token_credentials()
    request = orchestrator_request(
        credentials, ["live-video-to-video/noop"], ignore_capacity_check=True
    )
    assert request == outputs("orchestrator_request_signed")
    shape = VECTORS["orchestrator_request_shape"]["inputs"]
    dummy = TokenCredentials(address=shape["address_hex"], signature=shape["sig_hex"])
    assert orchestrator_request(
        dummy, ["live-video-to-video/noop"], ignore_capacity_check=True
    ) == outputs("orchestrator_request_shape")
    assert orchestrator_request(None) == b""


def test_unknown_fields_stay() -> None:
    raw = Message(transcoder="https://o:1").SerializeToString() + b"\xfa\x3f\x02hi"
    assert parse_orchestrator_info(raw, "http://o").raw == raw
    with pytest.raises(InvalidAnswer, match="OrchestratorInfo"):
        parse_orchestrator_info(b"\x0a\xff", "http://o")


@pytest.fixture
async def secured(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({}, verify=False, tls=True, grpc=True) as node:
        yield node


async def test_a_new_certificate_after_a_restart(
    secured: FakeOrchestrator, caplog: pytest.LogCaptureFixture
) -> None:
    store = TrustStore(None)
    assert await get_orchestrator_info(secured.url, trust=store)
    secured.host.renew_certificate("other.example")
    with pytest.raises(CertificateChanged, match="forget"):
        await get_orchestrator_info(secured.url, trust=store)
    store.repin = True
    with caplog.at_level(logging.WARNING):
        assert await get_orchestrator_info(secured.url, trust=store)
    assert "CHANGED" in caplog.text
    store.repin = False
    assert await get_orchestrator_info(secured.url, trust=store)
    known = store.known(secured.url.removeprefix("https://"))
    assert known is not None
    assert known.name == "other.example"


async def test_without_pins(secured: FakeOrchestrator) -> None:
    with pytest.raises(NodeUnreachable, match="certificate") as caught:
        await get_orchestrator_info(secured.url, use_tofu=False)
    assert not caught.value.retryable
    for _ in range(2):
        assert await get_orchestrator_info(secured.url, verify_tls=False)
        secured.host.renew_certificate()


async def test_many_at_once(secured: FakeOrchestrator) -> None:
    store = TrustStore(None)
    calls = [get_orchestrator_info(secured.url, trust=store) for _ in range(8)]
    assert len({info.raw for info in await asyncio.gather(*calls)}) == 8


async def test_nobody_answers_in_time(secured: FakeOrchestrator) -> None:
    with pytest.raises(NodeUnreachable, match="refused"):
        await get_orchestrator_info("http://127.0.0.1:9")
    with pytest.raises(NodeUnreachable, match="refused"):
        await get_orchestrator_info("https://127.0.0.1:9", trust=TrustStore(None))

    open_connections: set[asyncio.Task[object]] = set()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        open_connections.add(task)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for scheme in ("http", "https"):
            with pytest.raises(JobTimeout, match=r"0\.3 s"):
                await get_orchestrator_info(f"{scheme}://127.0.0.1:{port}", timeout_s=0.3)
        # Nothing is left open.
        _, still_open = await asyncio.wait(open_connections, timeout=20)
        assert not still_open
    async with fake_orchestrator({}) as without:
        with pytest.raises(NodeUnreachable):
            await get_orchestrator_info(without.url)


async def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc", None)
    monkeypatch.delitem(sys.modules, "livepeer.client._net.grpc", raising=False)
    monkeypatch.delattr("livepeer.client._net.grpc", raising=False)
    with pytest.raises(MissingExtra, match=r"livepeer-client\[grpc\]"):
        await get_orchestrator_info("http://127.0.0.1:9")


async def test_wrong_arguments() -> None:
    with pytest.raises(ConfigError, match="url"):
        await get_orchestrator_info("127.0.0.1:8935")
    with pytest.raises(ConfigError, match="timeout_s"):
        await get_orchestrator_info("http://127.0.0.1:9", timeout_s=0)
    with pytest.raises(ConfigError, match="pipeline"):
        await get_orchestrator_info("http://127.0.0.1:9", capabilities=["noop"])
