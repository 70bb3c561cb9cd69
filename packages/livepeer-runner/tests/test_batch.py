"""POST /predict, over real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator  # noqa: TC003 - read at run time
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import HTTPException
from pydantic import Base64Bytes, BaseModel, Field

from livepeer.runner import Pipeline
from livepeer.runner.testing import serve


class Part(BaseModel):
    size: int


class Result(BaseModel):
    parts: list[Part]


class Echo(Pipeline):
    """Says it again."""

    def predict(self, text: Annotated[str, Field(description="What to say")]) -> str:
        """Say it."""
        return text


class Order(BaseModel):
    parts: list[Part]


class Typed(Pipeline):
    async def predict(self, order: Order) -> Result:
        return Result(parts=order.parts)


class Failing(Pipeline):
    def predict(self, how: str) -> str:
        if how == "http":
            raise HTTPException(402, "pay first")
        if how == "unauthorized":
            raise HTTPException(401, "who are you")
        if how == "stop":
            return next(iter(()))
        if how == "exit":
            raise SystemExit(3)
        raise ValueError("broke")


class Binary(Pipeline):
    def predict(self, image: Base64Bytes) -> Base64Bytes:
        return image[::-1]


class Slow(Pipeline):
    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.go = threading.Event()

    def predict(self, n: int) -> int:
        self.running += 1
        self.most = max(self.most, self.running)
        self.go.wait(10)
        self.running -= 1
        return n


class Stream(Pipeline):
    """A sync generator; `closed` tells that it was closed, `threads` where it ran."""

    def __init__(self) -> None:
        self.closed = threading.Event()
        self.produced = 0
        self.threads = set[int]()

    def predict(self, n: int, wait_s: float = 0, fail_at: int = -1) -> Iterator[dict[str, int]]:
        try:
            for i in range(n):
                time.sleep(wait_s)
                if i == fail_at:
                    raise HTTPException(418, "teapot")
                self.produced += 1
                self.threads.add(threading.get_ident())
                yield {"i": i}
        finally:
            self.closed.set()


class AsyncStream(Pipeline):
    def __init__(self) -> None:
        self.closed = asyncio.Event()
        self.produced = 0

    async def predict(
        self, n: int, wait_s: float = 0, fail_at: int = -1
    ) -> AsyncIterator[dict[str, int]]:
        try:
            for i in range(n):
                await asyncio.sleep(wait_s)
                if i == fail_at:
                    raise HTTPException(418, "teapot")
                self.produced += 1
                yield {"i": i}
        finally:
            self.closed.set()


class Text(Pipeline):
    def predict(self, text: str, times: int = 1) -> Iterator[str]:
        for _ in range(times):
            yield text


STREAMS = pytest.mark.parametrize("kind", [Stream, AsyncStream])


async def post(url: str, body: object, **headers: str) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession(skip_auto_headers=["Content-Type"]) as session,
        session.post(url + "/predict", data=data, headers=headers) as response,
    ):
        return response.status, json.loads(await response.read())


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(3):
        while not condition():  # noqa: ASYNC110 - what threads do sets no event of the loop's
            await asyncio.sleep(0.01)


async def events(url: str, body: object) -> list[str]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/predict", json=body) as response,
    ):
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream"
        text = await response.text()
    assert text.endswith("\n\n")
    return text.removesuffix("\n\n").split("\n\n")


def detail_of(event: str) -> object:
    kind, data = event.split("\n")
    assert kind == "event: error"
    return json.loads(data.removeprefix("data: "))["detail"]


async def test_any_content_type_is_json():
    raw = (
        b"POST /predict HTTP/1.1\r\nHost: r\r\nUser-Agent: Go-http-client/1.1\r\n"
        b"Content-Length: 14\r\n%sAccept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        b'{"text":"abc"}'
    )
    async with serve(Echo()) as server:
        port = int(server.url.rsplit(":", 1)[1])
        for line in (b"", b"Content-Type:\r\n", b"Content-Type: text/plain\r\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(raw % line)
            answer = await reader.read()
            writer.close()
            await writer.wait_closed()
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"content-type: application/json\r\n" in answer.lower()
            assert answer.endswith(b'\r\n\r\n"abc"')


async def test_models_in_and_out():
    async with serve(Typed()) as server:
        body = {"parts": [{"size": 1}, {"size": 2}]}
        assert await post(server.url, body) == (200, body)
        status, answer = await post(server.url, {"parts": [{"size": "x"}]})
        assert status == 422
        assert answer["detail"][0]["loc"] == ["body", "parts", 0, "size"]


async def test_binary_is_base64_both_ways():
    async with serve(Binary()) as server:
        assert await post(server.url, {"image": "AAEC"}) == (200, "AgEA")


async def test_refusals_have_one_shape():
    async with serve(Echo(), max_body_bytes=1000) as server:
        for body, expected in (
            (b"{", 400),
            (b"", 422),
            ({"text": 5}, 422),
            ({"text": "a", "x": 1}, 422),
            ({"text": "a" * 2000}, 413),
        ):
            status, answer = await post(server.url, body)
            assert (status, list(answer)) == (expected, ["detail", "type", "request_id"])

        async def chunks() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b'"' * 100

        async with (
            aiohttp.ClientSession() as session,
            session.post(server.url + "/predict", data=chunks()) as response,
        ):
            assert response.status == 413


@pytest.mark.parametrize(
    ("how", "status", "word"),
    [
        ("http", 402, "pay first"),
        ("unauthorized", 403, "who are you"),  # a 401 would unregister the capability
        ("value", 500, "ValueError: broke"),
        ("stop", 500, "StopIteration"),
        ("exit", 500, "SystemExit"),
    ],
)
async def test_the_authors_exceptions(how: str, status: int, word: str):
    async with serve(Failing()) as server:
        for _ in range(2):  # the process stays up
            found, answer = await post(server.url, {"how": how})
            assert found == status
            assert word in answer["detail"]


async def test_admission_is_bounded_and_the_loop_is_free():
    slow = Slow()
    async with serve(slow, concurrency=2, queue=1) as server:
        async with asyncio.TaskGroup() as group:
            calls = [group.create_task(post(server.url, {"n": i})) for i in range(3)]
            await until(lambda: slow.running == 2)
            await asyncio.sleep(0.1)
            async with (
                aiohttp.ClientSession() as session,
                session.post(server.url + "/predict", json={"n": 9}) as response,
            ):
                assert response.status == 503
                assert response.headers["Retry-After"] == "1"
                assert "busy" in (await response.json())["detail"]
            slow.go.set()
        assert [call.result() for call in calls] == [(200, 0), (200, 1), (200, 2)]
        assert slow.most == 2
        assert await post(server.url, {"n": 5}) == (200, 5)


@STREAMS
async def test_generators_stream_and_end_with_done(kind: type[Pipeline]):
    async with serve(kind()) as server:
        assert await events(server.url, {"n": 2}) == [
            'data: {"i":0}',
            'data: {"i":1}',
            "data: [DONE]",
        ]
        assert await events(server.url, {"n": 0}) == ["data: [DONE]"]


async def test_a_sync_generator_stays_on_one_thread():
    stream = Stream()
    async with serve(stream, concurrency=4) as server:
        assert len(await events(server.url, {"n": 300})) == 301
    assert len(stream.threads) == 1


@STREAMS
async def test_an_early_failure_keeps_its_status(kind: type[Pipeline]):
    async with serve(kind()) as server:
        status, answer = await post(server.url, {"n": 3, "fail_at": 0})
        assert (status, answer["detail"]) == (418, "teapot")


@STREAMS
async def test_a_late_failure_is_an_error_event(kind: type[Pipeline]):
    async with serve(kind(), first_item_wait_s=0.02) as server:
        first, error, done = await events(server.url, {"n": 3, "fail_at": 1})
        assert first == 'data: {"i":0}'
        assert detail_of(error) == "teapot"
        assert done == "data: [DONE]"
        # Before the first item, but after the headers had to go out.
        error, done = await events(server.url, {"n": 3, "fail_at": 0, "wait_s": 0.2})
        assert detail_of(error) == "teapot"
        assert done == "data: [DONE]"


@STREAMS
async def test_headers_and_items_go_out_as_they_come(kind: type[Any]):
    pipeline = kind()
    async with (
        serve(pipeline, first_item_wait_s=0.05) as server,
        aiohttp.ClientSession() as session,
        session.post(server.url + "/predict", json={"n": 3, "wait_s": 0.3}) as response,
    ):
        assert pipeline.produced == 0  # the headers came before the first item
        assert await response.content.readline() == b'data: {"i":0}\n'
        assert pipeline.produced < 3
        async with session.get(server.url + "/health") as health:
            assert health.status == 200
        assert (await response.content.read()).endswith(b"data: [DONE]\n\n")


@STREAMS
async def test_a_caller_who_leaves_closes_the_generator(kind: type[Any]):
    pipeline = kind()
    async with serve(pipeline) as server:
        async with aiohttp.ClientSession() as session:
            response = await session.post(
                server.url + "/predict", json={"n": 10_000, "wait_s": 0.01}
            )
            await response.content.readline()
            response.close()
        await until(pipeline.closed.is_set)
        assert pipeline.produced < 1000
        assert (await events(server.url, {"n": 1}))[-1] == "data: [DONE]"  # the slot is free


async def test_the_marker_and_long_items():
    async with serve(Text()) as server:
        first, done = await events(server.url, {"text": "a [DONE] b"})
        assert "[DONE]" not in first
        assert json.loads(first.removeprefix("data: ")) == "a [DONE] b"
        assert done == "data: [DONE]"
        error, done = await events(server.url, {"text": "x" * 200_000})
        assert error.startswith("event: error\ndata: ")
        assert "65529" in error
        assert done == "data: [DONE]"


async def test_documents_show_the_real_fields():
    async with (
        serve(Typed()) as typed,
        serve(Stream()) as stream,
        serve(Echo()) as echo,
        aiohttp.ClientSession() as session,
    ):
        documents = []
        for server in (typed, stream, echo):
            async with session.get(server.url + "/openapi.json") as response:
                documents.append(await response.json())
            for page in ("/docs", "/redoc"):
                async with session.get(server.url + page) as response:
                    assert response.status == 200
    schemas = [document["components"]["schemas"] for document in documents]
    posts = [document["paths"]["/predict"]["post"] for document in documents]
    contents = [operation["responses"]["200"]["content"] for operation in posts]
    ref = "#/components/schemas/"
    assert posts[0]["requestBody"]["content"]["application/json"]["schema"] == {
        "$ref": ref + "Order"
    }
    assert contents[0] == {"application/json": {"schema": {"$ref": ref + "Result"}}}
    assert {"Order", "Result", "Part"} <= set(schemas[0])
    assert set(schemas[1]["StreamRequest"]["properties"]) == {"n", "wait_s", "fail_at"}
    assert list(contents[1]) == ["text/event-stream"]
    item = contents[1]["text/event-stream"]["x-livepeer-stream"]["item"]
    assert item["additionalProperties"] == {"type": "integer"}
    assert schemas[2]["EchoRequest"]["properties"]["text"]["description"] == "What to say"
    assert posts[2]["description"] == "Say it."


async def test_a_connection_is_kept():
    request = b'POST /predict HTTP/1.1\r\nHost: r\r\nContent-Length: 12\r\n\r\n{"text":"a"}'
    async with serve(Echo()) as server:
        port = int(server.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(2):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"connection: close" not in head.lower()
            assert await reader.readexactly(3) == b'"a"'
        writer.close()
        await writer.wait_closed()
