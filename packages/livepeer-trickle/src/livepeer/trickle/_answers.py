"""The server's plain answers, in the shape of Go's."""

from __future__ import annotations

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
    await response.prepare(request)
    await response.write_eof()
    if request.transport is not None and not request.content.total_bytes:
        # Nothing unread, so nothing is lost; aiohttp would linger for a body that never comes.
        request.transport.close()
    return response
