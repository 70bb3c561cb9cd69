"""`GET /discovery`: the list that a discovery URL gives, with this node alone in it.

Source: go-livepeer `server/ai_http.go` (`DiscoverLiveRunners`). Live runners would be listed with
the node; there are none here.
"""

from __future__ import annotations

from aiohttp import web


def add_discovery(app: web.Application, url: str) -> None:
    """Mount the route; `url` is the node's own."""

    async def discover(_: web.Request) -> web.Response:
        return web.json_response([{"address": url}])

    app.router.add_get("/discovery", discover)
