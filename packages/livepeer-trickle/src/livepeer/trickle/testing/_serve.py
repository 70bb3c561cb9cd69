"""Run trickle servers on real sockets in tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from livepeer.trickle._listen import listen

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import web


@asynccontextmanager
async def serve(app: web.Application) -> AsyncGenerator[str]:
    """Serve `app` on a free loopback port for as long as the context lasts.

    Yields:
        The base URL, `http://127.0.0.1:PORT`, without a trailing slash.
    """
    async with listen(app) as url:
        yield url
