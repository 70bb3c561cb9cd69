"""Streams of events, byte for byte, on real sockets."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from contextlib import asynccontextmanager, suppress

import pytest

from livepeer.runner import Pipeline
from livepeer.runner._server.async_items import batches
from livepeer.runner.testing import Refused, batch_session, serve


class Own(BaseException):
    """Of the author's, and no `Exception`."""


class Words(Pipeline):
    """A sync generator."""

    def predict(self, words: list[str], pause_s: float = 0, fail: bool = False) -> Iterator[str]:
        for word in words:
            if pause_s:
                time.sleep(pause_s)
            yield word
        if fail:
            raise ValueError("broke at [DONE]")


class AsyncWords(Pipeline):
    async def predict(
        self, words: list[str], pause_s: float = 0, fail: bool = False
    ) -> AsyncIterator[str]:
        for word in words:
            if pause_s:
                await asyncio.sleep(pause_s)
            yield word
        if fail:
            raise ValueError("broke at [DONE]")


class Busy(Pipeline):
    """Computes for each item, and never lets go of the loop by itself."""

    async def predict(self, n: int) -> AsyncIterator[int]:
        for i in range(n):
            until = time.monotonic() + 0.05
            while time.monotonic() < until:
                pass
            yield i


class Endless(Pipeline):
    def __init__(self) -> None:
        self.made = 0
        self.closed = threading.Event()

    def predict(self) -> Iterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
        finally:
            self.closed.set()


class AsyncEndless(Endless):
    async def predict(self) -> AsyncIterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
        finally:
            self.closed.set()


KINDS = pytest.mark.parametrize("kind", [Words, AsyncWords])


@asynccontextmanager
async def asked(url: str, body: object) -> AsyncIterator[asyncio.StreamReader]:
    """A connection on which a request was made, with its answer from the body on."""
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"POST /predict HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n" % len(data))
    writer.write(b"X-Request-ID: golden\r\n\r\n" + data)
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"\r\ncontent-type: text/event-stream\r\n" in head
        yield reader
    finally:
        writer.transport.abort()


async def chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readline(), 16)
    return (await reader.readexactly(size + 2))[:-2]


async def whole(url: str, body: object) -> bytes:
    found = b""
    async with asked(url, body) as reader:
        while part := await chunk(reader):
            found += part
        with suppress(TimeoutError):
            async with asyncio.timeout(0.02):
                assert not await reader.read(1)  # nothing comes after the end
    return found


@KINDS
async def test_golden_bytes(kind: type[Pipeline]):
    async with serve(kind()) as server:
        assert await whole(server.url, {"words": ["a", 'b"\n', "é", "[DONE]"]}) == (
            b'data: "a"\n\n'
            b'data: "b\\"\\n"\n\n'
            b'data: "\xc3\xa9"\n\n'
            b'data: "\\u005bDONE]"\n\n'
            b"data: [DONE]\n\n"
        )
        assert await whole(server.url, {"words": []}) == b"data: [DONE]\n\n"
        assert await whole(server.url, {"words": ["a", "b"], "fail": True}) == (
            b'data: "a"\n\n'
            b'data: "b"\n\n'
            b"event: error\n"
            b'data: {"detail":"ValueError: broke at \\u005bDONE]","type":"ValueError",'
            b'"request_id":"golden"}\n\n'
            b"data: [DONE]\n\n"
        )


@KINDS
async def test_items_before_one_that_no_line_can_hold(kind: type[Pipeline]):
    async with serve(kind()) as server:
        found = await whole(server.url, {"words": ["a", "b", "x" * 70_000, "c"]})
    first, second, error, done, rest = found.split(b"\n\n")
    assert (first, second) == (b'data: "a"', b'data: "b"')
    assert error.startswith(b"event: error\ndata: ")
    assert b"65529" in error
    assert (done, rest) == (b"data: [DONE]", b"")


@KINDS
async def test_silence_is_filled_with_comments(kind: type[Pipeline]):
    async with serve(kind(), sse_keep_alive_s=0.1, first_item_wait_s=0.05) as server:
        found = await whole(server.url, {"words": ["a", "b"], "pause_s": 1.2})
    assert found.replace(b": keep-alive\n\n", b"") == b'data: "a"\n\ndata: "b"\n\ndata: [DONE]\n\n'
    before, between, after = found.split(b"data: ", 2)
    assert 2 <= before.count(b": keep-alive\n\n") <= 12
    assert 2 <= between.count(b": keep-alive\n\n") <= 12
    assert b"keep-alive" not in after


@KINDS
async def test_no_comment_where_items_come(kind: type[Pipeline]):
    async with serve(kind(), sse_keep_alive_s=1, first_item_wait_s=0.05) as server:
        found = await whole(server.url, {"words": ["a"] * 30, "pause_s": 0.05})
    assert b"keep-alive" not in found


@KINDS
async def test_items_that_are_ready_go_together_and_the_first_alone(kind: type[Pipeline]):
    n = 2000
    async with (
        serve(kind()) as server,
        asked(server.url, {"words": ["a"] * n}) as reader,
    ):
        parts = []
        while part := await chunk(reader):
            parts.append(part.count(b"data: "))
    assert parts[0] == 1
    assert sum(parts) == n + 1
    assert len(parts) < n / 8
    assert max(parts) * len(b'data: "a"\n\n') < 2 * 64 * 1024


@KINDS
async def test_an_item_waits_for_no_other(kind: type[Pipeline]):
    async with (
        serve(kind()) as server,
        asked(server.url, {"words": ["a", "b", "c"], "pause_s": 0.4}) as reader,
    ):
        for word in (b'"a"', b'"b"', b'"c"'):
            assert await chunk(reader) == b"data: %s\n\n" % word


async def test_a_generator_that_computes_gives_each_item_at_once():
    async with serve(Busy()) as server, asked(server.url, {"n": 10}) as reader:
        assert await chunk(reader) == b"data: 0\n\n"
        began = time.monotonic()
        assert await chunk(reader) == b"data: 1\n\n"
        second = time.monotonic() - began
        while await chunk(reader):
            pass
        assert second < (time.monotonic() - began) / 2, "they came together"


@pytest.mark.parametrize("kind", [Endless, AsyncEndless])
async def test_a_caller_who_reads_nothing_holds_the_generator_up(kind: type[Endless]):
    pipeline = kind()
    async with serve(pipeline) as server:
        async with asked(server.url, {}):
            made = -1
            async with asyncio.timeout(20):
                while made != pipeline.made:
                    made = pipeline.made
                    await asyncio.sleep(0.3)
            async with asked_health(server.url):
                pass
        async with asyncio.timeout(5):
            while not pipeline.closed.is_set():  # noqa: ASYNC110 - set on another thread
                await asyncio.sleep(0.005)
        assert pipeline.made <= made + 130  # what was ready, and one more batch


@asynccontextmanager
async def asked_health(url: str) -> AsyncIterator[None]:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"GET /health HTTP/1.1\r\nHost: r\r\nConnection: close\r\n\r\n")
    assert b" 200 OK" in await reader.readline()
    yield
    writer.transport.abort()


async def counted(n: int, pause_at: int = -1) -> AsyncIterator[int]:
    for i in range(n):
        if i == pause_at:
            await asyncio.sleep(0.05)
        yield i


def text(item: object) -> bytes:
    return str(item).encode()


async def test_batches_keep_order_and_lose_nothing():
    found = [batch async for batch in batches(counted(500, pause_at=250), text)]
    assert [int(item) for batch in found for item in batch] == list(range(500))
    assert len(found[0]) == 1
    assert all(found)


async def test_a_timeout_of_the_authors_ends_in_his_own_code():
    caught = []

    async def items() -> AsyncIterator[int]:
        yield 0
        try:
            async with asyncio.timeout(0.05):
                await asyncio.sleep(5)
        except TimeoutError:
            caught.append(True)
        yield 1

    assert [batch async for batch in batches(items(), text)] == [[b"0"], [b"1"]]
    assert caught == [True]


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_a_stream_that_ends_while_its_reader_is_away_has_ended(count: int):
    async with asyncio.timeout(20):
        found: list[bytes] = []
        async for batch in batches(counted(count, pause_at=-1), text):
            found += batch
            await asyncio.sleep(0.05)
    assert found == [b"%d" % i for i in range(count)]


async def test_a_slow_reader_is_no_delay_of_the_authors():
    held = []

    async def items() -> AsyncIterator[int]:
        for i in range(5):
            async with asyncio.timeout(0.5):
                await asyncio.sleep(0.01)
                held.append(i)
            yield i

    async with asyncio.timeout(20):
        source = batches(items(), text)
        found = [await anext(source)]
        await asyncio.sleep(0.7)
        assert len(held) > 1
        found += [batch async for batch in source]
    assert [int(item) for batch in found for item in batch] == list(range(5))


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Own])
async def test_what_is_no_exception_ends_the_stream_and_nothing_else(error: type[BaseException]):
    async def items() -> AsyncIterator[int]:
        yield 0
        await asyncio.sleep(0)
        raise error("no more")

    source = batches(items(), text)
    assert await anext(source) == [b"0"]
    with pytest.raises(RuntimeError, match=f"{error.__name__} was raised"):
        await anext(source)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, Own])
async def test_what_is_no_exception_fails_an_async_call_and_nothing_else(
    error: type[BaseException],
):
    class Odd(Pipeline):
        async def predict(self, fail: bool) -> str:
            if fail:
                raise error("no more")
            return "fine"

    async with batch_session(Odd) as session:
        with pytest.raises(Refused) as refused:
            await session.predict({"fail": True})
        assert refused.value.status == 500
        assert json.loads(refused.value.body)["type"] == "RuntimeError"
        assert await session.predict({"fail": False}) == "fine"


async def test_closing_in_the_middle_runs_the_authors_cleanup():
    log: list[str] = []

    async def items() -> AsyncIterator[int]:
        try:
            for i in range(10):
                yield i
                await asyncio.sleep(0.01 if i else 0)
        finally:
            await asyncio.sleep(0.01)
            log.append("closed")

    source = batches(items(), text)
    assert await anext(source) == [b"0"]
    assert await anext(source) == [b"1"]
    await source.aclose()
    assert log == ["closed"]


async def test_an_iterator_that_is_no_generator():
    class Three:
        def __init__(self) -> None:
            self.n = 0

        def __aiter__(self) -> Three:
            return self

        async def __anext__(self) -> int:
            self.n += 1
            if self.n > 3:
                raise StopAsyncIteration
            return self.n

    assert [batch async for batch in batches(Three(), text)] == [[b"1"], [b"2", b"3"]]
