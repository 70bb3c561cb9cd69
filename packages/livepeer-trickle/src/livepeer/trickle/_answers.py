"""The server's plain answers, in the shape of Go's."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping


def error(status: int, text: str) -> web.Response:
    """A refusal in the shape of Go's `http.Error`."""
    headers = {"X-Content-Type-Options": "nosniff"}
    return web.Response(status=status, text=text + "\n", headers=headers)


async def end_exchange(
    request: web.Request, response: web.Response, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Answer a publisher whose body is not wanted, and close the connection.

    `Connection: close` is what tells a publisher that connected ahead to give this request up.
    """
    response.headers.update(headers or {})
    response.headers["Connection"] = "close"
    response.force_close()
    # A publisher that went away is ordinary.
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
    transport = request.transport
    if transport is not None and not transport.is_closing() and transport.can_write_eof():
        # Only our half. Bytes of the body may be on their way, and the reset that meets them on a
        # closed socket would take the answer away from its reader; aiohttp lingers for them.
        with suppress(OSError):
            transport.write_eof()
    return response
