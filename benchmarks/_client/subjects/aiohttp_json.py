"""A bare aiohttp POST that makes JSON of the payload and reads that of the answer."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from _client.load import Load


def prepared(payload: dict[str, object], load: Load) -> object:
    del load
    return payload


def right(prepared: object, answer: object) -> bool:
    return answer == prepared


@asynccontextmanager
async def opened(load: Load) -> AsyncGenerator[Callable[[object], Awaitable[object]]]:
    url, headers = f"{load.url}/process/request/{load.route}", load.headers
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call(payload: object) -> object:
            async with session.post(url, json=payload, headers=headers) as response:
                return await response.json(content_type=None)

        yield call
