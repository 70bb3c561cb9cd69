"""The local orchestrator: registry, jobs, streams and trickle channels on one application."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from livepeer.trickle import TrickleServer
from livepeer.trickle.loopback import from_this_machine, is_loopback

from .admission import Node
from .answers import go_mux
from .batch import PREFIX, Batch
from .calls import new_session
from .capabilities import Registry
from .discovery import add_discovery
from .registration import Registration
from .streams import TRICKLE_BASE, Streams

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from .keys import Verifier
    from .money.till import Till
    from .settings import LocalSettings


NODE = web.AppKey("node", Node)


def make_orchestrator(
    url: str, verifier: Verifier, till: Till | None, settings: LocalSettings
) -> web.Application:
    """Build the application; it must be served by one event loop, with handler cancellation.

    Args:
        url: Where callers and runners reach it, without a trailing slash (`-serviceAddr`).
        verifier: Decides about signatures.
        till: What charges for jobs; None for an orchestrator that is free.
        settings: Intervals and limits.
    """
    app = web.Application(middlewares=[go_mux])
    trickle = TrickleServer(
        idle_timeout_s=settings.channel_idle_s,
        sweep_interval_s=settings.channel_sweep_s,
        authorize=from_this_machine if is_loopback(urlsplit(url).hostname or "") else None,
    )
    node = Node(url, settings, Registry(), verifier, trickle, till)
    streams = Streams(node)
    Registration(node).add_routes(app)
    Batch(node).add_routes(app)
    streams.add_routes(app)
    trickle.add_routes(app, TRICKLE_BASE)
    app.router.add_route("*", PREFIX.rstrip("/"), _to_subtree)
    add_discovery(app, url)
    app[NODE] = node

    async def lifespan(_: web.Application) -> AsyncIterator[None]:
        async with new_session() as node.session:
            yield
        streams.close()

    app.cleanup_ctx.append(lifespan)
    return app


async def _to_subtree(request: web.Request) -> web.Response:
    """Go's mux redirects the prefix without its slash."""
    return web.Response(status=301, headers={"Location": request.path + "/"})
