"""All sessions of one pipeline: capacity, start and stop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from livepeer.runner._allocator import give_back
from livepeer.runner._live.closings import Closings
from livepeer.runner._live.finite import refuse_not_finite
from livepeer.runner._live.outlet import ChannelOutlet
from livepeer.runner._live.reports import StopReason
from livepeer.runner._live.session import Session
from livepeer.runner._logs import logged_as
from livepeer.runner._stream import Stream
from livepeer.runner.errors import (
    AtCapacity,
    InvalidParams,
    NoSession,
    RunnerError,
    SessionExists,
    StageAway,
)
from livepeer.runner.state import PipelineState
from livepeer.trickle import trickle_session

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import aiohttp

    from livepeer.runner._live.stage import StageHost
    from livepeer.runner._metrics import LiveMetrics, Refusal
    from livepeer.runner._network.sessions import Channels
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)


class SessionManager:
    """Runs the streams of one live pipeline, up to `capability_capacity` at a time.

    Args:
        host: Where the author's hooks run.
        name: The pipeline's.
        settings: Capacity, intervals and policies.
        metrics: Where sessions are counted.
    """

    def __init__(
        self, host: StageHost, name: str, settings: Settings, metrics: LiveMetrics
    ) -> None:
        self._host = host
        self._name = name
        self._settings = settings
        self._metrics = metrics
        self._http: aiohttp.ClientSession | None = None
        self._sessions: dict[str, Session] = {}
        self._starting: set[str] = set()
        self._stop_wanted: dict[str, StopReason] = {}
        self._closings = Closings(settings.stop_timeout_s)

    @property
    def active(self) -> int:
        """How many sessions run or begin."""
        return len(self._sessions) + len(self._starting)

    async def setup(self) -> None:
        """Load the model."""
        self._http = trickle_session(verify_tls=self._settings.trickle_tls_verify)
        await self._host.setup()
        give_back()

    async def close(self) -> None:
        """End every session, and unload the model."""
        why = StopReason("the runner stops")
        await self._stop([*self._sessions, *self._starting], why)
        try:
            await self._host.close()
        finally:
            await self._closings.close()
            if self._http is not None:
                await self._http.close()

    async def start(
        self, stream_id: str, channels: Channels, params: Mapping[str, Any] | None
    ) -> None:
        """Begin a session; see `Sessions.start`."""
        with logged_as(stream_id):
            try:
                refuse_not_finite(params or {})
                await self._start(stream_id, channels, params or {})
            except RunnerError as error:
                self._metrics.refused(_refusal(error))
                raise

    async def update(self, stream_id: str | None, params: Mapping[str, Any]) -> None:
        """Give a session new parameters; see `Sessions.update`."""
        session = self._find(stream_id)
        with logged_as(session.stream_id):
            refuse_not_finite(params)
            await session.update(params)

    async def stop(self, stream_id: str | None, reason: str) -> None:
        """End a session, or without an id the only one; see `Sessions.stop`."""
        names = [*self._sessions, *self._starting] if stream_id is None else [stream_id]
        if len(names) > 1:
            # It may come late, and be about one that ended long ago.
            _log.warning("a stop without an id ends none of %d streams: %s", len(names), reason)
            return
        await self._stop(names, StopReason(reason, done=True))

    async def _stop(self, names: Sequence[str], why: StopReason) -> None:
        # One that begins is stopped as soon as it has begun.
        self._stop_wanted.update({name: why for name in names if name in self._starting})
        sessions = [self._sessions[name] for name in names if name in self._sessions]
        # An id is free again when its session has ended: both would use the same channels.
        await asyncio.gather(*(session.stop(why) for session in sessions))
        for session in sessions:
            self._forget(session)

    async def _start(self, stream_id: str, channels: Channels, params: Mapping[str, Any]) -> None:
        if stream_id in self._sessions or stream_id in self._starting:
            raise SessionExists(f"stream {stream_id} is running")
        if self.active >= self._settings.capability_capacity:
            raise AtCapacity(f"{self.active} streams run, and that is the capacity")
        if self._host.state is not PipelineState.OK:
            why = self._host.message or f"it is {self._host.state.value}"
            raise StageAway(f"the model takes no stream now: {why}")
        self._starting.add(stream_id)
        try:
            session = await self._make(stream_id, channels)
            await session.start(params)
            self._sessions[stream_id] = session
            self._metrics.add(session.stats)
        finally:
            self._starting.discard(stream_id)
            wanted = self._stop_wanted.pop(stream_id, None)
        if wanted is not None:
            await self._stop([stream_id], wanted)

    async def _make(self, stream_id: str, channels: Channels) -> Session:
        assert self._http is not None
        outlet = ChannelOutlet(channels, self._http)
        try:
            stage = self._host.stage(Stream(stream_id, outlet))
        except BaseException:
            await outlet.close(self._settings.stop_timeout_s)
            raise
        session = Session(
            stream_id,
            channels,
            stage,
            outlet,
            self._http,
            self._settings,
            self._name,
            self._closings,
            ended=lambda: self._forget(session),
        )
        return session

    def _find(self, stream_id: str | None) -> Session:
        if stream_id is None and len(self._sessions) == 1:
            return next(iter(self._sessions.values()))
        session = self._sessions.get(stream_id or "")
        if session is None:
            raise NoSession(f"there is no stream {stream_id or 'without an id'}")
        return session

    def _forget(self, session: Session) -> None:
        if self._sessions.get(session.stream_id) is session:
            del self._sessions[session.stream_id]
            self._metrics.remove(session.stats)
            if not self.active:
                give_back()


def _refusal(error: RunnerError) -> Refusal:
    if isinstance(error, AtCapacity):
        return "capacity"
    if isinstance(error, SessionExists):
        return "exists"
    if isinstance(error, InvalidParams):
        return "params"
    return "away" if isinstance(error, StageAway) else "hook"
