"""TLS, gRPC beside it, kills and restarts of the fake orchestrator; and the discovery URL."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

import aiohttp
import grpc
import grpc.aio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from livepeer.client._proto import livepeer_pb2 as pb
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    RunnerRequest,
    fake_discovery,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from conftest import Caller

METHOD = "/net.Orchestrator/GetOrchestrator"


async def ok(_request: RunnerRequest) -> RunnerReply:
    return RunnerReply.json({})


async def certificate(url: str) -> x509.Certificate:
    port = int(url.rpartition(":")[2])
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode())


async def ask(channel: grpc.aio.Channel) -> pb.OrchestratorInfo:
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
    return pb.OrchestratorInfo.FromString(await call(b"", timeout=10))


async def info(url: str, pem: bytes) -> pb.OrchestratorInfo:
    credentials = grpc.ssl_channel_credentials(pem)
    async with grpc.aio.secure_channel(url.removeprefix("https://"), credentials) as channel:
        return await ask(channel)


async def test_a_certificate_of_its_own_making(caller: Caller) -> None:
    async with fake_orchestrator({}, verify=False, tls=True, grpc=True) as node:
        assert node.url.startswith("https://127.0.0.1:")
        first = await certificate(node.url)
        assert first.subject == first.issuer == x509.Name([])
        key = first.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert key.curve.name == "secp256r1"
        names = first.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.DNSName("127.0.0.1")]
        assert first.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await caller.http.get(f"{node.url}/process/token")
        pem = first.public_bytes(Encoding.PEM)
        assert (await info(node.url, pem)).transcoder == node.url
        async with caller.http.get(f"{node.url}/process/token", ssl=False) as response:
            assert response.status == 400
        node.host.renew_certificate("other.example")
        second = await certificate(node.url)
        assert second != first
        with pytest.raises(grpc.aio.AioRpcError, match="CERTIFICATE_VERIFY_FAILED"):
            await info(node.url, pem)
        await node.restart()
        third = await certificate(node.url)
        assert third not in (first, second)
        names = third.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert list(names) == [x509.DNSName("other.example")]
    async with fake_orchestrator({}, verify=False) as node:
        with pytest.raises(ValueError, match="tls=True"):
            node.host.renew_certificate()


async def test_a_kill_resets_and_a_restart_forgets(caller: Caller) -> None:
    gate = asyncio.Event()
    seen = asyncio.Event()

    async def wait(request: RunnerRequest) -> RunnerReply:
        if request.path == "/stream/start":
            return RunnerReply.json({})
        seen.set()
        await gate.wait()
        return RunnerReply.json({})

    async with fake_orchestrator({"x": FakeCapability(wait)}) as node:
        url, stream = node.url, {"id_": "s", "request": '{"stream_id":"s"}', "capability": "x"}
        assert (await caller.run(node, "/ai/stream/start", **stream))[0] == 200
        call = asyncio.create_task(caller.run(node, "/process/request/a", capability="x"))
        await seen.wait()
        await node.kill()
        with pytest.raises(aiohttp.ClientConnectionError):
            await call
        with pytest.raises(aiohttp.ClientConnectorError):
            await caller.run(node, "/process/request/a", capability="x")
        node.set_balance(caller.key.address, "x", 5)
        await node.open()
        assert node.url == url
        assert (await caller.token(node, "x"))["balance"] == 5
        await node.restart()
        assert "balance" not in await caller.token(node, "x")
        assert node.url == url
        assert node.streams == set()
        assert not node.trickle.has_channel("s-control")
        gate.set()
        assert (await caller.run(node, "/process/request/a", capability="x"))[0] == 200


async def test_without_grpc_http2_is_reset(caller: Caller) -> None:
    async with fake_orchestrator({}, verify=False) as node:
        async with grpc.aio.insecure_channel(node.url.removeprefix("http://")) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await ask(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        node.runners = [{"url": f"{node.url}/apps/a", "app": "a"}]
        async with caller.http.get(f"{node.url}/discovery") as response:
            assert await response.json() == [{"address": node.url, "runners": node.runners}]
        node.faults.answer(503, "no", path="/discovery")
        node.faults.drop(path="/payment")
        async with caller.http.get(f"{node.url}/discovery") as response:
            assert (response.status, await response.text()) == (503, "no\n")
        with pytest.raises(aiohttp.ClientConnectionError):
            await caller.post(f"{node.url}/payment")


async def test_a_discovery_url(caller: Caller) -> None:
    async with fake_discovery([{"address": "https://a"}, "junk"], headers={"X-Key": "k"}) as found:
        async with caller.http.get(found.url) as response:
            assert response.status == 401
        async with caller.http.get(f"{found.url}?caps=x", headers={"X-Key": "k"}) as response:
            assert await response.json() == [{"address": "https://a"}, "junk"]
        assert [request.path for request in found.seen] == ["/discover", "/discover?caps=x"]
        assert found.seen[1].headers["x-key"] == "k"
        found.faults.answer(503)
        async with caller.http.get(found.url) as response:
            assert response.status == 503


async def test_signers_and_lists_that_nobody_vouches_for(caller: Caller) -> None:
    async with fake_signer(tls=True) as signer, fake_discovery([], tls=True) as found:
        for url in (f"{signer.url}/discover-orchestrators", found.url):
            with pytest.raises(aiohttp.ClientConnectorCertificateError):
                await caller.http.get(url)
        status, _, _ = await caller.post(f"{signer.url}/sign-orchestrator-info")
        assert status == 200
