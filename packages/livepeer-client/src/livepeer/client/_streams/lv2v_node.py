"""Live-video jobs at one orchestrator: its terms, the start, the payments.

Source: go-livepeer `server/ai_http.go` (`StartLiveVideoToVideo`), `server/segment_rpc.go`
(`Payment`).
"""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from livepeer.client._answers.refusals import read_refusal
from livepeer.client._find.orchestrator_info import get_orchestrator_info
from livepeer.client._nodes.transport import ABANDON_TIMEOUT_S, ChannelURLs, StreamHandle
from livepeer.client._pay.lv2v import (
    PIXELS_PER_S,
    LV2VPaymentSession,
    free_credentials,
    pinned_info,
)
from livepeer.client._wire.capabilities import build_capabilities_from_queries
from livepeer.client._wire.encoding import json_object, load_json, on_host, redact
from livepeer.client._wire.tokens import JobToken
from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    InvalidAnswer,
    JobTimeout,
    NodeUnreachable,
    OrchestratorError,
    PaymentRequiredError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.client._find.orchestrator_info import HasCredentials, OrchestratorInfo
    from livepeer.client._net.http import HTTP, Reply
    from livepeer.client._net.trust import TrustStore
    from livepeer.client._pay.spending import SpendingLimits
    from livepeer.client._sign.remote import RemoteSigner
    from livepeer.client._wire.encoding import JSONValue

PIPELINE: Final = "live-video-to-video"

PAYMENT_TIMEOUT_S: Final = 10.0

_JSON: Final = {"Content-Type": "application/json"}
_REFUSED: Final = (400, 402)
_POOR: Final = b"Insufficient balance"


@dataclass(frozen=True, kw_only=True)
class Callers:
    """Who calls, pays, and trusts whom; the same at every orchestrator.

    Attributes:
        http: The connections.
        signer: Who asks for terms; None for nobody, which is enough off-chain.
        payer: Who pays; None where nothing can be paid.
        limits: What may be spent.
        use_tofu: Trust the first certificate that an orchestrator shows.
        verify_tls: False takes any.
        trust: Remembers certificates.
    """

    http: HTTP
    signer: HasCredentials | None
    payer: RemoteSigner | None
    limits: SpendingLimits
    use_tofu: bool = True
    verify_tls: bool = True
    trust: TrustStore | None = None


class LV2VNode:
    """One orchestrator, for one model."""

    def __init__(self, callers: Callers, url: str, model_id: str) -> None:
        self._callers = callers
        self._url = url
        self._query = f"{PIPELINE}/{model_id}"

    async def info(self) -> OrchestratorInfo:
        """Its terms, fetched anew.

        Raises:
            ClientError: As `get_orchestrator_info`.
        """
        callers = self._callers
        return await get_orchestrator_info(
            self._url,
            signer=callers.signer,
            capabilities=(self._query,),
            use_tofu=callers.use_tofu,
            verify_tls=callers.verify_tls,
            trust=callers.trust,
        )

    async def start(
        self, info: OrchestratorInfo, body: bytes, timeout_s: int
    ) -> tuple[StreamHandle, LV2VPaymentSession | None]:
        """Start a job, paid where it has a price.

        Raises:
            ClientError: It did not start.
        """
        session = self._session(info)
        url = f"{self._url}/{PIPELINE}"
        for renewed in (False, True):
            payment = None if session is None else await session.payment()
            headers = free_credentials(info.raw) if payment is None else payment.headers
            try:
                reply = await self._post(url, headers, body, timeout_s)
            except (NodeUnreachable, JobTimeout):
                if session is not None and payment is not None:
                    session.lost(payment)
                raise
            if session is None or payment is None:
                break
            if reply.status not in _REFUSED or reply.body.startswith(_POOR):
                session.accepted(payment)
                break
            session.refused(payment)
            if renewed:
                raise PaymentRequiredError(
                    f"two payments were refused: {_said(reply)}",
                    url=redact(url),
                    status=reply.status,
                )
        if reply.status != 200:
            raise _refusal(reply, url, runner=True)
        stream = await self._started(reply, timeout_s)
        if session is not None:
            session.started(stream.stream_id)
        return stream, session

    async def pay(self, session: LV2VPaymentSession) -> None:
        """Pay what a running job owes now.

        Raises:
            PaymentRequiredError: Two payments were refused.
            ClientError: It was not paid; a payment that may have arrived is given again.
        """
        url = f"{self._url}/payment"
        while (payment := await session.payment()) is not None:
            try:
                reply = await self._post(url, payment.headers, b"", PAYMENT_TIMEOUT_S)
            except (NodeUnreachable, JobTimeout):
                session.lost(payment)
                raise
            if reply.status == 200:
                session.accepted(payment, result=reply.body)
                return
            if reply.status not in (*_REFUSED, 403):
                session.lost(payment)
                raise _refusal(reply, url, runner=False)
            session.refused(payment)

    def _session(self, info: OrchestratorInfo) -> LV2VPaymentSession | None:
        """What pays for a job; None for a free one."""
        if price_per_s(info) <= 0:
            return None
        callers, payer = self._callers, self._callers.payer
        if payer is None:
            raise PaymentRequiredError(
                f"it costs {price_per_s(info)} wei per second, and nothing pays; give a remote"
                " signer",
                url=redact(self._url),
                price_per_s=price_per_s(info),
            )

        async def refresh() -> bytes:
            return (await self.info()).raw

        async def refresh_pinned(manifest_id: str) -> bytes | None:
            credentials = await payer.token_credentials()
            return await pinned_info(
                callers.http, self._url, sender=credentials.address, manifest_id=manifest_id
            )

        asked = build_capabilities_from_queries((self._query,))
        return LV2VPaymentSession(
            payer,
            info.raw,
            refresh=refresh,
            refresh_pinned=refresh_pinned,
            capabilities=b"" if asked is None else asked.SerializeToString(deterministic=True),
            max_price=None if info.price is None else info.price.wei / info.price.units,
            limits=callers.limits,
        )

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, timeout_s: float
    ) -> Reply:
        return await self._callers.http.exchange(
            "POST", url, headers={**headers, **_JSON}, body=body, timeout_s=timeout_s
        )

    async def _started(self, reply: Reply, timeout_s: int) -> StreamHandle:
        try:
            return self._handle(reply, timeout_s)
        except InvalidAnswer:
            # It runs all the same, and nobody else would end it.
            await self._abandon(reply)
            raise

    async def _abandon(self, reply: Reply) -> None:
        """Close the input of a job whose answer cannot be used, by which it ends."""
        url = _input_url(reply, self._url)
        if url is not None:
            with suppress(ClientError, TimeoutError):
                async with asyncio.timeout(ABANDON_TIMEOUT_S):
                    await self._callers.http.exchange("DELETE", url, timeout_s=ABANDON_TIMEOUT_S)

    def _handle(self, reply: Reply, timeout_s: int) -> StreamHandle:
        where = redact(self._url)
        fields = json_object(reply.body, "the answer to the start", where)
        return StreamHandle(
            stream_id=_text(fields, "manifest_id", where),
            capability=self._query,
            node_url=self._url,
            timeout_s=timeout_s,
            channels=ChannelURLs(
                control=on_host(_text(fields, "control_url", where), self._url),
                events=on_host(_text(fields, "events_url", where), self._url),
                publish=on_host(_text(fields, "publish_url", where), self._url),
                subscribe=on_host(_text(fields, "subscribe_url", where), self._url),
            ),
        )


def terms_of(info: OrchestratorInfo) -> JobToken:
    """An orchestrator's terms, as selection compares them.

    That there is room was asked with them: go-livepeer refuses to tell them else.
    """
    return JobToken(
        url=redact(info.url),
        price_per_s=price_per_s(info),
        available_capacity=1,
        service_addr=info.transcoder,
    )


def price_per_s(info: OrchestratorInfo) -> int:
    """Wei per second of video, rounded up; 0 for what is free."""
    if info.price is None or info.price.wei <= 0 or info.price.units <= 0:
        return 0
    return math.ceil(info.price.wei * PIXELS_PER_S / info.price.units)


def _refusal(reply: Reply, url: str, *, runner: bool) -> ClientError:
    error = read_refusal(
        reply.status, reply.body, url=redact(url), node=OrchestratorError, runner=runner
    ).error
    if isinstance(error, CapabilityUnavailable | PaymentRequiredError) or reply.status >= 500:
        error.elsewhere = True
    return error


def _input_url(reply: Reply, node_url: str) -> str | None:
    """The channel that a job reads, as far as the answer to its start tells."""
    with suppress(ValueError):
        fields = load_json(reply.body)
        if isinstance(fields, dict):
            url, name = fields.get("publish_url"), fields.get("manifest_id")
            if isinstance(url, str) and url:
                return on_host(url, node_url)
            if isinstance(name, str) and name:
                return f"{node_url}/ai/trickle/{quote(name, safe='')}"
    return None


def _said(reply: Reply) -> str:
    return reply.body[:500].decode(errors="replace").strip()


def _text(fields: dict[str, JSONValue], key: str, url: str) -> str:
    value = fields.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidAnswer(f"the answer to the start has no `{key}`", url=url)
    return value
