"""Faults that a test orders from a fake server, request by request."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from typing import TypeAlias

    Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class _Fault:
    path: str
    times: int
    apply: Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]


class Faults:
    """The faults to come, each for the next requests to a path; those ordered first come first.

    `path` is the beginning of the paths that are meant; by default all of them.
    """

    def __init__(self) -> None:
        self._orders: list[_Fault] = []

    def answer(
        self,
        status: int,
        message: str = "",
        *,
        times: int = 1,
        path: str = "",
        json_body: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Answer with a status and a text, without processing the request.

        Args:
            status: The HTTP status.
            message: The text; by default the status in words.
            times: For how many requests.
            path: The paths that are meant.
            json_body: The body as signers write it, `{"error":{"message":…}}`, in place of text.
            headers: Added to the answer.
        """

        async def apply(request: web.Request, _handler: Handler) -> web.StreamResponse:
            await request.read()
            text = message or f"fault {status}"
            if json_body:
                body = json.dumps({"error": {"message": text}}).encode() + b"\n"
                kind = "application/json"
            else:
                body, kind = text.encode() + b"\n", "text/plain"
            return web.Response(status=status, body=body, content_type=kind, headers=headers)

        self._orders.append(_Fault(path, times, apply))

    def lose(self, *, times: int = 1, path: str = "") -> None:
        """Process the request, then close the connection in place of an answer."""

        async def apply(request: web.Request, handler: Handler) -> web.StreamResponse:
            await handler(request)
            return cut(request)

        self._orders.append(_Fault(path, times, apply))

    def drop(self, *, times: int = 1, path: str = "") -> None:
        """Close the connection without processing the request."""

        async def apply(request: web.Request, _handler: Handler) -> web.StreamResponse:
            await request.read()
            return cut(request)

        self._orders.append(_Fault(path, times, apply))

    def delay(self, delay_s: float, *, times: int = 1, path: str = "") -> None:
        """Process the request `delay_s` seconds after it came."""

        async def apply(request: web.Request, handler: Handler) -> web.StreamResponse:
            await asyncio.sleep(delay_s)
            return await handler(request)

        self._orders.append(_Fault(path, times, apply))

    def hold(self, gate: asyncio.Event, *, times: int = 1, path: str = "") -> None:
        """Process the request when `gate` is set."""

        async def apply(request: web.Request, handler: Handler) -> web.StreamResponse:
            await gate.wait()
            return await handler(request)

        self._orders.append(_Fault(path, times, apply))

    def clear(self) -> None:
        """Forget every order."""
        self._orders.clear()

    async def run(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Let the request meet its fault, if it has one."""
        for order in self._orders:
            if request.path.startswith(order.path):
                order.times -= 1
                if order.times <= 0:
                    self._orders.remove(order)
                return await order.apply(request, handler)
        return await handler(request)


def cut(request: web.Request) -> web.Response:
    """Close the connection as a handler does that fails in Go: the caller gets no answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
