"""Answers in the shape of Go's `net/http`: error texts, sniffed bodies, and the mux's own rules."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING
from urllib.parse import quote

from aiohttp import web

from . import sniff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refusal(Exception):
    """Ends a request with a status and a text, as Go's `http.Error` does."""

    def __init__(self, status: int, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = dict(headers or {})


class Dropped(Exception):
    """Ends a request without any answer: the connection closes, as when a handler of Go's fails."""


def error(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A text error: the text and a newline, whatever type the headers named before.

    What of it was no UTF-8, decoded with `surrogateescape`, goes out as the bytes that it was.
    """
    return web.Response(
        status=status,
        body=(text + "\n").encode("utf-8", "surrogateescape"),
        headers={
            **(headers or {}),
            "Content-Type": sniff.TEXT,
            "X-Content-Type-Options": "nosniff",
        },
    )


def raw(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    """A body written without naming its type: Go sniffs it, and an empty one has none."""
    kind = {"Content-Type": sniff.content_type(body)} if body else {}
    return web.Response(status=status, body=body, headers={**kind, **(headers or {})})


async def read_body(request: web.Request, limit: int) -> bytes:
    """Read the whole body.

    Raises:
        Refusal: It is longer than `limit` (413).
    """
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise Refusal(413, f"request body too large (max {limit} bytes)")
    return bytes(body)


@web.middleware
async def go_mux(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Redirect paths that are not clean, and give refusals and routing errors Go's shape."""
    clean = _clean(request.path)
    if clean != request.path:
        query = f"?{request.query_string}" if request.query_string else ""
        # Most clients send a redirected POST again as GET, which is then refused: always send the
        # clean path.
        return web.Response(status=301, headers={"Location": quote(clean) + query})
    try:
        return await handler(request)
    except Dropped:
        if request.transport is not None:
            request.transport.close()
        # Written to nobody: the server asks for something.
        return web.Response(status=500)
    except Refusal as refusal:
        return error(refusal.status, refusal.text, refusal.headers)
    except web.HTTPNotFound:
        return error(404, "404 page not found")
    except web.HTTPMethodNotAllowed as refusal:
        allowed = ", ".join(sorted(refusal.allowed_methods))
        return error(405, "Method Not Allowed", {"Allow": allowed})


def _clean(path: str) -> str:
    if path == "*":
        return path
    clean = posixpath.normpath("/" + path.lstrip("/"))
    return clean + "/" if path.endswith("/") and clean != "/" else clean
