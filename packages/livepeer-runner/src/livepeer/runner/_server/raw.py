"""Routes that FastAPI documents and does not parse.

The orchestrator sends bodies with an empty `Content-Type`, or none; FastAPI would not read them.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Body
from fastapi.routing import APIRoute

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    Handler = Callable[[Request], Coroutine[Any, Any, Response]]


def add_raw_route(
    router: APIRouter, path: str, handler: Handler, *, body: object, **documents: Any
) -> None:
    """Add a POST route whose handler reads the request itself.

    Args:
        router: Where to add it.
        path: The route's path.
        handler: Takes the request, gives the answer.
        body: The annotation by which the body is documented.
        documents: What else `APIRouter.add_api_route` takes.
    """

    class Route(APIRoute):
        def get_route_handler(self) -> Handler:
            return handler

    def documented() -> None:
        raise AssertionError("documents only; the route class serves")

    parameter = inspect.Parameter(
        "body", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Annotated[body, Body()]
    )
    documented.__signature__ = inspect.Signature([parameter])  # type: ignore[attr-defined]  # a function takes any attribute
    router.add_api_route(
        path, documented, methods=["POST"], route_class_override=Route, **documents
    )
