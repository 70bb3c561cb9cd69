"""The local gateway: batch jobs and streams for clients, on one application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from .answers import go_mux
from .calls import new_session
from .gateway_jobs import GatewayBatch
from .gateway_streams import GatewayStreams
from .offers import Orchestrators

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from .keys import Signer
    from .settings import LocalSettings


def make_gateway(
    orchestrators: Sequence[str], signer: Signer, settings: LocalSettings
) -> web.Application:
    """Build the application; it must be served by one event loop, with handler cancellation.

    Args:
        orchestrators: Their URLs, without a trailing slash.
        signer: Signs jobs and token requests.
        settings: Intervals and limits.
    """
    app = web.Application(middlewares=[go_mux])
    node = Orchestrators(orchestrators, signer, settings)
    streams = GatewayStreams(node)
    GatewayBatch(node).add_routes(app)
    streams.add_routes(app)

    async def lifespan(_: web.Application) -> AsyncIterator[None]:
        async with new_session() as node.session:
            yield
            await streams.close()

    app.cleanup_ctx.append(lifespan)
    return app
