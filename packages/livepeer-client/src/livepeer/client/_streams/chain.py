"""The sessions of a stream, one after another, from its start to its end."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client.errors import ClientError, StreamError
from livepeer.trickle.aio import cancel_and_wait

from .ends import STOPPED, EndReason, Reconnected, StreamEnd, failed, not_resumed, not_started
from .events import EventLog
from .paying import Carrier
from .reconnect import Reconnector
from .session import StreamSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.client._net.http import HTTP
    from livepeer.client._nodes.transport import StreamHandle

    from .ends import Reconnect, StreamSettings

_log = logging.getLogger(__name__)

ABANDON_S: Final = 3.0
"""For the stop of a session that is lost: its orchestrator may still have it, and charge for it."""

_NODE_LIVES: Final = (EndReason.RUNNER, EndReason.PAYMENT)

_REMEMBERED: Final = 100
"""How many reconnects a job tells of."""


class StreamWay(Carrier, Protocol):
    """How streams of one kind start and stop at their nodes."""

    async def start(self, number: int, exclude: frozenset[str]) -> StreamHandle:
        """Start session `number` at a node whose URL is not in `exclude`.

        With the parameters in force.
        """
        ...

    async def stop(self, session: StreamSession) -> None:
        """Stop a session at its node."""
        ...


class SessionChain:
    """Starts a stream, follows it to its end or to the next session, and stops it.

    Args:
        way: How it starts and stops.
        http: The connections of the client.
        settings: How it is kept alive and watched.
        reconnect: The limits within which it goes on elsewhere; None for not at all.
        on_reconnect: Told when it did.
        on_end: Told once that it has ended, or was never started, and that no node is spoken to
            any more.

    Attributes:
        session: The current session, or the last; None before the start.
        end: Why the stream ended, or never began; None while it goes on, also between two
            sessions.
        events: What the runners report.
        reconnects: The last times that it went on elsewhere.
    """

    def __init__(
        self,
        way: StreamWay,
        http: HTTP,
        settings: StreamSettings,
        *,
        reconnect: Reconnect | None,
        on_reconnect: Callable[[Reconnected], None] | None,
        on_end: Callable[[], None],
    ) -> None:
        self.session: StreamSession | None = None
        self.end: StreamEnd | None = None
        self.events = EventLog(settings.keep_events)
        self.reconnects: deque[Reconnected] = deque(maxlen=_REMEMBERED)
        self._way = way
        self._http = http
        self._settings = settings
        self._reconnector = None if reconnect is None else Reconnector(reconnect)
        self._on_reconnect = on_reconnect
        self._on_end = on_end
        self._changed = asyncio.Event()
        self._starting: asyncio.Task[StreamSession] | None = None
        self._taken: StreamSession | None = None
        self._over = False
        self._living: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._stop_asked = asyncio.Event()

    async def start(self) -> None:
        """Start the first session. Once.

        Raises:
            StreamError: It was stopped meanwhile.
            ClientError: No node took it; the stream is over.
        """
        if self._starting is not None or self._stop_asked.is_set():
            raise StreamError("a stream is started once")
        task = asyncio.current_task()
        self._starting = asyncio.create_task(self._take(1, frozenset()), name="start a stream")
        try:
            session = await self._starting
        except BaseException as error:
            cancelled = task is not None and task.cancelling()
            if not self._stop_asked.is_set():
                self._finish(not_started(error))
                await self._drop_taken()
            elif isinstance(error, asyncio.CancelledError) and not cancelled:
                raise StreamError("the stream was stopped during its start") from None
            raise
        if self._stop_asked.is_set():
            raise StreamError("the stream was stopped during its start")
        self._stand(session)
        self._living = asyncio.create_task(self._live(), name=f"stream {session.stream_id}")

    async def ended(self) -> StreamEnd:
        """Wait until the stream has ended."""
        while self.end is None:
            await self._changed.wait()
        return self.end

    async def next_session(
        self, after: StreamSession | None, within_s: float | None
    ) -> StreamSession | None:
        """The session that stands and is not `after`; None at the end, or when the time is up."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.end is None and not self._stop_asked.is_set():
                    session = self.session
                    if session is not None and session is not after and session.end is None:
                        return session
                    await self._changed.wait()
        return None

    async def stop(self) -> None:
        """Stop what stands, or is being started. Once.

        Raises:
            ClientError: The node did not take it.
        """
        self._stop_asked.set()
        self._wake()
        try:
            await cancel_and_wait(self._starting, self._living)
            await self._stop_standing()
        finally:
            if self._leaving:
                await asyncio.wait(self._leaving)
            self._finish(STOPPED)

    async def _live(self) -> None:
        session = self.session
        try:
            while session is not None:
                end = await session.run()
                self._leave_behind(session)
                if self._reconnector is None or not end.recoverable:
                    self._finish(end)
                    return
                session = await self._go_on(self._reconnector, session, end)
        except Exception as error:  # noqa: BLE001 - a supervisor: nobody else would end the stream
            _log.exception("a stream ended by a fault in this program")
            end = failed(error)
            if self.session is not None and self.session.end is None:
                self.session.finish(end)
                self._leave_behind(self.session)
            self._finish(end)

    async def _go_on(
        self, reconnector: Reconnector, before: StreamSession, end: StreamEnd
    ) -> StreamSession | None:
        """The session that follows; None when there is none, which ends the stream."""
        number = before.number + 1

        async def attempt(exclude: frozenset[str]) -> StreamSession:
            return await self._take(number, exclude)

        try:
            session = await reconnector.start(before.handle.node_url, attempt)
        except BaseException as error:
            # One that was taken when the time was up.
            await self._drop_taken()
            if not isinstance(error, ClientError):
                raise
            self._finish(not_resumed(end, error))
            return None
        self._stand(session)
        self._tell(before, session, end)
        return session

    def _tell(self, before: StreamSession, session: StreamSession, end: StreamEnd) -> None:
        told = Reconnected(
            number=before.number,
            end=end,
            from_url=before.node_url,
            to_url=session.node_url,
            gap_s=time.monotonic() - before.heard_at,
        )
        self.reconnects.append(told)
        _log.info("stream %s goes on: %s", session.stream_id, told)
        if self._on_reconnect is not None:
            try:
                self._on_reconnect(told)
            except Exception:  # noqa: BLE001 - an author's hook: the stream goes on all the same
                _log.exception("on_reconnect failed")

    async def _take(self, number: int, exclude: frozenset[str]) -> StreamSession:
        """Start a session, and note it: who waits for it may be cancelled just then."""
        stream = await self._way.start(number, exclude)
        self._taken = StreamSession(
            number, stream, self._way, self._http, self._settings, self.events.add
        )
        return self._taken

    async def _drop_taken(self) -> None:
        """Stop a session that was taken, but does not stand."""
        taken, self._taken = self._taken, None
        if taken is not None:
            self._leave_behind(taken)
            await asyncio.wait(self._leaving)

    def _stand(self, session: StreamSession) -> None:
        self._taken = None
        self.session = session
        self._wake()

    def _finish(self, end: StreamEnd) -> None:
        if self.end is None:
            self.end = end
        self.events.close()
        self._wake()
        self._settle()

    def _settle(self) -> None:
        """Say once that all is over."""
        standing = self._taken is not None
        if self.end is not None and not self._leaving and not standing and not self._over:
            self._over = True
            self._on_end()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _leave_behind(self, session: StreamSession) -> None:
        self._wake()
        leaving = asyncio.create_task(self._leave(session), name="leave a lost session")
        self._leaving.add(leaving)
        leaving.add_done_callback(self._left)

    def _left(self, leaving: asyncio.Task[None]) -> None:
        self._leaving.discard(leaving)
        self._settle()

    async def _leave(self, session: StreamSession) -> None:
        """Stop a session that is lost for us, as far as that is possible."""
        try:
            await session.cut_media()
            async with asyncio.timeout(ABANDON_S):
                await self._way.stop(session)
        except (ClientError, TimeoutError) as error:
            _log.debug("stream %s was left behind: %s", session.stream_id, error)
            if session.end is not None and session.end.reason in _NODE_LIVES:
                await session.close_control()
        finally:
            await session.close()

    async def _stop_standing(self) -> None:
        # It may have been stopped between the answer to the start and its arrival here.
        session = self._taken or self.session
        self._taken = None
        if session is None or session.end is not None:
            return
        session.finish(STOPPED)
        try:
            await self._way.stop(session)
        except ClientError:
            await session.close_control()
            raise
        finally:
            await session.close()
