"""What every part of the fake orchestrator works on: its offers, its memory and its streams.

Source: go-livepeer `core/orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from aiohttp import web

from livepeer.trickle import TrickleServer

from ._cashier import Cashier, ReceivedPayment
from ._checks import JobFields, refuse
from ._credentials import TokenOffice
from ._keys import FakeKey
from ._meters import Meters
from ._runner import FakeCapability, FakeModel, RunnerReply, RunnerRequest, SeenRequest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.client._wire.encoding import JSONValue

    from ._branch import Flavour
    from ._protobuf import Message
    from ._tickets import FakeChain

TRICKLE: Final = "/ai/trickle"

# Flag, channel suffix, the runner's key, the caller's header.
_CHANNELS: Final = (
    ("", "-control", "control_url", "X-Control-Url"),
    ("", "-events", "events_url", "X-Events-Url"),
    ("enable_video_ingress", "", "subscribe_url", "X-Publish-Url"),
    ("enable_video_egress", "-out", "publish_url", "X-Subscribe-Url"),
    ("enable_data_output", "-data", "data_url", "X-Data-Url"),
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a node is set up; see `fake_orchestrator`."""

    verify: bool
    public_host: str
    flavour: Flavour
    tickets: bool
    ticket_value: int
    chain: FakeChain
    clock: Callable[[], float]


@dataclass
class LiveJob:
    """A running live-video job.

    Attributes:
        manifest_id: Its id, the payments' account.
        model: The model's name.
        sender: Who pays, 20 bytes.
        rate: Wei for one pixel, as the first payment expected it.
        charged_at: Up to when it is paid for, by the orchestrator's clock.
    """

    manifest_id: str
    model: str
    sender: bytes
    rate: Fraction
    charged_at: float


class Node:
    """The state of an orchestrator; its attributes are those of `FakeOrchestrator`."""

    def __init__(
        self,
        capabilities: Mapping[str, FakeCapability],
        models: Mapping[str, FakeModel],
        settings: Settings,
    ) -> None:
        self.url = ""
        self.service_url = ""
        self.capabilities = dict(capabilities)
        self.models = dict(models)
        self.seen: list[SeenRequest] = []
        self.infos: list[bytes] = []
        self.streams: set[str] = set()
        self.live_jobs: dict[str, LiveJob] = {}
        self.public_host = settings.public_host
        self.verify = settings.verify
        self.is_paid = settings.tickets and settings.verify
        self.flavour: Flavour = settings.flavour
        self.reserve = True
        self.transcoding_price = Fraction(0)
        self.nodes: list[str] = []
        self.events_charge_s = 5.0
        self.chain = settings.chain
        self.clock = settings.clock
        self.meters = Meters()
        self._key = FakeKey() if settings.verify else None
        self._ticket_value = settings.ticket_value
        self.forget()

    @property
    def address(self) -> bytes:
        """Its Ethereum address, 20 bytes; empty without a chain."""
        return b"" if self._key is None else self._key.raw

    def forget(self) -> None:
        """Begin without memory, as every start does."""
        self.trickle = TrickleServer()
        self.cashier = Cashier(self.address, self.chain, ticket_value=self._ticket_value)
        self.office = TokenOffice(self.clock)

    def take(self, payment: Message, account: str) -> ReceivedPayment:
        """Take a payment; raises `PaymentRefusedError`."""
        if not self.is_paid:
            return ReceivedPayment(
                account=account, sender=b"", price=Fraction(0), nonces=(), value=0
            )
        return self.cashier.take(payment, account)

    def busy(self, model: str) -> int:
        """How many live-video jobs of a model run."""
        return sum(job.model == model for job in self.live_jobs.values())

    def idle(self, model: str) -> int:
        """How many more could."""
        offer = self.models.get(model)
        return 0 if offer is None else max(offer.capacity - self.busy(model), 0)

    async def run(self, job: JobFields, path: str, body: bytes) -> RunnerReply:
        """Let the runner answer; its own timeout is a reply as well, of status 500."""
        request = RunnerRequest(path=path, body=body, stream_id=job.stream_id)
        handler = self.capabilities[job.capability].handler
        try:
            async with asyncio.timeout(job.timeout_seconds):
                return await handler(request)
        except TimeoutError:
            text = (
                'job not able to be processed, removing capability err=Post "x": context canceled'
            )
            return RunnerReply(status=500, body=text.encode())

    async def start_stream(self, job: JobFields, body: dict[str, JSONValue]) -> web.Response:
        """Create the channels and ask the runner, as the route does after its checks."""
        if job.id in self.streams:
            self._close_channels(job.id)
            return refuse(500, "Error adding stream to external capabilities")
        host = self.public_host or self.url
        start: dict[str, JSONValue] = {"gateway_request_id": job.id}
        headers = {"Livepeer-Balance": "0"}
        for flag, suffix, key, header in _CHANNELS:
            if not flag or job.flags.get(flag):
                self.trickle.create_channel(job.id + suffix)
                start[key] = headers[header] = f"{host}{TRICKLE}/{job.id}{suffix}"
        self.streams.add(job.id)
        reply = await self.run(job, "/stream/start", json.dumps(start | body).encode())
        if reply.status < 400:
            return web.Response(headers=headers)
        self.remove_stream(job.id)
        # The channels' URLs are in the answer all the same; the status counts.
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def remove_stream(self, stream_id: str) -> None:
        """Forget a stream and close its channels, without a word to the runner."""
        self.streams.discard(stream_id)
        self.meters.stop(stream_id)
        self._close_channels(stream_id)

    def _close_channels(self, stream_id: str) -> None:
        for _, suffix, _, _ in _CHANNELS:
            self.trickle.close_channel(stream_id + suffix)
