"""gRPC and HTTP on the orchestrator's one port."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from livepeer.runner._local import jobs
from livepeer.runner._local._proto import local_pb2 as pb
from livepeer.runner._local.keys import ThrowAwayKey

if TYPE_CHECKING:
    from conftest import MakeNetwork, Network

VECTORS = Path(__file__).parents[4] / "tests" / "conformance" / "vectors"
NO_ONE = "http://127.0.0.1:1"


GOLDEN = {
    name: row["outputs"]
    for name, row in json.loads((VECTORS / "network.json").read_text())["vectors"].items()
}


async def ask(network: Network, **fields: Any) -> Any:
    """GetOrchestrator, as any gRPC client calls it."""
    return await ask_raw(network, pb.OrchestratorRequest(**fields).SerializeToString())


async def ask_raw(network: Network, request: bytes) -> Any:
    async with grpc.aio.insecure_channel(network.orchestrator.removeprefix("http://")) as channel:
        call = channel.unary_unary(
            "/net.Orchestrator/GetOrchestrator",
            request_serializer=bytes,
            response_deserializer=pb.OrchestratorInfo.FromString,
        )
        return await call(request, timeout=20)


def signed(key: ThrowAwayKey) -> dict[str, bytes]:
    return {
        "address": jobs.address_bytes(key.address),
        "sig": jobs.signature_bytes(key.sign(key.address.encode())),
    }


async def test_off_chain_anybody_is_told_and_nothing_is_paid(network: Network) -> None:
    await network.register("c1", NO_ONE, price_per_unit=7)
    info = await ask(network)
    assert info.transcoder == network.orchestrator
    assert not info.HasField("price_info")
    assert not info.HasField("ticket_params")
    assert info.address == b""
    assert (len(info.auth_token.token), len(info.auth_token.session_id)) == (32, 8)
    assert 1700 <= info.auth_token.expiration - time.time() <= 1800
    prices = [(p.pricePerUnit, p.capability, p.constraint) for p in info.capabilities_prices]
    assert prices == [(7, 37, "c1")]


async def test_who_charges_wants_a_signature_and_gives_parameters(
    make_network: MakeNetwork,
) -> None:
    async with make_network(charge=True) as network:
        await network.register("c1", NO_ONE, price_per_unit=7)
        key = ThrowAwayKey()
        info = await ask(network, **signed(key))
        assert len(info.address) == 20
        assert info.ticket_params.recipient == info.address
        assert (info.price_info.pricePerUnit, info.price_info.pixelsPerUnit) == (0, 1)
        asked = pb.Capabilities(capacities={37: 1})
        asked.constraints.PerCapability[37].models["c1"].warm = False
        assert not (await ask(network, capabilities=asked, **signed(key))).capabilities_prices


async def test_golden_requests_are_taken_and_refused(make_network: MakeNetwork) -> None:
    by_k1 = bytes.fromhex(GOLDEN["orchestrator_request_signed"]["hex"])
    anonymous = bytes.fromhex(GOLDEN["orchestrator_request_offchain_anonymous"]["hex"])
    lower = pb.OrchestratorRequest.FromString(by_k1)
    lower.sig = jobs.signature_bytes(GOLDEN["sign_orchestrator_info_WRONG_lowercase"]["signature"])
    async with make_network() as network:
        assert (await ask_raw(network, anonymous)).transcoder == network.orchestrator
    async with make_network(verify=True) as network:
        assert (await ask_raw(network, by_k1)).transcoder == network.orchestrator
        for wrong in (lower.SerializeToString(), anonymous):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await ask_raw(network, wrong)
            assert refused.value.code() is grpc.StatusCode.UNKNOWN
            assert "orchestrator req sig check failed" in str(refused.value.details())


async def test_the_branch_with_the_other_signature_prices_a_capability(
    make_network: MakeNetwork,
) -> None:
    async with make_network(charge=True, signature="v1") as network:
        await network.register("c1", NO_ONE, price_per_unit=7)
        asked = pb.Capabilities(capacities={37: 1})
        asked.constraints.PerCapability[37].models["c1"].warm = False
        info = await ask(network, capabilities=asked, **signed(ThrowAwayKey()))
        assert info.price_info.pricePerUnit == 7
        assert info.ticket_params.face_value


async def test_http_and_grpc_share_the_port(network: Network) -> None:
    calls = [ask(network) for _ in range(5)]
    pages = [network.ask("GET", network.orchestrator + "/discovery") for _ in range(5)]
    told = await asyncio.gather(*calls, *pages)
    assert all(info.transcoder == network.orchestrator for info in told[:5])
    for answer in told[5:]:
        assert (answer.status, json.loads(answer.body)) == (
            200,
            [{"address": network.orchestrator}],
        )


async def test_the_first_bytes_may_come_one_by_one(network: Network) -> None:
    host, port = network.orchestrator.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    for byte in b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    async with asyncio.timeout(20):
        assert await reader.readline() == b"HTTP/1.1 404 Not Found\r\n"
    writer.close()
    await writer.wait_closed()


async def test_connections_that_say_nothing_end_with_the_network(
    make_network: MakeNetwork,
) -> None:
    async with make_network() as network:
        host, port = network.orchestrator.removeprefix("http://").split(":")
        silent, writer = await asyncio.open_connection(host, int(port))
        channel = grpc.aio.insecure_channel(f"{host}:{port}")
        async with asyncio.timeout(20):
            await channel.channel_ready()
    async with asyncio.timeout(20):
        assert await silent.read() == b""
    writer.close()
    await channel.close()


async def test_without_grpc_the_connection_closes_and_http_goes_on(
    network: Network, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "grpc.aio", None)
    host, port = network.orchestrator.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()
    assert "pip install 'livepeer-runner[verify]'" in caplog.text
    assert (await network.ask("GET", network.orchestrator + "/discovery")).status == 200


def test_nothing_of_grpc_is_loaded_before_it_is_wanted() -> None:
    code = (
        "import asyncio, sys; from livepeer.runner._local.network import LocalNetwork\n"
        "async def main():\n"
        "    async with LocalNetwork(): pass\n"
        "asyncio.run(main())\n"
        "print([n for n in sys.modules if n.split('.')[0] in ('grpc', 'google', 'eth_keys')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
