"""A fake discovery URL: a list of orchestrators, as webhooks and discovery services answer it.

Source: go-livepeer `discovery/wh_discovery.go`, `server/remote_signer.go` (`GetOrchestrators`).
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from ._checks import record
from ._faults import Faults
from ._host import hosted

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from ._runner import SeenRequest


class FakeDiscovery:
    """A discovery URL, which ignores every query as many of them do.

    Attributes:
        url: What to give to a client, with a path.
        entries: What it answers, whatever that is; of a good entry only `address` is mandatory.
        headers: What every request must carry; without them it answers 401.
        seen: Every request that it got.
        faults: What goes wrong on order.
    """

    def __init__(self, entries: object, headers: Mapping[str, str]) -> None:
        self.url = ""
        self.entries = entries
        self.headers = dict(headers)
        self.seen: list[SeenRequest] = []
        self.faults = Faults()

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application()
        app.router.add_get("/discover", self._get)
        return app

    async def _get(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(await record(request))
        return await self.faults.run(request, self._answer)

    async def _answer(self, request: web.Request) -> web.Response:
        if any(request.headers.get(name) != value for name, value in self.headers.items()):
            return web.Response(status=401, text="Unauthorized\n")
        return web.json_response(self.entries)


@asynccontextmanager
async def fake_discovery(
    entries: Sequence[object], *, headers: Mapping[str, str] | None = None, tls: bool = False
) -> AsyncGenerator[FakeDiscovery]:
    """Serve a fake discovery URL on a free loopback port.

    Args:
        entries: What it answers, such as `[{"address": node.url}]`.
        headers: What every request must carry.
        tls: Serve https with a certificate that nobody vouches for.
    """
    discovery = FakeDiscovery(list(entries), headers or {})
    async with hosted(discovery.app(), tls=tls) as url:
        discovery.url = f"{url}/discover"
        yield discovery
