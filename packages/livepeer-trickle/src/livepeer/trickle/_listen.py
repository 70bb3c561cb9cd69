"""Serve an application on a socket, with what trickle needs of an HTTP server."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

# Longer than go-livepeer's clients keep an idle connection (60 s).
_KEEP_ALIVE_S: Final = 75.0

# For the rest of a body that was answered before its end.
_LINGER_S: Final = 2.0


@asynccontextmanager
async def listen(
    app: web.Application, host: str = "127.0.0.1", port: int = 0
) -> AsyncGenerator[str]:
    """Serve `app` for as long as the context lasts; port 0 takes a free one.

    Yields:
        The base URL, `http://HOST:PORT`, without a trailing slash.

    Raises:
        OSError: The address cannot be had.
    """
    runner = web.AppRunner(
        app,
        access_log=None,
        # Readers that wait at the edge go away and come back, go-livepeer's every 20 s.
        handler_cancellation=True,
        keepalive_timeout=_KEEP_ALIVE_S,
        lingering_time=_LINGER_S,
        shutdown_timeout=1.0,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        bound = runner.addresses[0][1]
        yield f"http://{f'[{host}]' if ':' in host else host}:{bound}"
    finally:
        await runner.cleanup()
