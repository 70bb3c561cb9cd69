"""The author's own FastAPI router, and what it may not hold."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from fastapi import APIRouter
from starlette.routing import Match

from livepeer.runner._schema.routes import RESERVED, is_reserved
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.routing import BaseRoute

    from livepeer.runner.batch import Pipeline


def author_router(pipeline: Pipeline, taken: Collection[str]) -> APIRouter | None:
    """The router of a pipeline; None where it has none. Include it after all others.

    Args:
        pipeline: The author's instance.
        taken: Paths of `predict()` and of what `@endpoint` marks.

    Raises:
        PipelineDefinitionError: It is no router, or a path in it is taken.
    """
    owner = type(pipeline).__name__
    router = cast("object", pipeline.router)  # whatever the author wrote there
    if router is None:
        return None
    if not isinstance(router, APIRouter):
        raise PipelineDefinitionError(
            f"{owner}.router is a {type(router).__name__}: make it a fastapi.APIRouter"
        )
    for route in router.routes:
        path = _clash(route, taken)
        if path is not None:
            raise PipelineDefinitionError(
                f"{owner}.router has {path}{_place(route)}, which is the runner's own or an"
                " endpoint's: give it another path"
            )
    return router


def _clash(route: BaseRoute, taken: Collection[str]) -> str | None:
    """The path of a route, or in a router that is included, that nobody would reach there."""
    path: object = getattr(route, "path", None)
    if isinstance(path, str):
        return path if is_reserved(path) or path in taken else None
    return next((one for one in (*RESERVED, *taken) if _names(route, one)), None)


def _names(route: BaseRoute, path: str) -> bool:
    # What takes any path leaves this one to the runner.
    return _matches(route, path) and not _matches(route, f"{path}-{_UNLIKELY}")


def _matches(route: BaseRoute, path: str) -> bool:
    asked: dict[str, Any] = {"type": "http", "method": "GET", "path": path, "headers": []}
    return route.matches(asked)[0] is not Match.NONE


_UNLIKELY = "0ff6a3c7"


def _place(route: object) -> str:
    function: object = getattr(route, "endpoint", None)
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return "" if code is None else f" ({code.co_filename}:{code.co_firstlineno})"
