"""Coded media into a job, across its sessions."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from livepeer.client._streams.closing import unless
from livepeer.client.errors import StreamError, StreamLost
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import ChannelError, SegmentError, TrickleError
from livepeer.trickle.media import Piece, Segmenter

from ._bridge import Bridge
from .rtmp import ServerSilent
from .ways import Way, open_way

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from livepeer.client._streams.live import StreamJob
    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle.media import AccessUnit, Kind

    Gate = Callable[[StreamSession, AccessUnit | None], Awaitable[None]]

_LOST_S: Final = 3.0
"""After so long, at the latest, a session is known to be over whose input failed."""


class Upload:
    """Writes access units into a job, in segments. An async context manager that ends the input.

    In each session after the first it begins with a key frame: what comes before is left out, or
    coded anew. The clock of the units goes on.

    Args:
        job: The job.
        codecs: The codec of each stream, as for a `Segmenter`.
        patient: Between two sessions, wait for the next; else what is written meanwhile is left
            out, as with a camera.
        gate: Awaited before each segment, with its session and its first unit; None for bytes.
        bridge: Code H.264 anew, in a session that begins between two key frames, up to the next:
            else what comes before that is left out.
    """

    def __init__(
        self,
        job: StreamJob,
        codecs: Mapping[Kind, str],
        *,
        patient: bool = False,
        gate: Gate | None = None,
        bridge: bool = False,
    ) -> None:
        self._bridge = Bridge() if bridge and codecs.get("video") == "h264" else None
        self._bridged: _Flow | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="bridge")
        self._job = job
        self._codecs = dict(codecs)
        self._patient = patient
        self._gate = gate
        self._flow: _Flow | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._left_out = False
        self._closed = False

    @property
    def session(self) -> StreamSession | None:
        """The session that is written into; None before the first, and between two."""
        return None if self._flow is None or self._flow.over else self._flow.session

    async def ready(self) -> bool:
        """Whether a session stands that can be written into.

        Raises:
            StreamLost: The job ended without our doing.
            PaymentRequiredError: It ended because it was not paid.
            StreamError: It was stopped, or takes no media.
        """
        if self._closed:
            raise StreamError("the input is closed")
        if self._flow is not None and not self._flow.over:
            return True
        before = None if self._flow is None else self._flow.session
        session = await self._job.next_session(before, within_s=None if self._patient else 0)
        if session is not None:
            self._leave()
            # What precedes the first key frame belongs to it (sound that begins early) unless
            # something before that was left out.
            whole = before is None and not self._left_out
            self._flow = _Flow(session, self._codecs, self._gate, begun=whole)
            return True
        if (end := self._job.end) is not None:
            error = end.error or StreamError(f"the stream has ended: {end.text}")
            raise error.with_traceback(None)
        self._left_out = True
        return False

    @property
    def wants_key(self) -> bool:
        """Whether everything before the next key frame is left out."""
        return self._flow is None or self._flow.over or not self._flow.begun

    def change(self, codecs: Mapping[Kind, str]) -> None:
        """Go on with other streams, from the next unit on."""
        self._codecs = dict(codecs)
        if self._flow is not None:
            self._flow.change(self._codecs)

    async def write(self, unit: AccessUnit) -> bool:
        """Write one unit; whether it went out.

        Raises:
            StreamError: As for `ready`.
        """
        if unit.kind != "video" or self._bridge is None:
            if not await self.ready():
                return False
            assert self._flow is not None
            return await self._flow.write(unit)
        self._bridge.keep(unit)
        while await self.ready():
            assert self._flow is not None
            if await self._put(self._bridge, self._flow, unit):
                return True
            if not self._patient or not await self._flow.is_lost():
                break
        if not self._patient:
            self._bridge.passed(unit)
        return False

    async def write_segment(self, data: bytes) -> bool:
        """Write bytes as one segment of their own; whether they went out.

        Raises:
            StreamError: As for `ready`.
        """
        if not await self.ready():
            return False
        assert self._flow is not None
        return await self._flow.write_segment(data)

    async def end_segment(self) -> None:
        """Have all that was written arrive."""
        if self._bridge is not None and self._flow is not None and self._bridged is self._flow:
            await self._send(self._bridge, self._flow, await self._on_thread(self._bridge.end))
        if self._flow is not None and not self._flow.over:
            await self._flow.end_segment()

    async def close(self) -> None:
        """End the input. Idempotent.

        Raises:
            TrickleError: The channel could not be closed.
        """
        self._closed = True
        if self._bridge is not None:
            self._bridge.close()
        self._thread.shutdown(wait=False)
        try:
            if self._flow is not None:
                flow, self._flow = self._flow, None
                await flow.close(whole=True)
        finally:
            await cancel_and_wait(*self._leaving)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.close()
        except (TrickleError, StreamLost):
            # What ended the context says more than what followed from it, and so does the job.
            if kind is None and self._job.end is None:
                raise

    async def _put(self, bridge: Bridge, flow: _Flow, unit: AccessUnit) -> bool:
        """Write a picture as it is, or coded anew; whether it and what it completes went out."""
        units = [unit]
        if unit.key:
            if self._bridged is flow:
                units = [*await self._on_thread(bridge.end), unit]
            self._bridged = None
        elif self._bridged is flow:
            units = await self._on_thread(partial(bridge.add, unit))
        elif not flow.begun:
            self._bridged = flow
            units = await self._on_thread(bridge.begin)
        return await self._send(bridge, flow, units)

    async def _send(self, bridge: Bridge, flow: _Flow, units: list[AccessUnit]) -> bool:
        for unit in units:
            if not await flow.write(unit):
                return False
            bridge.passed(unit)
        return True

    async def _on_thread(self, work: Callable[[], list[AccessUnit]]) -> list[AccessUnit]:
        # One after the other, whoever was cancelled: a coder is for one thread.
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _leave(self) -> None:
        """Close the input of a session that is over, beside the next one."""
        if self._flow is None:
            return
        task = asyncio.create_task(self._flow.close(whole=False), name="leave an input")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)


class _Flow:
    """What is written into one session."""

    def __init__(
        self,
        session: StreamSession,
        codecs: Mapping[Kind, str],
        gate: Gate | None,
        *,
        begun: bool,
    ) -> None:
        self.session = session
        self.begun = begun
        self._keyed = False
        self._suspected = False
        self._codecs = dict(codecs)
        # Not for what is bytes alone.
        self._segmenter: Segmenter | None = None
        self._way: Way = open_way(session)
        self._gate = gate
        self._ended = asyncio.create_task(session.ended(), name="end of a session")

    @property
    def over(self) -> bool:
        return self.session.end is not None

    async def is_lost(self) -> bool:
        """Whether the session is over, of which something failed. Waited for once."""
        if not self._suspected:
            self._suspected = True
            await self.session.ended_within(_LOST_S)
        return self.over

    def change(self, codecs: Mapping[Kind, str]) -> None:
        self._codecs = dict(codecs)
        if self._segmenter is not None:
            self._segmenter.change(self._codecs)

    async def write(self, unit: AccessUnit) -> bool:
        lead = "video" if "video" in self._codecs else "audio"
        self._keyed = self._keyed or (unit.key and unit.kind == lead)
        if not self._keyed and (unit.kind == lead or not self.begun):
            return False
        self.begun = True
        return await self._within(self._put(unit))

    async def write_segment(self, data: bytes) -> bool:
        return await self._within(self._put_segment(data))

    async def end_segment(self) -> None:
        await self._within(self._end_segment())

    async def close(self, *, whole: bool) -> None:
        try:
            await self._way.close(whole=whole and not self.over)
        except TrickleError:
            if whole and not self.over:
                raise
        finally:
            await cancel_and_wait(self._ended)

    async def _put(self, unit: AccessUnit) -> bool:
        if self._segmenter is None:
            self._segmenter = Segmenter(self._codecs)
        piece = self._segmenter.add(unit)
        if piece.starts and self._gate is not None:
            await self._gate(self.session, unit)
        return await self._way.put(piece)

    async def _put_segment(self, data: bytes) -> bool:
        if self._gate is not None:
            await self._gate(self.session, None)
        sent = await self._way.put(Piece(True, data))
        await self._end_segment()
        return sent

    async def _end_segment(self) -> bool:
        try:
            await self._way.end_segment()
        except SegmentError:
            return False
        return True

    async def _within(self, writing: Coroutine[None, None, bool]) -> bool:
        """Write for as long as the session stands; an orchestrator may go silent."""
        try:
            return await unless(self._ended, writing) or False
        except (ChannelError, ServerSilent) as error:
            self.session.report(error)
            await self._ended
            return False
