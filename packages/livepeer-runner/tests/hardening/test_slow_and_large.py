"""Callers who send slowly, and much: nobody else waits for them, and nothing is kept for ever."""

from __future__ import annotations

import asyncio
import gc
import json
import os
from contextlib import asynccontextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aiohttp
import pytest

from livepeer.runner import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.errors import InputError
from livepeer.runner.files import File  # noqa: TC001 - read at run time
from livepeer.runner.testing import serve
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

LONGEST_S = 20
MIB = 1024 * 1024


class Sizes(Pipeline):
    async def predict(self, text: str) -> int:
        return len(text)

    @endpoint
    def on_disk(self, file: File, fail: bool = False) -> tuple[str, int]:
        if fail:
            raise InputError("as asked")
        return str(file.path), file.size


@asynccontextmanager
async def sending(
    url: str, length: int, path: str = "/predict"
) -> AsyncGenerator[tuple[asyncio.StreamReader, asyncio.StreamWriter], None]:
    """A request whose head is sent."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
    try:
        writer.write(
            f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n".encode()
        )
        yield reader, writer
    finally:
        writer.transport.abort()


async def status_of(reader: asyncio.StreamReader) -> tuple[int, dict[str, Any], bool]:
    """Status and body of an answer, and whether the connection was closed after it."""
    async with asyncio.timeout(LONGEST_S):
        status = int((await reader.readline()).split()[1])
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        body = json.loads(await reader.readexactly(length))
        try:
            closed = await asyncio.wait_for(reader.read(1), 1) == b""
        except TimeoutError:
            closed = False
        return status, body, closed


async def ask(http: aiohttp.ClientSession, url: str, body: object) -> tuple[int, Any]:
    async with http.post(url, json=body, timeout=aiohttp.ClientTimeout(LONGEST_S)) as reply:
        return reply.status, await reply.json()


@pytest.mark.parametrize("begun", [b"", b'{"text":'])
async def test_a_slow_sender_has_no_slot_and_is_told(begun: bytes):
    async with (
        serve(Sizes(), body_timeout_s=0.5) as server,
        sending(server.url, 100) as (reader, writer),
        aiohttp.ClientSession() as http,
    ):
        writer.write(begun)
        # The only slot is free for others, before and after.
        for _ in range(3):
            assert await ask(http, f"{server.url}/predict", {"text": "abc"}) == (200, 3)
        status, body, closed = await status_of(reader)
        assert (status, body["type"], closed) == (408, "BodyTooSlow", True)
        assert "within 0.5 s" in body["detail"]
        assert await ask(http, f"{server.url}/predict", {"text": "abc"}) == (200, 3)


async def test_a_dribble_does_not_help():
    async with (
        serve(Sizes(), body_timeout_s=0.3) as server,
        sending(server.url, 10_000) as (reader, writer),
    ):

        async def dribble() -> None:
            while True:
                writer.write(b" ")
                await asyncio.sleep(0.02)

        dribbling = asyncio.create_task(dribble())
        try:
            assert (await status_of(reader))[:1] == (408,)
        finally:
            dribbling.cancel()


async def test_all_of_the_slow_are_told_those_that_come_later_too():
    async with serve(Sizes(), body_timeout_s=0.3) as server:
        for _ in range(2):
            async with sending(server.url, 9) as (one, _), sending(server.url, 9) as (other, _):
                for reader in (one, other):
                    assert (await status_of(reader))[0] == 408


async def test_a_caller_who_leaves_in_mid_body_leaves_nothing(caplog: pytest.LogCaptureFixture):
    async with serve(Sizes()) as server, aiohttp.ClientSession() as http:
        for begun in (b"", b"{", b"a" * 200_000):
            async with sending(server.url, MIB) as (_, writer):
                writer.write(begun)
                await writer.drain()
            assert await ask(http, f"{server.url}/predict", {"text": "abc"}) == (200, 3)
    assert not caplog.records


async def test_many_large_bodies_at_once_are_bounded():
    async with (
        serve(Sizes(), max_body_bytes=2 * MIB) as server,
        sending(server.url, 2 * MIB) as (first, to_first),
        sending(server.url, 2 * MIB) as (second, to_second),
        aiohttp.ClientSession() as http,
    ):
        for writer in (to_first, to_second):
            writer.write(b" " * (2 * MIB - 1))
        # Together they hold more than the one call may that could run.
        answers = [asyncio.create_task(status_of(reader)) for reader in (first, second)]
        done, rest = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        status, body, _ = done.pop().result()
        assert (status, body["type"], body["retry_after"]) == (503, "AtCapacity", 1)
        assert "too many large bodies" in body["detail"]
        assert await ask(http, f"{server.url}/predict", {"text": "abc"}) == (200, 3)
        await cancel_and_wait(*rest)


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What goes, goes by itself."""
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
async def test_a_large_file_lies_on_disk_for_as_long_as_the_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with serve(Sizes()) as server, aiohttp.ClientSession() as http:
        for extra, status in [({}, 200), ({"no": "x"}, 422), ({"fail": "true"}, 400)]:
            form = aiohttp.FormData(extra)
            form.add_field("file", BytesIO(b"a" * 3 * MIB), filename="a.bin")
            found, body = await post(http, f"{server.url}/on-disk", data=form)
            assert found == status
            if status == 200:
                path, size = json.loads(body)
                assert (path.startswith(str(tmp_path)), size) == (True, 3 * MIB)
            async with asyncio.timeout(LONGEST_S):
                while os.listdir(tmp_path):  # noqa: ASYNC110 - no event tells of a file
                    await asyncio.sleep(0.005)


async def post(http: aiohttp.ClientSession, url: str, **what: Any) -> tuple[int, bytes]:
    async with http.post(url, timeout=aiohttp.ClientTimeout(2 * LONGEST_S), **what) as reply:
        return reply.status, await reply.read()
