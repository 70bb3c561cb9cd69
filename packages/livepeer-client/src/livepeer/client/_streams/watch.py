"""Whether a node still has a stream: asked again and again, for silence says nothing.

Source: go-livepeer `trickle/trickle_server.go` (`handleNext`): the edge of a channel costs its
server next to nothing, and 404 says that the channel is gone.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import CertificateChanged, ClientError, JobTimeout, OrchestratorError

from .ends import EndReason, lost

if TYPE_CHECKING:
    from livepeer.client._net.http import HTTP

    from .ends import StreamEnd

_TRACE: Final = 0.05
"""Timers may fire a trace early; a third question would be one too many."""

_NOBODY_THERE: Final = (ConnectionRefusedError, ConnectionResetError, BrokenPipeError)


class NodeWatch:
    """Watches the node that has a stream.

    Args:
        http: The connections of the client.
        url: What is asked for: `channel_probe` or `gateway_probe`.
        missing_ends: Whether 404 means that the stream is gone.
        probe_s: Seconds between two questions.
        away_s: For how long they may fail until the orchestrator counts as lost. One question
            alone never decides: this program itself may have been busy meanwhile.

    Attributes:
        heard_at: When it last had the stream, by the monotonic clock.
    """

    def __init__(
        self, http: HTTP, url: str, *, missing_ends: bool, probe_s: float, away_s: float
    ) -> None:
        self.heard_at = time.monotonic()
        self._http = http
        self._url = url
        self._missing_ends = missing_ends
        self._probe_s = probe_s
        self._away_s = away_s

    @property
    def lost_after_s(self) -> float:
        """Seconds until a node that died is known to have, at the latest."""
        return self._probe_s + self._away_s

    async def exists(self) -> bool | None:
        """Whether the stream is there; None when the node does not tell."""
        try:
            return await self._ask()
        except ClientError:
            return None

    async def heard(self) -> StreamEnd | None:
        """Wait a little and ask, until there is an answer; why the stream is lost, if it is."""
        await asyncio.sleep(self._probe_s)
        began = time.monotonic()
        asked = 0
        while True:
            asked += 1
            try:
                there = await self._ask()
            except ClientError as error:
                left_s = self._away_s - (time.monotonic() - began)
                if asked > 1 and left_s <= self._away_s * _TRACE:
                    return _lost(error)
                # A refusal comes at once; a silence has taken its time.
                if not isinstance(error, JobTimeout):
                    await asyncio.sleep(min(self._probe_s, max(left_s, 0)))
                continue
            if not there:
                return closed(self._url)
            self.heard_at = time.monotonic()
            return None

    async def _ask(self) -> bool:
        # Two that time out fill `away_s`.
        reply = await self._http.exchange("GET", self._url, timeout_s=max(self._away_s / 2, 0.05))
        if reply.status >= 500:
            # From what stands in front of an orchestrator that is gone.
            raise OrchestratorError(
                f"it answers with {reply.status}", url=redact(self._url), status=reply.status
            )
        return reply.status != 404 or not self._missing_ends


def channel_probe(url: str) -> str:
    """What to ask of a channel."""
    return f"{url}/next"


def gateway_probe(base: str, stream_id: str) -> str:
    """What to ask of a gateway; its 404 is no news of the stream."""
    return f"{base}/process/stream/{stream_id}/status"


def closed(url: str) -> StreamEnd:
    """The end of a stream whose channels are not there any more."""
    text = "the orchestrator closed the stream's channels, or began anew"
    return lost(EndReason.ORCHESTRATOR, text, url=url)


def _lost(error: ClientError) -> StreamEnd:
    if _is_dead(error):
        reason, text = EndReason.ORCHESTRATOR, "the orchestrator is gone"
    else:
        reason, text = EndReason.NETWORK, "the orchestrator does not answer"
    return lost(reason, f"{text}: {error}", url="", cause=error)


def _is_dead(error: ClientError) -> bool:
    """Whether somebody answered for the node that nobody is there."""
    if isinstance(error, (OrchestratorError, CertificateChanged)):
        return True
    cause = error.__cause__
    while cause is not None:
        if isinstance(cause, _NOBODY_THERE):
            return True
        cause = cause.__cause__
    return False
