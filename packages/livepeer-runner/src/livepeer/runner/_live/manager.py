"""All sessions of one pipeline: the author's thread, capacity, start and stop."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from livepeer.runner._live.author import AuthorThread
from livepeer.runner._live.outlet import ChannelOutlet
from livepeer.runner._live.session import Session
from livepeer.runner._live.stage import InProcessStage
from livepeer.runner.errors import AtCapacity, NoSession, SessionExists
from livepeer.trickle import trickle_session

if TYPE_CHECKING:
    from collections.abc import Mapping

    import aiohttp

    from livepeer.runner._network.sessions import Channels
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)


class SessionManager:
    """Runs the streams of one `LivePipeline`, up to `capability_capacity` at a time."""

    def __init__(self, pipeline: LivePipeline, settings: Settings) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._author: AuthorThread | None = None
        self._http: aiohttp.ClientSession | None = None
        self._sessions: dict[str, Session] = {}
        self._starting: set[str] = set()
        self._stop_wanted: dict[str, str] = {}
        self._set_up = False

    @property
    def active(self) -> int:
        """How many sessions run or begin."""
        return len(self._sessions) + len(self._starting)

    async def setup(self) -> None:
        """Run the author's `setup()` on the author's thread."""
        self._author = AuthorThread(type(self._pipeline).__name__)
        self._http = trickle_session(verify_tls=self._settings.trickle_tls_verify)
        await self._author.call(None, self._pipeline.setup)
        self._set_up = True

    async def close(self) -> None:
        """End every session, run the author's `teardown()`, and end the author's thread."""
        await self.stop(None, "the runner stops")
        try:
            if self._set_up and self._author is not None:
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self._author.call(None, self._pipeline.teardown)
        except TimeoutError:
            _log.error("teardown() did not run in time: another hook is still running, or it is")
        finally:
            if self._http is not None:
                await self._http.close()
            if self._author is not None and not await asyncio.to_thread(
                self._author.close, self._settings.stop_timeout_s
            ):
                _log.error("a hook did not return; its thread is left behind")

    async def start(
        self, stream_id: str, channels: Channels, params: Mapping[str, Any] | None
    ) -> None:
        """Begin a session; see `Sessions.start`."""
        if stream_id in self._sessions or stream_id in self._starting:
            raise SessionExists(f"stream {stream_id} is running")
        if self.active >= self._settings.capability_capacity:
            raise AtCapacity(f"{self.active} streams run, and that is the capacity")
        assert self._author is not None
        assert self._http is not None
        self._starting.add(stream_id)
        try:
            outlet = ChannelOutlet(channels, self._http)
            session = Session(
                stream_id,
                channels,
                InProcessStage(self._pipeline, self._author, outlet),
                outlet,
                self._http,
                self._settings,
                ended=lambda: self._forget(session),
            )
            await session.start(params or {})
            self._sessions[stream_id] = session
        finally:
            self._starting.discard(stream_id)
            reason = self._stop_wanted.pop(stream_id, None)
        if reason is not None:
            await self.stop(stream_id, reason)

    async def update(self, stream_id: str | None, params: Mapping[str, Any]) -> None:
        """Give a session new parameters; see `Sessions.update`."""
        await self._find(stream_id).update(params)

    async def stop(self, stream_id: str | None, reason: str) -> None:
        """End a session, or without an id all of them; see `Sessions.stop`."""
        names = [*self._sessions, *self._starting] if stream_id is None else [stream_id]
        # One that begins is stopped as soon as it has begun.
        self._stop_wanted.update({name: reason for name in names if name in self._starting})
        sessions = [self._sessions[name] for name in names if name in self._sessions]
        # An id is free again when its session has ended: both would use the same channels.
        await asyncio.gather(*(session.stop(reason) for session in sessions))
        for session in sessions:
            self._forget(session)

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
