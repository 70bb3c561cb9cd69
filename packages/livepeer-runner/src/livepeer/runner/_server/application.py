"""FastAPI's application, with a shorter way for calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from livepeer.runner._server.guard import Guard

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send


class Application(FastAPI):
    """An application behind a `Guard`, which calls reach without a framework's work for each.

    They go the long way, through all middleware, where something else has to see them: CORS,
    tracing, or middleware that the program has added.
    """

    _short: Guard | None = None

    def guard(self, *, traced: bool, **options: Any) -> None:
        """Put the guard in front.

        Args:
            traced: Requests make spans, so that none goes the short way.
            options: Those of `Guard`.
        """
        self.add_middleware(Guard, **options)
        if not traced:
            self._short = Guard(super().__call__, **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or live through the lifespan."""
        short = self._short
        if short is not None and len(self.user_middleware) == 1 and short.is_call(scope):
            scope["app"] = self
            await short(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)
