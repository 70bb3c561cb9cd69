"""The OpenAPI document: what FastAPI makes of the routes, and what it does not know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from livepeer.runner._schema.security import secured
from livepeer.runner._server.guard import OPEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import FastAPI

    Document = dict[str, object]


def complete_document(app: FastAPI, change: Callable[[Document], Document] | None = None) -> None:
    """Let the document of an application tell where the token is asked for.

    Args:
        app: The application.
        change: What else is done to it.
    """
    of_routes = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = of_routes()
            app.openapi_schema = secured(document if change is None else change(document), OPEN)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to change the document
