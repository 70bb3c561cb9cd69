"""Batch calls: types, bytes, files, progress, and what a gateway says by saying nothing."""

from __future__ import annotations

import asyncio
import base64
import json
from contextlib import suppress
from email import message_from_bytes
from typing import TYPE_CHECKING

import pytest
from pydantic import BaseModel, Field

from livepeer.client import (
    CallProgress,
    Capability,
    Client,
    ConfigError,
    InvalidAnswer,
    InvalidJob,
    NoOrchestrator,
    RunnerError,
    StreamError,
)
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    RunnerRequest,
    fake_gateway,
    fake_orchestrator,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from livepeer.client.testing import FakeGateway, FakeOrchestrator

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 400
SCHEMA = {"name": "hello", "endpoints": {"/predict": {}}, "$defs": {}}


class Hello(BaseModel):
    name: str
    volume: int = Field(default=1, alias="loudness")


class Greeting(BaseModel):
    text: str


HELLO = Capability("hello", Hello, Greeting)
COUNT = Capability("hello", dict[str, int], Greeting, route="count")


async def hello(request: RunnerRequest) -> RunnerReply:
    match request.path:
        case "/predict":
            return RunnerReply.json({"text": f"Hello, {json.loads(request.body)['name']}!"})
        case "/count":
            texts = [json.dumps({"text": str(n)}) for n in range(json.loads(request.body)["to"])]
            return RunnerReply.events(_events([*texts, "[DONE]"]))
        case "/wrong":
            return RunnerReply.json({"texts": []})
        case "/schema":
            return RunnerReply.json(SCHEMA)
        case "/picture":
            return RunnerReply(body=PNG, content_type="image/png")
        case "/slow":
            await asyncio.sleep(20)
            return RunnerReply.json("late")
        case "/busy":
            return RunnerReply.json({"detail": "busy"}, status=503)
        case "/none":
            return RunnerReply.json({"detail": "not found"}, status=404)
        case _:
            return RunnerReply(body=request.body, content_type="application/octet-stream")


async def _events(texts: list[str]) -> AsyncIterator[bytes]:
    for text in texts:
        yield f"data: {text}\n\n".encode()


@pytest.fixture
async def node() -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({"hello": FakeCapability(hello)}) as node:
        yield node


@pytest.fixture
async def gateway(node: FakeOrchestrator) -> AsyncIterator[FakeGateway]:
    async with fake_gateway([node]) as gateway:
        yield gateway


@pytest.fixture(params=["gateway", "orchestrator"])
async def client(
    request: pytest.FixtureRequest, gateway: FakeGateway, node: FakeOrchestrator
) -> AsyncIterator[Client]:
    """Both ways: what is typed and sent is the same."""
    direct = request.param == "orchestrator"
    async with Client(orchestrators=[node.url]) if direct else Client(gateway=gateway.url) as it:
        yield it


async def test_a_typed_call(client: Client) -> None:
    answer = await client.call(HELLO, Hello(name="Ada"))
    assert answer == Greeting(text="Hello, Ada!")
    assert await client.call("hello", {"name": "Bo"}, returns=Greeting) == Greeting(
        text="Hello, Bo!"
    )
    assert await client.call("hello", {"name": "Bo"}, returns=dict[str, str]) == {
        "text": "Hello, Bo!"
    }
    items = [item async for item in client.call_events(COUNT, {"to": 3})]
    assert items == [Greeting(text="0"), Greeting(text="1"), Greeting(text="2")]


async def test_an_answer_of_another_type_names_the_field(client: Client) -> None:
    with pytest.raises(InvalidAnswer, match=r"no Greeting: text: Field required"):
        await client.call("hello", route="wrong", returns=Greeting)
    with pytest.raises(InvalidJob, match=r"payload.*no dict"):
        await client.call(COUNT, {"to": "many"})  # type: ignore[dict-item] - on purpose


async def test_bytes_in_and_out(client: Client, tmp_path: Path) -> None:
    assert await client.call("hello", PNG, route="echo", returns=bytes) == PNG
    async with client.open_call("hello", route="picture") as answer:
        size = await answer.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == PNG
    assert size == len(PNG)
    with pytest.raises(InvalidAnswer, match="not JSON"):
        await client.call("hello", route="picture")
    with pytest.raises(StreamError, match="call_events"):
        await client.call("hello", {"to": 1}, route="count", returns=bytes)


async def test_an_answer_that_is_too_large_leaves_no_file(client: Client, tmp_path: Path) -> None:
    async with client.open_call("hello", route="picture") as answer:
        with pytest.raises(InvalidAnswer, match="larger than 1000 bytes"):
            await answer.save(tmp_path / "out.png", max_bytes=1000)
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240 - a test's own folder


async def test_the_content_type_is_told(gateway: FakeGateway, node: FakeOrchestrator) -> None:
    async with Client(gateway=gateway.url) as client:
        await client.call("hello", b"{}", route="echo")
        assert gateway.seen[-1].headers["content-type"] == "application/octet-stream"
        await client.call("hello", b"1", route="echo", content_type="image/png")
        assert gateway.seen[-1].headers["content-type"] == "image/png"
        await client.call("hello", route="echo")
        assert gateway.seen[-1].body == b"{}"
        assert gateway.seen[-1].headers["content-type"] == "application/json"
    async with (
        Client(orchestrators=[node.url]) as direct,
        direct.open_call("hello", route="picture") as answer,
    ):
        assert answer.content_type == "image/png"
        assert b"".join([chunk async for chunk in answer.chunks()]) == PNG


async def test_a_form_with_files(gateway: FakeGateway, tmp_path: Path) -> None:
    # Larger than a piece, so that it goes out in several.
    data = bytes(range(256)) * 4096
    (tmp_path / 'a "b".png').write_bytes(data)
    async with Client(gateway=gateway.url) as client:
        await client.call(
            "hello",
            {"text": "é", "level": 9, "tags": ["x"]},
            route="echo",
            returns=bytes,
            files={"image": tmp_path / 'a "b".png', "more": [b"one", ("two.txt", b"2")]},
        )
    seen = gateway.seen[-1]
    assert int(seen.headers["content-length"]) == len(seen.body)
    kind = seen.headers["content-type"].encode()
    form = message_from_bytes(b"Content-Type: " + kind + b"\r\n\r\n" + seen.body)
    parts = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part["content-type"],
            part.get_payload(decode=True),
        )
        for part in form.get_payload()  # type: ignore[union-attr] - it has parts
    ]
    assert parts == [
        ("text", None, None, "é".encode()),
        ("level", None, "application/json", b"9"),
        ("tags", None, "application/json", b'["x"]'),
        ("image", "a %22b%22.png", "image/png", data),
        ("more", "more", "application/octet-stream", b"one"),
        ("more", "two.txt", "text/plain", b"2"),
    ]


async def test_what_cannot_be_sent_is_named(client: Client, tmp_path: Path) -> None:
    gone = tmp_path / "gone.png"
    for files, words in (
        ({"image": gone}, "'image' is not there"),
        ({"image": tmp_path}, "'image' is not there, or no file"),
        ({"image": "a.png"}, "pathlib.Path"),
    ):
        with pytest.raises(InvalidJob, match=words):
            await client.call("hello", files=files)  # type: ignore[arg-type] - on purpose
    short = tmp_path / "short.bin"
    short.write_bytes(b"123")

    def shorten(progress: CallProgress) -> None:
        short.write_bytes(b"1")

    with pytest.raises(InvalidJob, match="changed while it was sent"):
        await client.call("hello", files={"image": short}, on_progress=shorten)
    with pytest.raises(ZeroDivisionError):
        await client.call("hello", on_progress=lambda progress: divmod(1, progress.bytes))
    with pytest.raises(InvalidJob, match="content_type"):
        await client.call("hello", {}, content_type="image/png")
    with pytest.raises(InvalidJob, match="content_type"):
        await client.call("hello", b"", content_type="image/png\r\nX: 1")
    with pytest.raises(InvalidJob, match="mapping"):
        await client.call("hello", [1], files={"image": b""})
    with pytest.raises(InvalidJob, match="`payload` cannot be written"):
        await client.call("hello", {"a": object()})


async def test_progress(client: Client) -> None:
    seen: list[CallProgress] = []
    await client.call("hello", PNG, route="echo", returns=bytes, on_progress=seen.append)
    phases = list(dict.fromkeys(progress.phase for progress in seen))
    assert phases == ["uploading", "waiting", "receiving"]
    sent = [progress.bytes for progress in seen if progress.phase == "uploading"]
    assert (sent[0], sent[-1], sent) == (0, len(PNG), sorted(sent))
    assert {progress.total for progress in seen if progress.phase == "uploading"} == {len(PNG)}
    assert seen[-1].bytes == len(PNG)


async def test_the_schema_of_a_capability(client: Client) -> None:
    assert await client.schema("hello") == SCHEMA


async def test_a_runner_that_does_not_describe_itself() -> None:
    async def mute(request: RunnerRequest) -> RunnerReply:
        return RunnerReply.json("hello")

    async with (
        fake_orchestrator({"hello": FakeCapability(mute)}) as node,
        Client(orchestrators=[node.url]) as client,
    ):
        with pytest.raises(InvalidAnswer, match="description"):
            await client.schema("hello")


async def test_an_empty_success_says_what_can_be_said(gateway: FakeGateway) -> None:
    async with Client(gateway=gateway.url) as client:
        with pytest.raises(
            NoOrchestrator, match=r"'hello'.*503.*straight to orchestrators"
        ) as caught:
            await client.call("hello", route="busy")
        assert caught.value.status == 200
        with pytest.raises(RunnerError, match="404"):
            await client.call("hello", route="none")


async def test_the_gateways_word_comes_after_the_jobs_timeout(gateway: FakeGateway) -> None:
    # It is awaited: gateway and orchestrator need time of their own, to look for nodes and to tell.
    async with Client(gateway=gateway.url) as client:
        with pytest.raises(NoOrchestrator, match="longer than `timeout_s`, 1"):
            await client.call("hello", route="slow", timeout_s=1)


async def test_every_header_is_plain_base64_of_json(gateway: FakeGateway) -> None:
    async with Client(gateway=gateway.url) as client:
        # Some lengths need padding, and some bytes the two letters in which alphabets differ.
        for timeout_s in (1, 10, 100, 3000):
            await client.call("hello", {"name": "?>~ÿ"}, timeout_s=timeout_s)
            header = gateway.seen[-1].headers["livepeer"]
            fields = json.loads(base64.b64decode(header, validate=True))
            assert fields["timeout_seconds"] == timeout_s
            assert (fields["request"], fields["parameters"]) == ("{}", "{}")


@pytest.mark.parametrize("end", [b"data: [DONE]\n", b"data: [DONE]\n\n" + b"\n" * 100_000])
async def test_the_connection_is_closed_at_the_end_of_a_stream(end: bytes) -> None:
    """A gateway writes no blank line after the end, and both relays go on talking."""
    closed = asyncio.Event()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n{}")
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Orchestrator-Url: x\r\n"
        writer.write(head + b"\r\ndata: 1\n\ndata: 2\n\n" + end)
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        closed.set()

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    url = "http://{}:{}".format(*server.sockets[0].getsockname())
    async with server, Client(gateway=url) as client:
        async with asyncio.timeout(20):
            assert [item async for item in client.call_events("hello")] == [1, 2]
            await closed.wait()


async def test_many_calls_at_once_and_none_lost(gateway: FakeGateway) -> None:
    async with Client(gateway=gateway.url) as client:
        calls = [client.call("hello", {"name": str(n)}) for n in range(500)]
        answers = await asyncio.gather(*calls)
    assert answers == [{"text": f"Hello, {n}!"} for n in range(500)]


def test_options_that_do_not_go_together() -> None:
    for options, words in (
        ({}, r"`gateway='http.*`orchestrators="),
        ({"gateway": "http://a", "orchestrators": ["http://b"]}, "`orchestrators` exclude"),
        ({"gateway": "http://a", "max_spend": 0}, "`max_spend` exclude"),
        ({"gateway": "http://a", "signer": "http://b"}, "`signer` exclude"),
        ({"orchestrators": ["http://a"], "signer_headers": {"a": "b"}}, "signer_headers"),
        ({"orchestrators": ["http://a"], "max_price_per_s": -1}, "max_price_per_s"),
        ({"access_token": "nonsense"}, "access_token"),
        ({"gateway": "a"}, "`gateway` must be a URL"),
    ):
        with pytest.raises(ConfigError, match=words):
            Client(**options)  # type: ignore[arg-type] - on purpose
