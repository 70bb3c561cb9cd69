"""A large body is read beside the loop, which goes on answering others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from io import BytesIO
from typing import Annotated, Any

import aiohttp
import pytest
from pydantic import AfterValidator

from livepeer.runner import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.testing import serve

LONGEST_S = 20
MIB = 1024 * 1024

begun, answered = threading.Event(), threading.Event()


def wait_for_another(text: str) -> str:
    """End when another request was answered, for which the loop has to be free."""
    begun.set()
    assert answered.wait(LONGEST_S)
    return text


Awaited = Annotated[str, AfterValidator(wait_for_another)]


class Waiting(Pipeline):
    async def predict(self, text: Awaited) -> int:
        return len(text)

    @endpoint
    def blocking(self, text: Awaited) -> int:
        return len(text)

    @endpoint
    def items(self, text: Awaited) -> Iterator[int]:
        yield len(text)

    @endpoint
    async def async_items(self, text: Awaited) -> AsyncIterator[int]:
        yield len(text)


async def post(http: aiohttp.ClientSession, url: str, **what: Any) -> tuple[int, bytes]:
    async with http.post(url, timeout=aiohttp.ClientTimeout(2 * LONGEST_S), **what) as reply:
        return reply.status, await reply.read()


@pytest.mark.parametrize("path", ["/predict", "/blocking", "/items", "/async-items"])
async def test_a_large_body_is_read_beside_the_loop(path: str):
    begun.clear()
    answered.clear()
    body = BytesIO(b'{"text":"' + b"a" * 2 * MIB + b'"}')
    async with serve(Waiting()) as server, aiohttp.ClientSession() as http:
        asking = asyncio.create_task(post(http, f"{server.url}{path}", data=body))
        async with asyncio.timeout(LONGEST_S):
            while not begun.is_set():  # noqa: ASYNC110 - set on a thread
                await asyncio.sleep(0.005)
            async with http.get(f"{server.url}/health") as reply:
                assert reply.status == 200
                assert not asking.done()
        answered.set()
        status, answer = await asking
        assert (status, b"2097152" in answer) == (200, True)
