"""Runners register and unregister, callers ask for a token (`byoc/job_orchestrator.go`)."""

from __future__ import annotations

import json
import logging
import secrets
from math import floor
from typing import TYPE_CHECKING

from aiohttp import web

from . import jobs
from .answers import Refusal, read_body
from .capabilities import CapabilityError

if TYPE_CHECKING:
    from .admission import Node

logger = logging.getLogger("livepeer.runner.local")

_MAX_REGISTRATION = 1024 * 1024
_UNIT = {"pixelsPerUnit": 1}
# A price of zero is left out, its unit is not.
_FREE: dict[str, object] = {"price": _UNIT}


class Registration:
    """The routes `/capability/register`, `/capability/unregister` and `/process/token`."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def add_routes(self, app: web.Application) -> None:
        """Mount the routes; each looks at the method itself, for the text of its refusal."""
        app.router.add_route("*", "/capability/register", self.register)
        app.router.add_route("*", "/capability/unregister", self.unregister)
        app.router.add_route("*", "/process/token", self.token)

    async def register(self, request: web.Request) -> web.Response:
        """Add or replace a capability; "ok" is not JSON, whatever its type says."""
        self._authorize(request)
        body = await read_body(request, _MAX_REGISTRATION)
        try:
            capability = self._node.registry.register(body)
        except CapabilityError as error:
            text = f"Error registering capability: {error}"
            return _typed(400, text)
        logger.info("registered capability %r at %s", capability.name, capability.url)
        return _typed(200, "ok")

    async def unregister(self, request: web.Request) -> web.Response:
        """Forget the capability whose bare name is the body; an unknown one is "ok" too."""
        self._authorize(request)
        body = await read_body(request, _MAX_REGISTRATION)
        name = body.decode("utf-8", "replace")
        self._node.registry.remove(name)
        logger.info("unregistered capability %r", name)
        return _typed(200, "ok")

    async def token(self, request: web.Request) -> web.Response:
        """What a job on the capability costs and whether there is room; zeros are left out."""
        if request.method != "GET":
            raise Refusal(405, "Method not allowed")
        header = request.headers.get(jobs.ADDRESS_HEADER, "")
        if not header:
            raise Refusal(
                400,
                f"Must have eth address and signature on address in {jobs.ADDRESS_HEADER} header",
            )
        credentials = self._credentials(header)
        capability = request.headers.get(jobs.CAPABILITY_HEADER, "")
        if not capability:
            raise Refusal(
                400,
                "Job capabilities not provided, must provide comma separated capabilities in "
                f"{jobs.CAPABILITY_HEADER} header",
            )
        token: dict[str, object] = {
            "sender_address": {"addr": credentials.addr, "sig": credentials.sig},
            **self._terms(jobs.address_bytes(credentials.addr), capability),
            "service_addr": self._node.url,
        }
        available = self._node.registry.available(capability)
        if available:
            token["available_capacity"] = available
        token["LastNonce"] = 0
        return _typed(200, json.dumps(token, ensure_ascii=False, separators=(",", ":")) + "\n")

    def _terms(self, sender: bytes, capability: str) -> dict[str, object]:
        """What concerns money: each call gives new ticket parameters."""
        till = self._node.till
        if till is None:
            return _FREE
        price, balance = self._node.price(capability), floor(till.balance(sender, capability))
        return {
            "ticket_params": till.ticket_params(sender, price).json(),
            **({"balance": balance} if balance else {}),
            "price": ({"pricePerUnit": price} if price else {}) | _UNIT,
        }

    def _credentials(self, header: str) -> jobs.Credentials:
        try:
            credentials = jobs.parse_credentials(header)
            signature = jobs.signature_bytes(credentials.sig)
        except jobs.BadJob:
            raise Refusal(400, "Invalid eth address header ") from None
        # The string is signed as it was sent, in its own letter case.
        address, message = jobs.address_bytes(credentials.addr), credentials.addr.encode()
        if not self._node.verifier.accepts(address, message, signature):
            raise Refusal(400, "Invalid eth address header ")
        return credentials

    def _authorize(self, request: web.Request) -> None:
        if request.method != "POST":
            raise Refusal(405, "Method not allowed")
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        wanted = self._node.settings.secret.encode()
        if not secrets.compare_digest(given, wanted):
            raise Refusal(400, "invalid authorization")


def _typed(status: int, text: str) -> web.Response:
    """A plain text that calls itself JSON, as upstream."""
    headers = {"Content-Type": "application/json"}
    return web.Response(status=status, body=text.encode(), headers=headers)
