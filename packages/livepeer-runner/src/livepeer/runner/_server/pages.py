"""`/docs` and `/redoc` with what is installed here: a page of a runner asks no other host.

The scripts and styles are those that the package `fastapi-offline` carries.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from starlette.responses import FileResponse, HTMLResponse

ASSETS: Final = (
    "/docs/swagger-ui-bundle.js",
    "/docs/swagger-ui.css",
    "/docs/favicon.png",
    "/redoc/redoc.standalone.js",
)
"""What the pages load: paths, whose last part is the name of the file."""


def pages_router(title: str) -> APIRouter:
    """Answer `GET /docs` and `GET /redoc`, and what these load.

    Every URL in them is relative, so that they work below the path of another application, too.

    Args:
        title: Of the application.
    """
    router = APIRouter(include_in_schema=False)

    @router.get("/docs")
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{title} - Swagger UI",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="docs/favicon.png",
        )

    @router.get("/redoc")
    async def redoc() -> HTMLResponse:
        return get_redoc_html(
            openapi_url="openapi.json",
            title=f"{title} - ReDoc",
            redoc_js_url="redoc/redoc.standalone.js",
            redoc_favicon_url="docs/favicon.png",
            with_google_fonts=False,
        )

    for path in ASSETS:
        _add_asset(router, path)
    return router


def _add_asset(router: APIRouter, path: str) -> None:
    @router.get(path)
    async def asset() -> FileResponse:
        return FileResponse(_folder() / path.rpartition("/")[2])


def _folder() -> Path:
    # Not by importing the package, of which only the files are of use.
    spec = importlib.util.find_spec("fastapi_offline")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "static"
