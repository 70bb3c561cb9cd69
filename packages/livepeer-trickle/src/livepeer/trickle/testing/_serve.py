"""Run trickle servers on real sockets in tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


@asynccontextmanager
async def serve(app: web.Application) -> AsyncGenerator[str]:
    """Serve `app` on a free loopback port for as long as the context lasts.

    Yields:
        The base URL, `http://127.0.0.1:PORT`, without a trailing slash.
    """
    runner = web.AppRunner(
        app, access_log=None, handler_cancellation=True, keepalive_timeout=75, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()
