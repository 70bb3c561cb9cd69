"""BYOC on the fake orchestrator: token, batch, streams and their payments.

Source: go-livepeer `byoc/job_orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from contextlib import aclosing
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from aiohttp import web

from livepeer.trickle.aio import cancel_and_wait

from ._cashier import PaymentRefusedError
from ._ceilings import decimal
from ._checks import decode, refuse
from ._faults import cut
from ._gojson import GoObject
from ._keys import hex_signature, is_signed, raw_address
from ._meters import CHARGE_S
from ._relay import relayed
from ._turnstile import NotAdmittedError, Turnstile

if TYPE_CHECKING:
    from livepeer.client._wire.encoding import JSONValue

    from ._node import Node
    from ._runner import RunnerReply
    from ._turnstile import Admitted

_EVENTS_CHARGE_S: Final = 5
_STARVED: Final = b'event: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n\n'


class BYOC:
    """The BYOC routes of one orchestrator."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._turnstile = Turnstile(node)

    def add_routes(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_get("/process/token", self._token, allow_head=False)
        app.router.add_post("/process/request/{rest:.*}", self._batch)
        app.router.add_route("*", "/ai/stream/start", self._start)
        app.router.add_route("*", "/ai/stream/{action:stop|update}", self._control)
        app.router.add_route("*", "/ai/stream/payment", self._payment)

    async def _token(self, request: web.Request) -> web.Response:
        node = self._node
        header = request.headers.get("Livepeer-Eth-Address")
        if not header:
            text = "Must have eth address and signature on address in Livepeer-Eth-Address header"
            return refuse(400, text)
        credentials = decode(header) or {}
        address = str(credentials.get("addr"))
        signature = hex_signature(str(credentials.get("sig")))
        sender = raw_address(address)
        if node.verify and not (
            signature is not None and is_signed(address.encode(), signature, sender)
        ):
            return refuse(400, "Invalid eth address header ")
        name = request.headers.get("Livepeer-Capability")
        if not name:
            text = (
                "Job capabilities not provided, must provide comma separated capabilities in"
                " Livepeer-Capability header"
            )
            return refuse(400, text)
        offer = node.capabilities.get(name)
        price = 0 if offer is None else offer.price
        if price and not node.reserve:
            return refuse(400, "Could not get ticket params err=insufficient sender reserve")
        return web.json_response(self._terms(name, price, sender, credentials))

    def _terms(
        self, name: str, price: int, sender: bytes, credentials: dict[str, object]
    ) -> dict[str, object]:
        node = self._node
        prices: dict[str, JSONValue] = {"pixelsPerUnit": 1}
        token: dict[str, object] = {"sender_address": credentials}
        # What is zero is left out.
        if price:
            prices["pricePerUnit"] = price
        if node.is_paid:
            token["ticket_params"] = node.cashier.recipient.terms(sender, Fraction(price)).json()
            balance = int(node.cashier.balance(sender, name))
            if balance:
                token["balance"] = balance
        token["price"] = prices
        token["service_addr"] = node.service_url
        offer = node.capabilities.get(name)
        if offer is not None and offer.capacity > 0:
            token["available_capacity"] = offer.capacity
        return {**token, "LastNonce": 0}

    async def _batch(self, request: web.Request) -> web.StreamResponse:
        node = self._node
        body = await request.read()
        try:
            admitted = self._turnstile.admit(request, reserve=True)
        except NotAdmittedError as error:
            full = str(error) == "No capacity available for capability"
            return refuse(503 if full else 400, str(error))
        except PaymentRefusedError:
            return cut(request)
        job, began = admitted.job, time.monotonic()
        reply = await node.run(job, "/" + request.match_info["rest"], body)
        if reply.chunks is not None and reply.status != 401:
            return await self._events(request, admitted, reply)
        balance = {"Livepeer-Balance": self._charge(admitted, time.monotonic() - began)}
        if reply.status == 401:
            del node.capabilities[job.capability]
            text = "job not able to be processed, removing capability err=worker auth token failed"
            return refuse(500, text, balance)
        if reply.status >= 400:
            return refuse(reply.status, reply.body.decode(), balance)
        headers = {**balance, "Content-Type": reply.content_type}
        return web.Response(body=reply.body, headers=headers)

    def _charge(self, admitted: Admitted, seconds: float) -> str:
        """Debit the whole seconds of a job; gives the balance as headers have it."""
        cashier, name = self._node.cashier, admitted.job.capability
        if admitted.price and self._node.is_paid:
            fee = admitted.price * max(1, math.ceil(seconds))
            cashier.credit(admitted.sender, name, Fraction(-fee))
        return decimal(cashier.balance(admitted.sender, name), 0)

    async def _events(
        self, request: web.Request, admitted: Admitted, reply: RunnerReply
    ) -> web.StreamResponse:
        node, name = self._node, admitted.job.capability

        def balance() -> Fraction:
            return node.cashier.balance(admitted.sender, name)

        headers = {
            "Content-Type": "text/event-stream",
            "Cache-Control": "no-cache",
            "Livepeer-Payment-Balance": decimal(balance(), 0),
        }
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)

        async def pump() -> None:
            if reply.chunks is None:
                return
            lines = relayed(reply.chunks, admitted.job.timeout_seconds, balance)
            async with aclosing(lines):
                async for line in lines:
                    await response.write(line)

        async def starve() -> None:
            while balance() >= 0:
                await asyncio.sleep(node.events_charge_s)
                fee = _EVENTS_CHARGE_S * admitted.price
                node.cashier.credit(admitted.sender, name, Fraction(-fee))

        tasks = [asyncio.create_task(pump())]
        if admitted.price and node.is_paid:
            tasks.append(asyncio.create_task(starve()))
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                await cancel_and_wait(tasks[0])
                await response.write(_STARVED)
        finally:
            await cancel_and_wait(*tasks)
        return response

    async def _start(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        try:
            admitted = self._turnstile.admit(request, reserve=True)
        except NotAdmittedError as error:
            unpaid = str(error) == "Insufficient balance for request"
            return refuse(402 if unpaid else 400, str(error))
        except PaymentRefusedError:
            return cut(request)
        try:
            GoObject.parse(admitted.job.parameters.encode(), "JobParameters")
        except ValueError as error:
            return refuse(400, str(error))
        try:
            body: object = json.loads(raw)
        except ValueError:
            body = []
        if body is not None and not isinstance(body, dict):
            return refuse(400, "Invalid JSON body")
        began = time.monotonic()
        response = await self._node.start_stream(admitted.job, body or {})  # pyright: ignore[reportUnknownArgumentType]
        response.headers["Livepeer-Balance"] = self._charge(admitted, time.monotonic() - began)
        if response.status == 200 and admitted.price and self._node.is_paid:
            self._meter(admitted)
        return response

    def _meter(self, admitted: Admitted) -> None:
        node, sender, name = self._node, admitted.sender, admitted.job.capability

        def charge() -> Fraction:
            offer = node.capabilities.get(name)
            fee = CHARGE_S * (0 if offer is None else offer.price)
            node.cashier.credit(sender, name, Fraction(-fee))
            return node.cashier.balance(sender, name)

        stream_id = admitted.job.id
        node.meters.start(stream_id, charge, lambda: node.remove_stream(stream_id))

    async def _control(self, request: web.Request) -> web.Response:
        body = await request.read()
        try:
            admitted = self._turnstile.admit(request, reserve=False)
        except NotAdmittedError as error:
            return refuse(400, f"Failed to stop stream, request not valid err={error}")
        except PaymentRefusedError:
            return cut(request)
        job, stop = admitted.job, request.match_info["action"] == "stop"
        if job.capability not in self._node.capabilities:
            reply = None
        else:
            path = "/stream/stop" if stop else "/stream/params"
            reply = await self._node.run(job, path, body)
        if stop:
            self._node.remove_stream(job.stream_id)
        elif reply is None:
            return refuse(500, "Error sending request to worker")
        return (
            web.Response() if reply is None else web.Response(status=reply.status, body=reply.body)
        )

    async def _payment(self, request: web.Request) -> web.Response:
        await request.read()
        try:
            admitted = self._turnstile.admit(request, reserve=False)
        except NotAdmittedError as error:
            return refuse(400, f"Failed to process payment, request not valid err={error}")
        except PaymentRefusedError:
            return cut(request)
        balance = self._node.cashier.balance(admitted.sender, admitted.job.capability)
        return web.Response(headers={"Livepeer-Balance": str(math.floor(balance))})
