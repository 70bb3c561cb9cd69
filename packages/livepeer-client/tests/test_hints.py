"""What is said of the usual mistakes: a wrong URL, kind, file or option."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    Client,
    ConfigError,
    GatewayError,
    InvalidKey,
    LocalSigner,
    NodeUnreachable,
    OrchestratorError,
    RunnerError,
    SignatureRefused,
    get_orchestrator_info,
)
from livepeer.client.cli._json import read_json
from livepeer.client.cli._network import client_of
from livepeer.client.cli._options import WayOptions
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    RunnerRequest,
    fake_gateway,
    fake_orchestrator,
)
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from conftest import Runner
    from livepeer.client.testing import FakeGateway, FakeOrchestrator

NOBODY = ("http://127.0.0.1:9",)


async def no_route(request: RunnerRequest) -> RunnerReply:
    del request
    return RunnerReply.json({"detail": "Not Found", "type": "NotFound"}, status=404)


@pytest.fixture
async def node() -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({"other": FakeCapability(no_route)}) as node:
        yield node


@pytest.fixture
async def gateway(node: FakeOrchestrator) -> AsyncIterator[FakeGateway]:
    async with fake_gateway([node]) as gateway:
        yield gateway


async def test_what_is_of_the_other_kind(
    node: FakeOrchestrator, gateway: FakeGateway, signer: LocalSigner
) -> None:
    async with (
        Client(orchestrators=[node.url], signer=signer) as direct,
        Client(gateway=gateway.url) as through,
    ):
        with pytest.raises(RunnerError, match="takes calls, not streams: use `call`") as caught:
            await direct.start_stream("other")
        assert (caught.value.status, caught.value.detail) == (404, "Not Found")
        for client in (direct, through):
            with pytest.raises(RunnerError, match="live pipeline takes streams"):
                await client.call("other")
        with pytest.raises(RunnerError) as caught:
            await direct.call("other", route="elsewhere")
        assert "takes" not in str(caught.value)


async def test_urls_that_are_swapped(
    node: FakeOrchestrator, gateway: FakeGateway, signer: LocalSigner, runner: Runner
) -> None:
    async with Client(orchestrators=[gateway.url], signer=signer) as client:
        with pytest.raises(OrchestratorError, match=r"no orchestrator.*--gateway.*a runner"):
            await client.call("other")
    async with Client(gateway=node.url) as client:
        with pytest.raises(SignatureRefused, match=r"a gateway.*--orchestrator"):
            await client.call("other")
    async with (
        fake_orchestrator({"echo": FakeCapability(runner)}, verify=False) as lenient,
        Client(gateway=lenient.url) as client,
    ):
        with pytest.raises(GatewayError, match=r"not a gateway's.*--orchestrator"):
            await client.call("echo")


async def test_what_speaks_no_tls(
    node: FakeOrchestrator, gateway: FakeGateway, signer: LocalSigner
) -> None:
    for client in (
        Client(orchestrators=[node.url.replace("http", "https")], signer=signer),
        Client(gateway=gateway.url.replace("http", "https")),
    ):
        async with client:
            with pytest.raises(NodeUnreachable, match="speaks no TLS; try http://"):
                await client.call("other")


async def test_what_speaks_no_grpc(gateway: FakeGateway, signer: LocalSigner) -> None:
    with pytest.raises(OrchestratorError, match="speaks no gRPC") as caught:
        await get_orchestrator_info(gateway.url, signer=signer)
    assert "HTTP/2" not in str(caught.value)


async def test_an_answer_that_is_cut_is_told_in_our_words() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = b"HTTP/1.1 200 OK\r\nX-Orchestrator-Url: http://o\r\nTransfer-Encoding: chunked\r\n"
        writer.write(head + b"\r\n5\r\nhal")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(cut, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    serving = asyncio.create_task(server.serve_forever())
    try:
        async with Client(gateway=f"http://127.0.0.1:{port}") as client:
            with pytest.raises(NodeUnreachable) as caught:
                await client.call("any")
    finally:
        await cancel_and_wait(serving)
    assert str(caught.value).startswith("the connection was cut (http://")


def test_files_in_the_place_of_something_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key.txt").write_text("no key", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"LocalSigner\.from_file.*--key-file"):
        Client(signer="key.txt")
    with pytest.raises(InvalidKey, match=r"^key.txt: ") as caught:
        LocalSigner.from_file("key.txt")
    assert "no key" not in str(caught.value)


@pytest.mark.parametrize(
    ("typed", "hint"),
    [
        ("p.json", "@p.json"),
        ("key", "@key"),
        ("{'name': 'Ada'}", "double"),
        ("hello", ""),
        ("{", ""),
    ],
)
def test_json_that_is_none(
    typed: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "key").touch()
    with pytest.raises(ValueError, match="no JSON") as caught:
        read_json(typed, "it")
    assert hint in str(caught.value)
    assert bool(hint) == ("; " in str(caught.value))


def test_limits_without_what_pays(tmp_path: Path) -> None:
    key = tmp_path / "key.txt"
    key.write_text("5c" * 32, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"^add --max-spend WEI"):
        client_of(WayOptions(orchestrator=list(NOBODY), key_file=key, max_price=20))
    with pytest.raises(ConfigError, match=r"--max-spend goes with .*--key-file, or --signer"):
        client_of(WayOptions(orchestrator=list(NOBODY), max_spend=20))
    client_of(WayOptions(signer="https://signer.example", max_spend=20))
    client_of(WayOptions(orchestrator=list(NOBODY), key_file=key, max_price=20, max_spend=20))


def test_media_without_its_extra() -> None:
    code = (
        "import sys; sys.modules['av'] = None\n"
        "from livepeer.client import MissingExtra\n"
        "try: import livepeer.client.media\n"
        "except MissingExtra as error: print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert "pip install 'livepeer-client[media]'" in ran.stdout, ran.stderr
