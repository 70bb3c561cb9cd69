"""The fake remote signer: a server that signs and pays with a key of its own.

Source: go-livepeer `server/remote_signer.go`; `/sign-byoc-job` and the payment type `byoc` exist in
its branch `feat/remote-signer-byoc` alone.
"""

from __future__ import annotations

import json
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from ._branch import v1_message
from ._ceilings import exceeded, parse_max_price
from ._checks import record
from ._faults import Faults
from ._gojson import GoObject
from ._host import hosted
from ._keys import FakeKey
from ._signer_order import MadePayment, Order, SignerRefusalError
from ._signer_pay import PaymentMaker
from ._tickets import FakeChain

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

    from ._branch import Flavour
    from ._faults import Handler
    from ._runner import SeenRequest
    from ._signer_order import SignerLimits

_MASKED: Final = {500: "Internal Server Error", 503: "Service Unavailable Error"}
_MAX_JOB_BYTES: Final = 1 << 20
_MAX_TIMEOUT_S: Final = (1 << 32) - 1


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a signer's webhook says of a payment.

    Attributes:
        status: 200 lets it pass; any other is the signer's answer to the caller.
        reason: The text that goes with another status.
        expiry: Until when the webhook need not be asked again, unix seconds.
        auth_id: Whom the webhook took the caller for; must not change while a session lives.
        max_price: A ceiling, as a `maxPrice` object.
    """

    status: int = 200
    reason: str = ""
    expiry: int = 0
    auth_id: str = ""
    max_price: Mapping[str, object] | None = None


class FakeSigner:
    """A remote signer.

    Attributes:
        url: Where it listens.
        address: Its Ethereum address.
        seen: Every request that it got, also those that it refused.
        payments: Every payment that it made.
        faults: What goes wrong on order.
        limits: What it pays at most.
        bearer: The token that every request must carry in `Authorization: Bearer`; empty for none.
        webhook: Asked before a payment leaves, with the caller's headers (lower-case names).
        discovery: What `/discover-orchestrators` answers; None is a signer without that route, an
            empty list one whose list is not ready.
        reused_states: How often a state came that had come before: a second payment for an
            interval that was paid, or two calls at once.
        most_at_once: The most payment calls that were open at the same time.
    """

    def __init__(
        self,
        *,
        key: FakeKey,
        flavour: Flavour,
        chain: FakeChain,
        clock: Callable[[], float],
        bearer: str,
        discovery: Sequence[Mapping[str, object]] | None,
    ) -> None:
        self.url = ""
        self.address = key.address
        self.seen: list[SeenRequest] = []
        self.payments: list[MadePayment] = []
        self.faults = Faults()
        self.bearer = bearer
        self.webhook: Callable[[Mapping[str, str]], Verdict] | None = None
        self.discovery = discovery
        self.reused_states = 0
        self.most_at_once = 0
        self._key = key
        self._flavour = flavour
        self._clock = clock
        self._maker = PaymentMaker(key, chain, flavour)
        self._states: set[str] = set()
        self._open = 0

    @property
    def limits(self) -> SignerLimits:
        """What it pays at most; may be changed at any time."""
        return self._maker.limits

    def paths(self) -> list[str]:
        """The paths of the requests that it got, in order, without their queries."""
        return [request.path.partition("?")[0] for request in self.seen]

    def app(self) -> web.Application:
        """The application to serve."""

        @web.middleware
        async def front(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._front(request, handler)

        app = web.Application(client_max_size=1 << 26, middlewares=[front])
        app.router.add_post("/sign-orchestrator-info", self._sign_info)
        app.router.add_post("/generate-live-payment", self._payment)
        app.router.add_get("/discover-orchestrators", self._discover, allow_head=False)
        if self._flavour == "byoc":
            app.router.add_post("/sign-byoc-job", self._sign_job)
        return app

    async def _front(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.seen.append(await record(request))
        if self.bearer and request.headers.get("Authorization") != f"Bearer {self.bearer}":
            return web.Response(status=401, text="Unauthorized\n")

        async def answered(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except SignerRefusalError as refusal:
                return _refuse(refusal.status, str(refusal), refusal.headers)
            except ValueError as error:
                return _refuse(400, str(error))

        return await self.faults.run(request, answered)

    async def _sign_info(self, _request: web.Request) -> web.Response:
        signature = self._key.sign(self.address.encode())
        return web.json_response({"address": self.address, "signature": "0x" + signature.hex()})

    async def _sign_job(self, request: web.Request) -> web.Response:
        body = await request.read()
        if len(body) > _MAX_JOB_BYTES:
            raise ValueError("http: request body too large")
        fields = GoObject.parse(body, "SignBYOCJobRequestInput")
        id_, capability = fields.text("id"), fields.text("capability")
        parts = (id_, capability, fields.text("request"), fields.text("parameters"))
        timeout_s = fields.number("timeout_seconds")
        if not id_ or not capability:
            raise ValueError("sign-byoc-job requires non-empty id and capability")
        if timeout_s <= 0:
            raise ValueError("timeout_seconds must be positive")
        if timeout_s > _MAX_TIMEOUT_S:
            raise ValueError(f"timeout_seconds exceeds maximum {_MAX_TIMEOUT_S}")
        signature = self._key.sign(v1_message(timeout_s, *parts))
        return web.json_response({"sender": self.address, "signature": "0x" + signature.hex()})

    async def _payment(self, request: web.Request) -> web.Response:
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            fields = GoObject.parse(await request.read(), "RemotePaymentRequest")
            order = self._maker.read(fields)
            now = self._clock()
            self._maker.check_session(order, now)
            self._maker.units(order, now)
            self._maker.check_price(order)
            payment, made = self._maker.pay(order, now)
            self._ask_webhook(request, order, now)
        finally:
            self._open -= 1
        self._count(fields)
        self.payments.append(made)
        return web.json_response(
            {
                "payment": payment,
                "segCreds": self._maker.credentials(order),
                "state": order.state.sealed(self._key),
            }
        )

    def _count(self, fields: GoObject) -> None:
        state = fields.child("state").text("State")
        self.reused_states += state in self._states
        if state:
            self._states.add(state)

    def _ask_webhook(self, request: web.Request, order: Order, now: float) -> None:
        state = order.state
        verdict: Verdict | None = None
        if self.webhook is not None and not (state.auth_expiry and now <= state.auth_expiry):
            verdict = self.webhook({k.lower(): v for k, v in request.headers.items()})
            if verdict.status != 200:
                text = f"signer auth rejected request with status {verdict.status}"
                raise SignerRefusalError(verdict.status, verdict.reason or text)
            state.auth_expiry = verdict.expiry
            self._check_ceiling(verdict, order)
        auth_id = request.headers.get("Signer-Auth-Id", "")
        if verdict is not None and verdict.auth_id:
            auth_id = verdict.auth_id
        if auth_id and state.auth_id != auth_id:
            if state.auth_id:
                raise SignerRefusalError(500, "remote signer auth ID changed")
            state.auth_id = auth_id

    def _check_ceiling(self, verdict: Verdict, order: Order) -> None:
        if verdict.max_price is None or self._flavour != "head":
            return
        try:
            ceiling = parse_max_price(GoObject(dict(verdict.max_price)), order.type)
        except ValueError as error:
            raise SignerRefusalError(502, f"signer auth invalid maxPrice: {error}") from error
        problem = exceeded(order.price.rate, {"auth webhook maxPrice": ceiling})
        if problem:
            raise SignerRefusalError(481, problem)

    async def _discover(self, request: web.Request) -> web.Response:
        if self.discovery is None:
            return web.Response(status=404, text="404 page not found\n")
        if not self.discovery:
            raise SignerRefusalError(503, "cache empty")
        wanted = {name for name in request.query.getall("caps", []) if name}
        return web.json_response(
            [
                {"score": 1, **entry}
                for entry in self.discovery
                if not wanted or wanted & _names(entry.get("capabilities"))
            ]
        )


def _names(value: object) -> set[str]:
    names = cast("list[object]", value) if isinstance(value, list) else []
    return {str(name) for name in names}


def _refuse(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """An error as every one of the signer's, which hides the reason of some."""
    message = _MASKED.get(status, text)
    return web.Response(
        status=status,
        body=json.dumps({"error": {"message": message}}).encode() + b"\n",
        content_type="application/json",
        headers=headers,
    )


@asynccontextmanager
async def fake_signer(
    *,
    flavour: Flavour = "head",
    key: str | None = None,
    chain: FakeChain | None = None,
    clock: Callable[[], float] = time.time,
    bearer: str = "",
    discovery: Sequence[Mapping[str, object]] | None = None,
    tls: bool = False,
) -> AsyncGenerator[FakeSigner]:
    """Serve a fake remote signer on a free loopback port. Needs the extra `eth`.

    Args:
        flavour: `head` as released, which cannot sign BYOC jobs (404) and refuses to pay for them
            (400 `invalid job type`); `byoc` as the branch that can.
        key: Its private key in hex; by default a new one.
        chain: What it sees of the chain; the same for an orchestrator and its signer.
        clock: Unix seconds, by which it counts what is owed.
        bearer: The token that every request must carry.
        discovery: The entries of `/discover-orchestrators`, each with `address`, and
            `capabilities` to filter by.
        tls: Serve https with a certificate that nobody vouches for, so that a caller who verifies
            goes no further.
    """
    signer = FakeSigner(
        key=FakeKey(key),
        flavour=flavour,
        chain=chain or FakeChain(),
        clock=clock,
        bearer=bearer,
        discovery=discovery,
    )
    async with hosted(signer.app(), tls=tls) as url:
        signer.url = url
        yield signer
