"""The floor: bare aiohttp with its defaults, a POST and a GET per segment, nothing on top.

Nothing is connected ahead: measured, that is the cheaper way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _trickle.load import Load

HEADERS = {"Content-Type": "video/MP2T"}


def session() -> aiohttp.ClientSession:
    """A session that lets a request wait."""
    return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None))


async def publish(load: Load) -> None:
    """Post the segments, each from a generator."""

    async def body() -> AsyncIterator[bytes]:
        for piece in load.body():
            yield piece

    chunks = load.frames if load.paced else body
    async with session() as http, load.measured():
        for seq in range(load.plan.segments):
            await load.turn(seq)
            url = f"{load.url}/{seq}"
            async with http.post(url, data=chunks(), headers=HEADERS) as response:
                response.raise_for_status()


async def subscribe(load: Load) -> None:
    """Get the segments, each as its bytes arrive."""
    async with session() as http, load.measured():
        for seq in range(load.plan.segments):
            async with http.get(f"{load.url}/{seq}") as response:
                response.raise_for_status()
                async for chunk in response.content.iter_any():
                    load.take(chunk)
            load.done(seq + 1)
