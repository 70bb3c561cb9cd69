"""Live-video jobs of the fake orchestrator, and the payments that keep them going.

Source: go-livepeer `server/ai_http.go` (`StartLiveVideoToVideo`), `server/segment_rpc.go`
(`Payment`), `server/rpc.go` (`RefreshPayment`), `server/live_payment_processor.go`.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
from typing import TYPE_CHECKING, Final

from aiohttp import web

from ._cashier import PaymentRefusedError, read_payment
from ._checks import refuse
from ._credentials import CredentialsRefusedError, SegmentData, read_credentials
from ._faults import cut
from ._gojson import GoObject
from ._keys import raw_address
from ._node import TRICKLE, LiveJob, Node
from ._protobuf import Message, encode
from ._runner import RunnerRequest
from ._signer_pay import LV2V_UNITS_PER_S

if TYPE_CHECKING:
    from livepeer.client._wire.encoding import JSONValue

    from ._cashier import ReceivedPayment
    from ._info import InfoDesk

_SUFFIXES: Final = ("", "-out", "-control", "-events")
_ADDRESS: Final = re.compile(r"(0[xX])?[0-9a-fA-F]{40}")


class LiveVideo:
    """The live-video routes of one orchestrator.

    Attributes:
        interval_s: How often a job is charged at most, when segments come.
    """

    def __init__(self, node: Node, desk: InfoDesk) -> None:
        self.interval_s = 5.0
        self._node = node
        self._desk = desk

    @property
    def jobs(self) -> dict[str, LiveJob]:
        """The running jobs, by manifest id."""
        return self._node.live_jobs

    def add_routes(self, app: web.Application) -> None:
        """Add the routes to an application."""
        app.router.add_route("*", "/live-video-to-video", self._start)
        app.router.add_route("*", "/payment", self._payment)
        app.router.add_post("/refresh-payment", self._refresh)

    def see_segment(self, method: str, path: str) -> None:
        """Charge the job for which a segment comes in."""
        name, _, segment = path.removeprefix(f"{TRICKLE}/").partition("/")
        if method == "POST" and segment and name in self.jobs:
            self.charge(name)

    def see_close(self, method: str, path: str) -> None:
        """End the job whose input was closed."""
        name = path.removeprefix(f"{TRICKLE}/")
        if method == "DELETE" and name in self.jobs:
            self.end(name)

    def charge(self, manifest_id: str) -> None:
        """Debit a job for the time since it was debited last, unless that was just now."""
        job, now = self.jobs[manifest_id], self._node.clock()
        elapsed = now - job.charged_at
        if elapsed < self.interval_s or not job.rate:
            return
        job.charged_at = now
        fee = int(LV2V_UNITS_PER_S * elapsed) * job.rate
        cashier = self._node.cashier
        if cashier.balance(job.sender, manifest_id) < fee:
            self.end(manifest_id)
        else:
            cashier.credit(job.sender, manifest_id, -fee)

    def end(self, manifest_id: str) -> None:
        """End a job: all four channels close, without a word to the runner."""
        self.jobs.pop(manifest_id, None)
        for suffix in _SUFFIXES:
            self._node.trickle.close_channel(manifest_id + suffix)

    async def _start(self, request: web.Request) -> web.Response:
        node = self._node
        try:
            fields = GoObject.parse(await request.read(), "GenLiveVideoToVideoJSONRequestBody")
            model = fields.text("model_id")
        except ValueError as error:
            return refuse(400, str(error))
        if "model_id" not in fields:
            # There the handler fails on it.
            return cut(request)
        if not self._node.idle(model):
            return refuse(503, "insufficient capacity")
        manifest_id = secrets.token_hex(4)
        try:
            payment, _ = self._headers(request)
            received = node.take(payment, manifest_id)
        except _RefusalError as error:
            return refuse(error.status, str(error))
        except PaymentRefusedError as error:
            return refuse(400, str(error))
        if received.price and not self._is_covered(received):
            return refuse(400, "Insufficient balance")
        self.jobs[manifest_id] = LiveJob(
            manifest_id=manifest_id,
            model=model,
            sender=received.sender,
            rate=received.price,
            charged_at=node.clock(),
        )
        return await self._run(manifest_id, model, fields)

    def _is_covered(self, received: ReceivedPayment) -> bool:
        cashier = self._node.cashier
        balance = cashier.balance(received.sender, received.account)
        return balance >= cashier.recipient.ticket_value

    async def _run(self, manifest_id: str, model: str, fields: GoObject) -> web.Response:
        node = self._node
        kinds = ("video/MP2T", "video/MP2T", "application/json", "application/json")
        for suffix, kind in zip(_SUFFIXES, kinds, strict=True):
            node.trickle.create_channel(manifest_id + suffix, kind)
        base = f"{node.service_url}{TRICKLE}/{manifest_id}"
        urls: dict[str, JSONValue] = {"control_url": f"{base}-control"}
        urls["events_url"] = f"{base}-events"
        # The runner's words: it subscribes to what the caller publishes.
        start = {
            **urls,
            "subscribe_url": base,
            "publish_url": f"{base}-out",
            "model_id": model,
            "params": fields.raw("params"),
            "gateway_request_id": fields.text("gateway_request_id"),
            "manifest_id": manifest_id,
            "stream_id": fields.text("stream_id"),
        }
        reply = await node.models[model].handler(
            RunnerRequest(path="/live-video-to-video", body=json.dumps(start).encode())
        )
        if reply.status >= 400:
            self.end(manifest_id)
            return refuse(500, reply.body.decode())
        answer = {**urls, "publish_url": base, "subscribe_url": f"{base}-out"}
        return web.json_response({**answer, "manifest_id": manifest_id})

    async def _payment(self, request: web.Request) -> web.Response:
        node = self._node
        try:
            payment, segment = self._headers(request)
            node.take(payment, segment.manifest_id)
        except _RefusalError as error:
            return refuse(error.status, str(error))
        except PaymentRefusedError as error:
            return refuse(400, str(error))
        sender = payment.data(2).rjust(20, b"\0")
        info = self._desk.after_payment(sender, segment)
        return web.Response(body=encode({16: info}))

    async def _refresh(self, request: web.Request) -> web.Response:
        try:
            fields = GoObject.parse(await request.read(), "refreshPaymentParamsRequest")
            sender, manifest_id = fields.text("sender"), fields.text("manifest_id").strip()
        except ValueError as error:
            return _json_error(400, str(error))
        if not _ADDRESS.fullmatch(sender):
            return _json_error(400, "invalid sender")
        if not manifest_id:
            return _json_error(400, "missing manifest_id")
        info = self._desk.pinned(raw_address(sender), manifest_id)
        if info is None:
            return _json_error(409, "fixed price not found for session")
        return web.json_response(
            {
                "payment_params": base64.b64encode(info).decode(),
                "orchestrator": self._node.service_url,
                "manifest_id": manifest_id,
                "payment_url": f"{self._node.service_url}/payment",
            }
        )

    def _headers(self, request: web.Request) -> tuple[Message, SegmentData]:
        """The payment and the segment's credentials; raises `_RefusalError`."""
        try:
            payment = read_payment(request.headers.get("Livepeer-Payment", ""))
            sender = payment.data(2).rjust(20, b"\0")
        except (PaymentRefusedError, ValueError) as error:
            raise _RefusalError(402, str(error)) from error
        try:
            segment = read_credentials(
                request.headers.get("Livepeer-Segment", ""),
                sender,
                self._node.office,
                verify=self._node.verify,
            )
        except CredentialsRefusedError as error:
            raise _RefusalError(403, str(error)) from error
        if not self._desk.is_compatible(segment.capabilities):
            raise _RefusalError(403, "incompatible capabilities")
        return payment, segment


class _RefusalError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def _json_error(status: int, text: str) -> web.Response:
    return web.json_response({"error": {"message": text}}, status=status)
