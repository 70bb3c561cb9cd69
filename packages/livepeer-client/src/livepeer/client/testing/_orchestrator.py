"""The fake orchestrator: BYOC and live video, with prices, real tickets and real trickle channels.

Source: go-livepeer `byoc/`, `server/`, `core/orchestrator.go`.
"""

from __future__ import annotations

import math
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from ._byoc import BYOC
from ._checks import record, refuse
from ._faults import Faults
from ._grpc_server import serve_grpc
from ._host import Host
from ._info import InfoDesk
from ._keys import raw_address
from ._lv2v import LiveVideo
from ._node import TRICKLE, Node, Settings
from ._tickets import FakeChain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping

    from ._branch import Flavour
    from ._cashier import ReceivedPayment
    from ._faults import Handler
    from ._runner import FakeCapability, FakeModel


class FakeOrchestrator(Node):
    """An orchestrator whose runners are functions.

    Attributes:
        url: Where it listens.
        capabilities: What it offers to BYOC jobs; may be changed at any time.
        models: What it offers to live-video jobs; likewise.
        seen: Every request that it got, trickle and gRPC excepted.
        infos: Every request of gRPC that it got, as bytes.
        streams: The ids of the running streams.
        trickle: Its trickle server; another one after a restart.
        public_host: The host that it writes into channel URLs in place of its own, as with
            `-liveAITrickleHostForRunner`; empty for its own.
        service_url: The URL that it gives as its own.
        verify: Whether it checks signatures.
        is_paid: Whether it checks tickets and keeps credit; otherwise any payment header pays.
        flavour: `head` checks plain signatures and drops the connection for a bad payment;
            `byoc` is the branch that checks V1 signatures and answers 400.
        reserve: Whether senders have a reserve; without one nobody gets ticket parameters.
        transcoding_price: Wei per pixel by gRPC where nothing priced is asked for.
        nodes: Other orchestrators of the same operator, by gRPC.
        runners: Live runners of `GET /discovery`, as JSON objects; None is a node without.
        events_charge_s: How often an event stream is charged for 5 s.
        faults: What goes wrong on order.
        cashier: Credit and payments.
        office: Its tokens.
        meters: What streams are charged.
        live_video: The live-video jobs.
        host: Its port and its certificate.
    """

    def __init__(
        self,
        capabilities: Mapping[str, FakeCapability],
        models: Mapping[str, FakeModel],
        settings: Settings,
        *,
        tls_name: str | None = None,
    ) -> None:
        super().__init__(capabilities, models, settings)
        self.runners: list[Mapping[str, object]] | None = None
        self.faults = Faults()
        self.host = Host(tls_name=tls_name)
        self.desk = InfoDesk(self)
        self.live_video = LiveVideo(self, self.desk)

    @property
    def payments(self) -> list[ReceivedPayment]:
        """Every payment that it accepted."""
        return self.cashier.payments

    def balance(self, sender: str, account: str) -> int:
        """A sender's credit for a capability or a live-video job, in whole wei."""
        return math.floor(self.cashier.balance(raw_address(sender), account))

    def set_balance(self, sender: str, account: str, amount: int) -> None:
        """Change a sender's credit, as payments and debits do."""
        raw = raw_address(sender)
        self.cashier.credit(raw, account, amount - self.cashier.balance(raw, account))

    def paths(self) -> list[str]:
        """The paths of the requests that it got, in order."""
        return [request.path for request in self.seen]

    async def open(self) -> None:
        """Listen; on the same port as before, after `kill`."""
        await self.host.bind()
        self.url = self.service_url = self.host.url
        await self.host.open(self.app())

    async def kill(self) -> None:
        """Reset every connection and refuse new ones; streams are lost."""
        await self.meters.close()
        self.streams.clear()
        self.live_jobs.clear()
        await self.host.close()

    async def restart(self) -> None:
        """Come back on the same port, as the real one does.

        Its tokens, ticket parameters, credit and channels are forgotten, and its certificate, if
        it has one, is another.
        """
        await self.kill()
        self.forget()
        await self.open()

    def app(self) -> web.Application:
        """The application to serve."""

        @web.middleware
        async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._front(request, handler)

        app = web.Application(client_max_size=1 << 26, middlewares=[front])
        BYOC(self).add_routes(app)
        self.live_video.add_routes(app)
        app.router.add_get("/discovery", self._discover)
        self.trickle.add_routes(app, TRICKLE)
        return app

    async def _front(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path.startswith(f"{TRICKLE}/"):
            self.live_video.see_segment(request.method, request.path)
            response = await handler(request)
            self.live_video.see_close(request.method, request.path)
            return response
        self.seen.append(await record(request))
        return await self.faults.run(request, handler)

    async def _discover(self, _request: web.Request) -> web.Response:
        if self.runners is None:
            return refuse(404, "live runners are not supported")
        return web.json_response([{"address": self.service_url, "runners": self.runners}])


@asynccontextmanager
async def fake_orchestrator(
    capabilities: Mapping[str, FakeCapability],
    *,
    verify: bool = True,
    public_host: str = "",
    models: Mapping[str, FakeModel] | None = None,
    flavour: Flavour = "head",
    tickets: bool = True,
    ticket_value: int = 10_000,
    chain: FakeChain | None = None,
    clock: Callable[[], float] = time.time,
    tls: bool | str = False,
    grpc: bool = False,
) -> AsyncGenerator[FakeOrchestrator]:
    """Serve a fake orchestrator on a free loopback port.

    Args:
        capabilities: What it offers to BYOC jobs.
        verify: Check signatures, for which the extra `eth` is needed; False is an orchestrator
            without a chain, which checks no payment either.
        public_host: The host in channel URLs; by default its own.
        models: What it offers to live-video jobs.
        flavour: `head` as released; `byoc` as the branch with V1 signatures.
        tickets: Check every ticket of a payment and keep credit; False takes any payment header.
        ticket_value: What one ticket is worth, wei.
        chain: What it sees of the chain; the same for an orchestrator and its signer.
        clock: Unix seconds, for tokens and live-video charges.
        tls: Serve https with a certificate of its own making; a text is the name in it.
        grpc: Answer `GetOrchestrator` on the same port, for which the extra `grpc` is needed.
    """
    settings = Settings(
        verify=verify,
        public_host=public_host,
        flavour=flavour,
        tickets=tickets,
        ticket_value=ticket_value,
        chain=chain or FakeChain(),
        clock=clock,
    )
    tls_name = None if tls is False else "127.0.0.1" if tls is True else tls
    node = FakeOrchestrator(capabilities, models or {}, settings, tls_name=tls_name)
    async with AsyncExitStack() as stack:
        if grpc:
            node.host.grpc_port = await stack.enter_async_context(serve_grpc(node.desk.answer))
        await node.open()
        stack.push_async_callback(node.kill)
        yield node
