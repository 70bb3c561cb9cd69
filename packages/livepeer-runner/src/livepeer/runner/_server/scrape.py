"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.requests import Request

    from livepeer.runner._batch_metrics import BatchMetrics
    from livepeer.runner._metrics import LiveMetrics
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._server.metrics import Exposition


def metrics_router(source: LiveMetrics | BatchMetrics, engine: Engine) -> APIRouter:
    """Answer `GET /metrics`; what makes the text is loaded when it is first asked for.

    Args:
        source: Where live sessions, or the requests of a batch pipeline, are counted.
        engine: What knows the load.
    """
    router = APIRouter()
    made: Exposition | None = None

    async def metrics(request: Request) -> Response:
        nonlocal made
        if made is None:
            # Not on the loop, which streams need meanwhile.
            made = await asyncio.to_thread(_make, source, engine)
        body, content_type = made.text(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    router.add_route("/metrics", metrics, include_in_schema=False)
    return router


def _make(source: LiveMetrics | BatchMetrics, engine: Engine) -> Exposition:
    from livepeer.runner._server.metrics import Exposition

    return Exposition(source, lambda: engine.load)
