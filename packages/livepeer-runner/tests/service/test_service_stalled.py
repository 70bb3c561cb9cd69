"""Callers who take nothing of what waits for them, and those who are only slow."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner._server.stalled import Stall
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

LARGE = 1024 * 1024


class Pours(Pipeline):
    """More than any system holds for a connection."""

    def __init__(self) -> None:
        self.closed = threading.Event()

    def predict(self) -> Iterator[str]:
        try:
            for _ in range(1000):
                yield "x" * LARGE
        finally:
            self.closed.set()


class PoursAsync(Pours):
    async def predict(self) -> AsyncIterator[str]:  # type: ignore[override]
        try:
            for _ in range(1000):
                yield "x" * LARGE
        finally:
            self.closed.set()


class Whole(Pipeline):
    def predict(self) -> str:
        return "x" * 64 * LARGE


@asynccontextmanager
async def asked(url: str) -> AsyncGenerator[socket.socket]:
    """A caller who has asked, and reads nothing by himself."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as caller:
        caller.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        yield caller


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.01)


async def running(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + "/health") as answer:
        count: int = json.loads(await answer.read())["load"]["running"]
        return count


@pytest.mark.parametrize("kind", [Pours, PoursAsync])
async def test_a_stream_that_nobody_takes_ends_and_its_slot_is_free(kind: type[Pours]):
    pipeline = kind()
    async with serve(pipeline, write_timeout_s=0.4) as server, asked(server.url):
        await until(pipeline.closed.is_set)
        async with asyncio.timeout(20):
            while await running(server.url):  # noqa: ASYNC110 - over HTTP
                await asyncio.sleep(0.01)


async def test_an_answer_that_nobody_takes_is_let_go(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO)
    async with serve(Whole(), write_timeout_s=0.4) as server, asked(server.url):
        await until(lambda: "a caller took nothing for 0.4 s" in caplog.text)


async def test_one_who_is_slow_gets_it_all():
    async with (
        serve(Whole(), write_timeout_s=20) as server,
        asked(server.url) as caller,
    ):
        caller.setblocking(False)
        loop, got = asyncio.get_running_loop(), 0
        while got < 64 * LARGE:
            part = await loop.sock_recv(caller, LARGE)
            assert part
            got += len(part)


def test_whoever_takes_something_now_and_then_is_only_slow():
    stall = Stall(10)
    waits = [(100, 0), (100, 9), (99, 9.5), (99, 19), (98, 19.4), (98, 29.3)]
    assert not any(stall.is_over(count, now) for count, now in waits)
    assert stall.is_over(98, 29.4)
