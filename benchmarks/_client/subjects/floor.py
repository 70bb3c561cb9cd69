"""A bare aiohttp POST of a body and headers that are there already; its answer is not parsed."""

from __future__ import annotations

import asyncio
import json
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator

    from _client.load import Load


def prepared(payload: dict[str, object], load: Load) -> bytes:
    del load
    return json.dumps(payload, separators=(",", ":")).encode()


def right(prepared: bytes, answer: bytes) -> bool:
    return answer == prepared


@asynccontextmanager
async def opened(load: Load) -> AsyncGenerator[Callable[[bytes], Awaitable[bytes]]]:
    url, headers = f"{load.url}/process/request/{load.route}", load.headers
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(body: bytes) -> bytes:
            async with session.post(url, data=body, headers=headers) as response:
                return await response.read()

        yield call


@contextmanager
def opened_sync(load: Load) -> Generator[Callable[[bytes], bytes]]:
    """The same on a loop in a thread of its own, which other threads wait for."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    client = opened(load)
    try:
        call = asyncio.run_coroutine_threadsafe(client.__aenter__(), loop).result()

        def run(body: bytes) -> bytes:
            async def work() -> bytes:
                return await call(body)

            return asyncio.run_coroutine_threadsafe(work(), loop).result()

        yield run
        asyncio.run_coroutine_threadsafe(client.__aexit__(None, None, None), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
