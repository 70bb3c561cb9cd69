"""The end of a call that the server cuts, as nothing that its own server has to report."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.runner._server.raised import is_cancelled

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send


class Edge:
    """ASGI middleware, the outermost: a request whose task is cancelled has ended, and not failed.

    Its caller has his answer by then, and the log its line. What runs the application would log
    each with its whole stack.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on."""
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError as exc:
            # Nobody awaits the task of a request, so that nobody misses the cancellation.
            if scope["type"] != "http" or not is_cancelled(exc):
                raise
