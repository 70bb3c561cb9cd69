"""How live-video jobs start, are paid and stop; orchestrators one after the other.

Source: go-livepeer `server/ai_http.go`, `server/ai_live_video.go`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, cast

from livepeer.client._nodes.failover import Deadline, first_taker
from livepeer.client._nodes.node import GRACE_S
from livepeer.client._wire.encoding import dump_json, redact
from livepeer.client.errors import NodeUnreachable, OrchestratorError, StreamError

from .lv2v_node import PIPELINE, LV2VNode, terms_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from livepeer.client._find.finder import Finder
    from livepeer.client._find.orchestrator_info import OrchestratorInfo
    from livepeer.client._find.selection import Offer
    from livepeer.client._nodes.transport import StreamHandle
    from livepeer.client._pay.lv2v import LV2VPaymentSession
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.tokens import JobToken

    from .lv2v_node import Callers
    from .session import StreamSession

STOP_TIMEOUT_S: Final = 10.0


class LV2VWay:
    """The way of live-video jobs of one model.

    Args:
        callers: Who calls and pays.
        finder: Who there is, and in what order.
        model_id: The pipeline's name, as orchestrators know it.
        params: Its first parameters.
        ids: What else the start says: `stream_id`, `gateway_request_id`.
        timeout_s: Seconds that the runner has to take the start.
        pay_every_s: Seconds between two payments.
    """

    def __init__(
        self,
        callers: Callers,
        finder: Finder,
        *,
        model_id: str,
        params: Mapping[str, object] | None,
        ids: Mapping[str, str],
        timeout_s: int,
        pay_every_s: float,
    ) -> None:
        self.params = dict(params or {})
        self._callers = callers
        self._finder = finder
        self._model_id = model_id
        self._ids = ids
        self._timeout_s = timeout_s
        self._pay_every_s = pay_every_s
        self._sessions: dict[str, LV2VPaymentSession] = {}
        self._paid_at: dict[str, float] = {}

    async def start(self, number: int, exclude: frozenset[str]) -> StreamHandle:
        """Start at the first orchestrator that takes it, with the parameters in force."""
        del number
        fields = {"model_id": self._model_id, **self._ids, "params": self.params}
        body = dump_json(fields, "params").encode()
        infos: dict[str, OrchestratorInfo] = {}

        async def probe(url: str, capability: str) -> JobToken:
            del capability
            infos[url] = await self._node(url).info()
            return terms_of(infos[url])

        async def take(offer: Offer) -> StreamHandle:
            node = self._node(offer.url)
            # An order that is remembered comes without terms.
            info = infos.get(offer.url) or await node.info()
            stream, session = await node.start(info, body, self._timeout_s)
            if session is not None:
                self._sessions[stream.stream_id] = session
                self._paid_at[stream.stream_id] = time.monotonic()
            return stream

        name = f"{PIPELINE}/{self._model_id}"
        deadline = Deadline(self._timeout_s + GRACE_S)
        return await first_taker(self._finder, name, probe, take, deadline, [], exclude=exclude)

    async def pay(self, stream: StreamHandle) -> float | None:
        """Pay for the time since the last payment, when that is some seconds."""
        session = self._sessions.get(stream.stream_id)
        if session is None:
            return None
        wait_s = self._paid_at[stream.stream_id] + self._pay_every_s - time.monotonic()
        if wait_s > 0:
            return wait_s
        await self._node(stream.node_url).pay(session)
        self._paid_at[stream.stream_id] = time.monotonic()
        return self._pay_every_s

    async def stop(self, session: StreamSession) -> None:
        """Close the input, by which a job ends; there is no route for it."""
        stream = session.handle
        self._sessions.pop(stream.stream_id, None)
        self._paid_at.pop(stream.stream_id, None)
        for url in (stream.channels.publish, stream.channels.control):
            if url is not None:
                await self._close(url)

    async def events(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner reports, from the first event on."""
        from livepeer.trickle import JSONSubscriber  # lazy: aiohttp

        url = stream.channels.events or ""
        http = self._callers.http
        async with JSONSubscriber(url, start=0, session=http.trickle_session(url)) as events:
            async for event in events:
                yield cast("dict[str, JSONValue]", event)

    def data(self, stream: StreamHandle) -> AsyncGenerator[dict[str, JSONValue]]:
        """There is none.

        Raises:
            StreamError: Always.
        """
        raise StreamError("live video has no data channel", url=redact(stream.node_url))

    def _node(self, url: str) -> LV2VNode:
        return LV2VNode(self._callers, url, self._model_id)

    async def _close(self, url: str) -> None:
        reply = await self._callers.http.exchange("DELETE", url, timeout_s=STOP_TIMEOUT_S)
        # 400 and 404 say that it is gone already, which is what we want.
        if reply.status >= 500:
            raise NodeUnreachable(f"it answers with {reply.status}", url=redact(url))
        if reply.status not in (200, 400, 404):
            raise OrchestratorError(
                f"the channel is not closed: {reply.status}", url=redact(url), status=reply.status
            )
