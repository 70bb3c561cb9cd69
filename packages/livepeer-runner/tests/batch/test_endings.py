"""Calls that nobody waits for any more, and calls for which there is no room; on real sockets."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator  # noqa: TC003 - read at run time
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner._context import context
from livepeer.runner._server.gate import Gate
from livepeer.runner.errors import AtCapacity
from livepeer.runner.testing import serve

TICK_S = 0.02


class Sync(Pipeline):
    """Counts what it does; `ended` tells that it is over."""

    def __init__(self) -> None:
        self.ticks = 0
        self.ended = 0

    def predict(self, n: int) -> int:
        for _ in range(n):
            if context.cancelled():
                break
            self.ticks += 1
            time.sleep(TICK_S)
        self.ended += 1
        return n


class Async(Sync):
    async def predict(self, n: int) -> int:
        try:
            for _ in range(n):
                self.ticks += 1
                await asyncio.sleep(TICK_S)
        finally:
            self.ended += 1
        return n


class SyncItems(Sync):
    def predict(self, n: int) -> Iterator[int]:
        try:
            for i in range(n):
                self.ticks += 1
                time.sleep(TICK_S)
                yield i
        finally:
            self.ended += 1


class AsyncItems(Sync):
    async def predict(self, n: int) -> AsyncIterator[int]:
        try:
            for i in range(n):
                self.ticks += 1
                await asyncio.sleep(TICK_S)
                yield i
        finally:
            self.ended += 1


class Deaf(Sync):
    """Never asks whether anybody waits."""

    def predict(self, n: int) -> int:
        for _ in range(n):
            self.ticks += 1
            time.sleep(TICK_S)
        self.ended += 1
        return n


class Stubborn(Sync):
    """Goes on when it is cancelled."""

    async def predict(self, n: int) -> int:
        for _ in range(n):
            self.ticks += 1
            try:
                await asyncio.sleep(TICK_S)
            except asyncio.CancelledError:
                await asyncio.sleep(10 * TICK_S)
        self.ended += 1
        return n


class Quitter(Pipeline):
    async def predict(self, how: str) -> str:
        if how == "cancelled":
            raise asyncio.CancelledError
        if how == "task":
            task = asyncio.create_task(asyncio.sleep(10))
            task.cancel()
            await task
        raise SystemExit(3)


class Named(Pipeline):
    def predict(self) -> str | None:
        return context.request_id


KINDS = pytest.mark.parametrize("kind", [Sync, Async, SyncItems, AsyncItems])


async def post(url: str, body: object, **headers: str) -> tuple[int, Any, dict[str, str]]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + "/predict", json=body, headers=headers) as response,
    ):
        text = await response.text()
        answer = json.loads(text) if response.content_type == "application/json" else text
        return response.status, answer, {k.lower(): v for k, v in response.headers.items()}


@asynccontextmanager
async def asking(url: str, body: object) -> AsyncIterator[asyncio.StreamReader]:
    """A request on a connection of its own, which is cut at the end."""
    data = json.dumps(body).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rsplit(":", 1)[1]))
    writer.write(b"POST /predict HTTP/1.1\r\nHost: r\r\nContent-Length: %d\r\n\r\n" % len(data))
    writer.write(data)
    try:
        yield reader
    finally:
        writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what threads do sets no event of the loop's
            await asyncio.sleep(0.005)


@KINDS
async def test_a_caller_who_leaves_ends_the_work(kind: type[Sync]):
    pipeline = kind()
    async with serve(pipeline) as server:
        async with asking(server.url, {"n": 500}):
            await until(lambda: pipeline.ticks >= 5)
        gone = pipeline.ticks
        await until(lambda: pipeline.ended == 1)
        assert pipeline.ticks <= gone + 3
        status, _, _ = await post(server.url, {"n": 1})  # the slot is free
        assert status == 200


async def test_the_slot_is_taken_until_deaf_work_has_ended():
    pipeline = Deaf()
    async with serve(pipeline) as server:
        async with asking(server.url, {"n": 30}):
            await until(lambda: pipeline.ticks >= 5)
        await asyncio.sleep(0.1)
        status, answer, headers = await post(server.url, {"n": 1})
        assert (status, answer["type"], pipeline.ended) == (503, "AtCapacity", 0)
        assert headers["retry-after"] == "1"
        await until(lambda: pipeline.ended == 1)
        assert pipeline.ticks == 30
        assert (await post(server.url, {"n": 1}))[0] == 200


async def test_who_leaves_the_queue_is_not_called():
    pipeline = Deaf()
    async with serve(pipeline, queue=1) as server:
        async with asking(server.url, {"n": 30}) as first:
            await until(lambda: pipeline.ticks >= 1)
            async with asking(server.url, {"n": 1000}):
                await asyncio.sleep(0.1)
            status = await post(server.url, {"n": 2})  # takes the place that was left
            assert status[0] == 200
            assert (await first.readline()).startswith(b"HTTP/1.1 200")
        assert pipeline.ticks == 32


@pytest.mark.parametrize("kind", [Sync, Async, Deaf, Stubborn])
async def test_the_deadline_answers_at_once_and_holds_the_slot(
    kind: type[Sync], caplog: pytest.LogCaptureFixture
):
    pipeline = kind()
    async with serve(pipeline, predict_timeout_s=0.2) as server:
        began = time.monotonic()
        status, answer, _ = await post(server.url, {"n": 30})
        assert time.monotonic() - began >= 0.2
        assert pipeline.ticks < 30, "it was waited for"
        assert (status, answer["type"]) == (504, "DeadlinePassed")
        assert "0.2 s" in answer["detail"]
        told = f"{kind.__name__}.predict(): {answer['detail']}; its slot is taken until it has"
        assert caplog.text.count(told) == 1
        if kind in (Deaf, Stubborn):
            assert pipeline.ended == 0
            assert (await post(server.url, {"n": 1}))[0] == 503
        await until(lambda: pipeline.ended == 1)
        await asyncio.sleep(0.02)
        assert (await post(server.url, {"n": 1}))[1] == 1


async def test_the_deadline_counts_the_wait(caplog: pytest.LogCaptureFixture):
    pipeline = Deaf()
    async with serve(pipeline, predict_timeout_s=0.3, queue=1) as server:
        async with asking(server.url, {"n": 30}):
            await until(lambda: pipeline.ticks >= 1)
            status, _, _ = await post(server.url, {"n": 1})
            assert status == 504
            assert caplog.text.count("; it waited for a slot") == 1
            assert pipeline.ended == 0
        await until(lambda: pipeline.ended == 1)
        assert pipeline.ticks == 30  # the second was never called


@pytest.mark.parametrize("kind", [SyncItems, AsyncItems])
async def test_a_stream_has_a_deadline_too(kind: type[Sync]):
    pipeline = kind()
    async with serve(pipeline, predict_timeout_s=0.2) as server:
        status, text, _ = await post(server.url, {"n": 500})
        assert status == 200
        *items, error, done, nothing = text.split("\n\n")
        assert items[0] == "data: 0"
        assert error.startswith("event: error\ndata: ")
        assert "DeadlinePassed" in error
        assert (done, nothing) == ("data: [DONE]", "")
        await until(lambda: pipeline.ended == 1)
        assert pipeline.ticks <= len(items) + 2


async def test_a_connection_serves_on_after_a_deadline():
    pipeline = Stubborn()
    async with (
        serve(pipeline, predict_timeout_s=0.1, concurrency=2) as server,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as session,
    ):
        for n, expected in ((20, 504), (1, 200), (1, 200)):
            async with session.post(server.url + "/predict", json={"n": n}) as response:
                assert response.status == expected
                await response.read()
        await until(lambda: pipeline.ended == 3)


async def test_ten_times_overload():
    pipeline = Async()
    async with serve(pipeline, concurrency=2, queue=2) as server:
        answers = await asyncio.gather(*(post(server.url, {"n": 20}) for _ in range(40)))
        accepted = [answer for status, answer, _ in answers if status == 200]
        refused = [(answer, headers) for status, answer, headers in answers if status == 503]
        assert len(accepted) + len(refused) == 40
        assert len(accepted) >= 4
        assert set(accepted) == {20}
        assert pipeline.ended == len(accepted)
        for answer, headers in refused:
            assert answer["type"] == "AtCapacity"
            assert str(answer["retry_after"]) == headers["retry-after"]
            assert json.loads(headers["x-metadata"])["retry_after"] == answer["retry_after"]
        assert (await post(server.url, {"n": 1}))[0] == 200


async def test_a_refusal_waits_for_no_body():
    pipeline = Deaf()
    async with serve(pipeline) as server, asking(server.url, {"n": 50}):
        await until(lambda: pipeline.ticks >= 1)
        port = int(server.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: r\r\nContent-Length: 2000000\r\n\r\n")
        async with asyncio.timeout(2):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        # The connection is as good as before: to an orchestrator a cut one is a dead runner.
        writer.write(b" " * 2_000_000 + b"GET /health HTTP/1.1\r\nHost: r\r\n\r\n")
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize("how", ["cancelled", "task", "exit"])
async def test_what_an_author_ends_for_himself_is_an_error(how: str):
    async with serve(Quitter()) as server:
        for _ in range(2):
            status, answer, _ = await post(server.url, {"how": how})
            assert (status, answer["type"]) == (500, "RuntimeError")


@pytest.mark.parametrize("name", ["job-7", "4bf92f3577b34da6/a:b@c=", "x" * 128])
async def test_the_callers_request_id(name: str):
    async with serve(Named()) as server:
        status, answer, headers = await post(server.url, {}, **{"X-Request-ID": name})
        assert (status, answer) == (200, name)
        assert headers["x-request-id"] == name
        assert json.loads(headers["x-metadata"])["request_id"] == name


@pytest.mark.parametrize("name", ["", "x" * 129, 'a"b', "a b", "ä"])
async def test_a_request_id_that_is_not_sane_is_replaced(name: str):
    async with serve(Named()) as server:
        _, answer, headers = await post(server.url, {}, **{"X-Request-ID": name})
        assert answer == headers["x-request-id"] != name
        assert len(answer) == 32


async def test_a_gate_counts_its_calls():
    gate = Gate(slots=1, queue=1)
    slot = await gate.enter()
    waiter = asyncio.create_task(gate.enter())
    await asyncio.sleep(0)
    assert gate.load == (1, 1, 1)
    with pytest.raises(AtCapacity, match="1 running and 1 waiting") as refused:
        gate.check()
    assert refused.value.retry_after_s == 1
    slot.leave()
    slot.leave()
    (await waiter).leave()
    assert gate.load == (0, 0, 1)


async def test_the_hint_is_what_calls_take():
    gate = Gate(slots=1, queue=0)
    slot = await gate.enter()
    await asyncio.sleep(1.2)
    slot.leave()
    await gate.enter()
    with pytest.raises(AtCapacity) as refused:
        gate.check()
    assert refused.value.retry_after_s == 2
