"""Streams of events as they come out of orchestrator and gateway: lines, errors, ends."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import NoOrchestrator, RunnerError
from livepeer.runner import Pipeline, context
from livepeer.runner.errors import InputError

if TYPE_CHECKING:
    import aiohttp

    from conftest import Network, Until
    from livepeer.client import Client

LIMIT_S = 20.0
LINE = 65_535
"""The longest line that is handed on, `data: ` in front of it included."""


class Words(Pipeline):
    """Gives what it was given; negative `fail_at` is never."""

    def predict(self, items: list[Any], pause_s: float = 0, fail_at: int = -1) -> Iterator[Any]:
        for at, item in enumerate(items):
            if at == fail_at:
                raise ValueError("broke at [DONE]")
            time.sleep(pause_s)
            yield item
        if fail_at == len(items):
            raise InputError("nothing to say")


class AsyncWords(Pipeline):
    async def predict(
        self, items: list[Any], pause_s: float = 0, fail_at: int = -1
    ) -> AsyncIterator[Any]:
        for at, item in enumerate(items):
            if at == fail_at:
                raise ValueError("broke at [DONE]")
            await asyncio.sleep(pause_s)
            yield item
        if fail_at == len(items):
            raise InputError("nothing to say")


BALANCE = b"(balance)"
_LEFT = re.compile(rb'data: \{"balance": \d+\.\d{3}\}\n{3}')
KINDS = pytest.mark.parametrize("kind", [Words, AsyncWords])


async def transcript(answer: aiohttp.ClientResponse) -> bytes:
    """The stream up to its end marker, as callers read it; of a gateway, whose answer ends.

    The orchestrator's own event, what credit the sender has left, becomes BALANCE.
    """
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert json.loads(answer.headers["X-Metadata"])["request_id"]
    found = b""
    async with asyncio.timeout(LIMIT_S):
        async for part in answer.content.iter_any():
            found += part
            if b"data: [DONE]\n" in found and "X-Orchestrator-Url" not in answer.headers:
                break
    return _LEFT.sub(BALANCE, found.rstrip(b"\n"))


async def read_into(came: list[object], items: AsyncIterator[object]) -> None:
    async for item in items:
        came.append(item)


def events(found: bytes) -> list[bytes]:
    """The events before the end marker, without the orchestrator's own."""
    *before, last = found.replace(BALANCE, b"").split(b"\n\n")
    assert last == b"data: [DONE]"
    assert found.count(b"[DONE]") == 1
    return before


@KINDS
async def test_items_byte_by_byte(network: Network, way: str, kind: type[Pipeline]) -> None:
    items = ["a", 'b"\n\r\u2028', {"\u96ea": [1, None]}, "say [DONE] now", "data: [DONE]\n\n", ""]
    async with network.serve(kind()) as runner:
        body = json.dumps({"items": items}).encode()
        async with network.post_job(way, runner.name, body) as answer:
            found = await transcript(answer)
    assert found == (
        b'data: "a"\n\n'
        b'data: "b\\"\\n\\r\xe2\x80\xa8"\n\n'
        b'data: {"\xe9\x9b\xaa":[1,null]}\n\n'
        b'data: "say \\u005bDONE] now"\n\n'
        b'data: "data: \\u005bDONE]\\n\\n"\n\n'
        b'data: ""\n\n'
        b"(balance)"
        b"data: [DONE]"
    )


@KINDS
async def test_items_as_the_client_reads_them(
    network: Network, client: Client, kind: type[Pipeline]
) -> None:
    long = [{"n": n, "text": "\u96ea [DONE] \\" * 1000} for n in range(30)]
    # The last one looks like what an orchestrator puts before the end.
    items = [long, "x" * (LINE - len('data: ""')), *range(3000), [], {"balance": 0.5}]
    async with network.serve(kind()) as runner:
        payload = {"items": items}
        assert [item async for item in client.call_events(runner.name, payload)] == items
        assert [item async for item in client.call_events(runner.name, {"items": []})] == []


@KINDS
async def test_the_longest_line_passes_and_longer_json_is_split(
    network: Network, way: str, kind: type[Pipeline]
) -> None:
    fits = "x" * (LINE - len('data: ""'))
    parts = ["y" * 40_000, "z" * 40_000, 1.5, "[DONE]"]
    async with network.serve(kind()) as runner:
        body = json.dumps({"items": [fits, parts]}).encode()
        async with network.post_job(way, runner.name, body) as answer:
            found = await transcript(answer)
    one, several = events(found)
    assert len(one) == LINE
    assert json.loads(one.removeprefix(b"data: ")) == fits
    lines = several.split(b"\n")
    assert len(lines) == 2
    assert all(line.startswith(b"data: ") and len(line) <= LINE for line in lines)
    assert json.loads(b"\n".join(line.removeprefix(b"data: ") for line in lines)) == parts


@KINDS
async def test_what_no_line_can_hold_is_told(
    network: Network, way: str, client: Client, kind: type[Pipeline]
) -> None:
    items = ["first", "x" * (LINE - len('data: ""') + 1), "never"]
    async with network.serve(kind()) as runner:
        body = json.dumps({"items": items}).encode()
        async with network.post_job(way, runner.name, body) as answer:
            first, error = events(await transcript(answer))
        assert first == b'data: "first"'
        name, data = error.split(b"\n")
        assert name == b"event: error"
        problem = json.loads(data.removeprefix(b"data: "))
        assert str(LINE - len("data: ")) in problem["detail"]
        came: list[object] = []
        with pytest.raises(RunnerError, match=str(LINE - len("data: "))):
            await read_into(came, client.call_events(runner.name, {"items": items}))
        assert came == ["first"]


EARLY: list[tuple[dict[str, object], int, str]] = [
    ({"items": ["a"], "fail_at": 0}, 500, "ValueError"),
    ({"items": [], "fail_at": 0}, 400, "InputError"),
    ({"items": 1}, 422, "InvalidParams"),
]


@KINDS
async def test_an_error_before_the_first_item_keeps_its_status(
    network: Network, way: str, client: Client, kind: type[Pipeline]
) -> None:
    async with network.serve(kind()) as runner:
        for payload, status, name in EARLY:
            # A gateway has asked everybody, and keeps to itself what they said.
            hidden = way == "gateway" and status >= 500
            async with network.post_job(way, runner.name, json.dumps(payload).encode()) as answer:
                text = await answer.read()
                assert answer.status == (200 if hidden else status)
                assert text == b"" if hidden else json.loads(text)["type"] == name
            came: list[object] = []
            with pytest.raises(NoOrchestrator if hidden else RunnerError) as caught:
                await read_into(came, client.call_events(runner.name, payload))
            assert caught.value.status == (200 if hidden else status)
            assert came == []


@KINDS
async def test_an_error_in_mid_stream_is_an_event_and_then_the_end(
    network: Network, way: str, client: Client, kind: type[Pipeline]
) -> None:
    payload = {"items": ["a", "b", "c"], "fail_at": 2}
    async with network.serve(kind()) as runner:
        async with network.post_job(way, runner.name, json.dumps(payload).encode()) as answer:
            *items, error = events(await transcript(answer))
            name = json.loads(answer.headers["X-Metadata"])["request_id"]
        assert items == [b'data: "a"', b'data: "b"']
        first, data = error.split(b"\n")
        assert first == b"event: error"
        assert json.loads(data.removeprefix(b"data: ")) == {
            "detail": "ValueError: broke at [DONE]",
            "type": "ValueError",
            "request_id": name,
        }
        came: list[object] = []
        with pytest.raises(RunnerError, match="broke at"):
            await read_into(came, client.call_events(runner.name, payload))
        assert came == ["a", "b"]


@KINDS
async def test_comments_pass(network: Network, way: str, kind: type[Pipeline]) -> None:
    payload = {"items": ["a", "b"], "pause_s": 0.25}
    options: dict[str, Any] = {"sse_keep_alive_s": 0.05, "first_item_wait_s": 0.05}
    async with network.serve(kind(), **options) as runner:
        async with network.post_job(way, runner.name, json.dumps(payload).encode()) as answer:
            found = await transcript(answer)
        before, between, after = found.split(b"data: ", 2)
        assert before.startswith(b": keep-alive\n\n")
        assert b": keep-alive\n\n" in between
        assert b"keep-alive" not in after
        assert events(found.replace(b": keep-alive\n\n", b"")) == [b'data: "a"', b'data: "b"']


class Gated(Pipeline):
    """Gives an item whenever one is asked for."""

    def __init__(self) -> None:
        self.wanted = threading.Semaphore(0)

    def predict(self) -> Iterator[int]:
        for n in range(3):
            self.wanted.acquire(timeout=LIMIT_S)
            yield n


async def test_an_item_waits_for_no_other(network: Network, client: Client) -> None:
    pipeline = Gated()
    async with network.serve(pipeline) as runner:
        pipeline.wanted.release()
        came: list[object] = []
        async for item in client.call_events(runner.name, {}):
            came.append(item)
            pipeline.wanted.release()
    assert came == [0, 1, 2]


class Left(Pipeline):
    """Goes on as soon as it knows that nobody listens, to see whether it is let."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = threading.Event()

    def predict(self) -> Iterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
                until = time.monotonic() + LIMIT_S
                while not context.cancelled() and time.monotonic() < until:
                    time.sleep(0.005)
        finally:
            self.closed.set()


class AsyncLeft(Left):
    async def predict(self) -> AsyncIterator[int]:  # type: ignore[override]  # as authors write it
        try:
            while True:
                self.made += 1
                yield self.made
                await asyncio.sleep(LIMIT_S)
        finally:
            self.closed.set()


class NeverAsks(Left):
    """Computes item after item."""

    def predict(self) -> Iterator[int]:
        try:
            while True:
                self.made += 1
                yield self.made
                time.sleep(0.005)
        finally:
            self.closed.set()


@pytest.mark.parametrize(("kind", "most"), [(Left, 2), (AsyncLeft, 1), (NeverAsks, None)])
async def test_a_caller_who_leaves_closes_the_generator(
    network: Network, client: Client, until: Until, kind: type[Left], most: int | None
) -> None:
    pipeline = kind()
    async with network.serve(pipeline, concurrency=1) as runner:
        async with aclosing(client.call_events(runner.name, {})) as items:
            assert await anext(items) == 1
        await until(pipeline.closed.is_set)
        assert most is None or pipeline.made <= most
        # Its slot is free, and its capability where it was.
        pipeline.closed.clear()

        async def is_served() -> bool:
            try:
                async with aclosing(client.call_events(runner.name, {})) as items:
                    return isinstance(await anext(items), int)
            except (RunnerError, NoOrchestrator) as error:
                if not error.retryable:
                    raise
                return False

        await until(is_served)
        await until(pipeline.closed.is_set)


class Silent(Pipeline):
    """Has no item for anybody."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.closed = threading.Event()

    def predict(self) -> Iterator[int]:
        self.began.set()
        try:
            until = time.monotonic() + LIMIT_S
            while not context.cancelled() and time.monotonic() < until:
                time.sleep(0.005)
            yield 0
            pytest.fail("nobody listens")
        finally:
            self.closed.set()


@pytest.mark.parametrize("first_item_wait_s", [0.05, LIMIT_S])
async def test_a_caller_who_leaves_before_the_first_item(
    network: Network, client: Client, until: Until, first_item_wait_s: float
) -> None:
    pipeline, came = Silent(), list[object]()
    async with network.serve(pipeline, first_item_wait_s=first_item_wait_s) as runner:
        for _ in range(2):
            reading = asyncio.create_task(read_into(came, client.call_events(runner.name, {})))
            await until(pipeline.began.is_set)
            reading.cancel()
            await until(pipeline.closed.is_set)
            pipeline.began.clear()
            pipeline.closed.clear()
    assert came == []


@pytest.mark.second
async def test_a_stream_that_a_gateway_runs_twice_is_read_once(network: Network) -> None:
    # It goes on with its next orchestrator after the end of a stream, for want of a return.
    async with (
        network.serve(Words()) as runner,
        network.serve(Words(), name=runner.name, orch_url=network.second),
        network.gateway_client() as client,
    ):
        for _ in range(3):
            items = client.call_events(runner.name, {"items": [1, 2]})
            assert [item async for item in items] == [1, 2]
