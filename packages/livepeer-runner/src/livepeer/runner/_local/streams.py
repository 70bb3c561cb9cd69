"""Streams on the orchestrator: channels, the runner's three stream routes, and their ends.

Source: go-livepeer `byoc/stream_orchestrator.go`. A free stream is never ended by the orchestrator,
and nobody checks who stops or updates it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import ExitStack
from dataclasses import dataclass
from math import floor
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

from aiohttp import web

from . import calls, gojson, jobs
from .admission import Admitted, Node, admit, admit_and_reserve
from .answers import Refusal, raw, read_body

if TYPE_CHECKING:
    from collections.abc import Mapping

logger = logging.getLogger("livepeer.runner.local")

TRICKLE_BASE: Final = "/ai/trickle"


class _Channel(NamedTuple):
    """One channel of a stream: its name's ending, its type, and what each side calls it."""

    suffix: str
    content_type: str
    runner_key: str
    caller_header: str


_CONTROL = _Channel("-control", "application/json", "control_url", "X-Control-Url")
_EVENTS = _Channel("-events", "application/json", "events_url", "X-Events-Url")
_IN = _Channel("", "video/MP2T", "subscribe_url", "X-Publish-Url")
_OUT = _Channel("-out", "video/MP2T", "publish_url", "X-Subscribe-Url")
_DATA = _Channel("-data", "application/jsonl", "data_url", "X-Data-Url")


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: bytes


class Streams:
    """The routes under `/ai/stream/`, which do not look at the method."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ends: dict[str, ExitStack] = {}

    def add_routes(self, app: web.Application) -> None:
        """Mount the routes."""
        app.router.add_route("*", "/ai/stream/start", self.start)
        app.router.add_route("*", "/ai/stream/stop", self.stop)
        app.router.add_route("*", "/ai/stream/update", self.update)
        app.router.add_route("*", "/ai/stream/payment", self.payment)

    async def start(self, request: web.Request) -> web.Response:
        """Create the channels, start the runner, and answer with the channels' URLs.

        A second start of a running stream reaches the runner, is refused, and closes the channels
        of the first, as upstream: the names are the same.
        """
        try:
            job, slot = admit_and_reserve(self._node, request)
        except Refusal as refusal:
            refusal.status = 402 if refusal.text == jobs.NO_BALANCE else 400
            raise
        with ExitStack() as undo:
            undo.callback(slot.release)
            body = await read_body(request, self._node.settings.max_body_bytes)
            try:
                parameters = jobs.parse_parameters(job.request.parameters)
            except gojson.GoJSONError as error:
                raise Refusal(400, str(error)) from None
            urls = self._open(job.request.id, parameters, undo)
            headers = {channel.caller_header: url for channel, url in urls.items()}
            document = _runner_document(job.request.id, urls, body, headers)
            kind = {"Content-Type": request.headers.get("Content-Type", "")}
            began = time.monotonic()
            try:
                answer = await self._call(job, "start", job.request.id, document, kind)
            except calls.BadURL:
                raise Refusal(500, "Failed to create worker request", headers) from None
            except calls.CallError as error:
                logger.warning("stream %s did not start: %s", job.request.id, error)
                raise Refusal(500, "Error sending request to worker", headers) from None
            headers |= job.charge_since(began)
            if answer.status > 399:
                return raw(answer.status, answer.body, headers)
            if job.request.id in self._ends:
                text = "Error adding stream to external capabilities"
                raise Refusal(500, text, headers)
            if job.bill.price:
                undo.callback(asyncio.create_task(self._debit(job)).cancel)
            self._ends[job.request.id] = undo.pop_all()
        return web.Response(headers=headers)

    async def stop(self, request: web.Request) -> web.Response:
        """Tell the runner, and end the stream whatever it says."""
        job = self._admit(request, "stop stream")
        body = await read_body(request, self._node.settings.max_body_bytes)
        try:
            answer = await self._call(job, "stop", job.stream_id, body, {})
        except calls.BadURL as error:
            raise Refusal(400, str(error)) from None
        except calls.CallError as error:
            logger.warning(
                "stream %s: its runner was not told of the stop: %s", job.stream_id, error
            )
            answer = _Answer(200, b"")
        finally:
            self._end(job.stream_id)
        return raw(answer.status, answer.body)

    async def update(self, request: web.Request) -> web.Response:
        """Hand new parameters to the runner; the stream need not exist."""
        job = self._admit(request, "stop stream")  # the wrong word is upstream's
        body = await read_body(request, self._node.settings.max_body_bytes)
        kind = {"Content-Type": "application/json"}
        try:
            answer = await self._call(job, "params", job.stream_id, body, kind)
        except calls.BadURL as error:
            raise Refusal(400, str(error)) from None
        except calls.CallError as error:
            logger.warning("stream %s was not updated: %s", job.stream_id, error)
            raise Refusal(500, "Error sending request to worker") from None
        return raw(answer.status, answer.body)

    async def payment(self, request: web.Request) -> web.Response:
        """Take a payment, which on a free capability is not even looked at."""
        job = self._admit(request, "process payment")
        return web.Response(headers={jobs.BALANCE_HEADER: str(floor(job.bill.balance))})

    def close(self) -> None:
        """End every stream without telling its runner, as when the node goes down."""
        while self._ends:
            self._ends.popitem()[1].close()

    def _end(self, stream_id: str) -> None:
        ending = self._ends.pop(stream_id, None)
        if ending is not None:
            ending.close()

    async def _debit(self, job: Admitted) -> None:
        """Charge for the stream while it runs, and end it when nothing is left twice.

        Its runner is not told, as upstream: it sees the channels close. Nor is the first warning
        ever taken back: who pays after it and runs out again has no second one.
        """
        settings, warned = self._node.settings, False
        while True:
            await asyncio.sleep(settings.stream_debit_interval_s)
            if self._node.registry.get(job.request.capability) is None:
                return
            job.bill.charge(settings.stream_debit_s)
            if job.bill.balance >= 0:
                continue
            if warned:
                logger.warning("stream %s ends: its sender has no credit", job.request.id)
                self._end(job.request.id)
                return
            warned = True

    def _admit(self, request: web.Request, act: str) -> Admitted:
        try:
            return admit(self._node, request)
        except Refusal as refusal:
            text = f"Failed to {act}, request not valid err={refusal.text}"
            raise Refusal(400, text) from None

    def _open(
        self, stream_id: str, parameters: jobs.JobParameters, undo: ExitStack
    ) -> dict[_Channel, str]:
        wanted = [_CONTROL, _EVENTS]
        wanted += [_IN] if parameters.video_ingress else []
        wanted += [_OUT] if parameters.video_egress else []
        wanted += [_DATA] if parameters.data_output else []
        # An empty id has no place in a URL: what comes out is as broken as upstream's.
        path = f"/{quote(stream_id)}" if stream_id else ""
        urls: dict[_Channel, str] = {}
        for channel in wanted:
            name = stream_id + channel.suffix
            try:
                self._node.trickle.create_channel(name, channel.content_type)
            except OverflowError as error:
                raise Refusal(503, str(error)) from None
            undo.callback(self._node.trickle.close_channel, name)
            urls[channel] = f"{self._node.url}{TRICKLE_BASE}{path}{channel.suffix}"
        return urls

    async def _call(
        self, job: Admitted, route: str, stream_id: str, body: bytes, headers: Mapping[str, str]
    ) -> _Answer:
        name, settings = job.request.capability, self._node.settings
        headers = {
            **headers,
            **({"X-Stream-Id": stream_id} if stream_id else {}),
            **calls.bearer(self._node.token(name)),
        }
        url = f"{job.url}/stream/{route}"
        timeout_s = job.request.timeout_seconds
        async with calls.send(self._node.session, url, body, headers, timeout_s) as answer:
            try:
                data = await calls.read_answer(
                    answer, settings.max_body_bytes, settings.answer_timeout_s
                )
            except calls.CallError:
                return _Answer(500, b"Error reading response body")
        if answer.status == 401:
            logger.warning("removing capability %r: its runner answered 401", name)
            self._node.registry.remove(name)
            return _Answer(500, b"Orchestrator worker failure")
        return _Answer(answer.status, data)


def _runner_document(
    stream_id: str, urls: Mapping[_Channel, str], body: bytes, headers: Mapping[str, str]
) -> bytes:
    """The orchestrator's keys, overridden by every key of the caller's object."""
    try:
        given = gojson.loads(body)
    except gojson.GoJSONError:
        raise Refusal(400, "Invalid JSON body", headers) from None
    if given is None:
        given = {}
    if not isinstance(given, dict):
        raise Refusal(400, "Invalid JSON body", headers)
    document: dict[str, gojson.JSONValue] = {"gateway_request_id": stream_id}
    document |= {channel.runner_key: url for channel, url in urls.items()}
    return gojson.dumps(document | given)
