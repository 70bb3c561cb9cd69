"""A source through a stream: in at its pace, out into a sink, with nothing lost on the way."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import islice
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client._streams.byoc import BYOCJob
from livepeer.client.errors import ClientError, StreamLost
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MediaError
from livepeer.trickle.media.clock import seconds

from ._pace import Pace
from ._tally import Tally
from ._wall import WallClock
from .download import Download, check_job
from .upload import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from livepeer.client._streams.live import StreamJob
    from livepeer.client._streams.session import StreamSession
    from livepeer.trickle.media import AccessUnit, BytePipe

    from ._tally import Progress, Summary
    from .sources import Source

_BATCH: Final = 16
_SINK_S: Final = 5.0
_STOPPED_S: Final = 2.0
# How long the rest may take to get here from a session that is over.
_OVER_S: Final = 3.0


class Sink(Protocol):
    """Where what comes out goes to: a `Recorder` or a `Player`.

    Attributes:
        pipe: Takes the bytes.
    """

    pipe: BytePipe

    def run(self, on_unit: Callable[[AccessUnit, float], None]) -> None:
        """On a thread: read until the pipe is closed; `on_unit` is called with each unit."""
        ...

    def discard(self) -> None:
        """End a `run` that does not end by itself. Idempotent."""
        ...


class Transfer:
    """Sends a source through a running job and hands on what comes back. Once.

    By default a file goes in at its own pace and waits for a runner that is slower: no segment
    is published before the runner has begun to read the one two before it, which its statistics
    events or its output tell. So nothing is lost on the way to a runner that takes every frame,
    one with `live_policy="wait"`, whatever the speed of its model; one that keeps up with the
    present leaves out by itself what it is too slow for. A camera does not wait, and neither does
    what goes through a gateway.

    With a job that reconnects it goes on at the next session: a file where it was, coded anew up
    to its next key frame; a camera with what it sees then. What was on its way is lost.

    Args:
        job: A job with video in and out.
        source: What goes in.
        fast: Do not keep to the source's pace; as fast as the runner takes it.
        live: Do not wait for the runner; what it cannot take in time is lost, as with a camera.
        limit_s: End the source after so many seconds of media.
        stall_s: For how long nothing may move before the transfer fails.
        drain_s: For how long a runner that does not announce the end of its output is waited for.
        on_progress: Called now and then, on the loop.

    Raises:
        TypeError: `job` is a `SyncBYOCJob`; what is wanted is its `job`.
    """

    def __init__(
        self,
        job: StreamJob,
        source: Source,
        *,
        fast: bool = False,
        live: bool = False,
        limit_s: float | None = None,
        stall_s: float = 60.0,
        drain_s: float = 15.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._job = check_job(job)
        self._source = source
        self._direct = job.urls.control is not None
        self._fast = (fast and self._direct) or source.live
        self._live = live or source.live or not self._direct
        self._limit_s = limit_s
        self._stall_s = stall_s
        self._drain_s = drain_s
        self._on_progress = on_progress
        self._tally = Tally("video" if "video" in source.codecs else "audio")
        self._pace = Pace(stall_s)
        self._errors: list[str] = []
        self._upload: Upload | None = None
        self._last: StreamSession | None = None
        self._all_sent = False
        self._stopped = False
        self._reading: asyncio.Future[list[AccessUnit]] | None = None
        # Made by `run`: who makes a transfer for `SyncClient.run` has no loop.
        self._loop: asyncio.AbstractEventLoop
        self._download: Download

    def stop(self) -> None:
        """End the source; what is on its way still comes out. Idempotent."""
        self._stopped = True
        self._stall_s = self._drain_s = min(self._drain_s, _STOPPED_S)
        self._pace.release()

    async def run(self, sink: Sink) -> Summary:
        """Until the source has gone in and all of it has come out, or the sink takes no more.

        Raises:
            StreamLost: The stream ended before, or nothing moved for `stall_s`.
            ClientError: As for `StreamJob.events`.
        """
        self._loop = asyncio.get_running_loop()
        self._download = Download(self._job, on_fault=self._errors.append)
        showing = asyncio.create_task(asyncio.to_thread(sink.run, self._arrived), name="sink")
        receiving = asyncio.create_task(self._receive(sink.pipe), name="receive")
        guards = [receiving]
        if self._direct:
            guards.append(asyncio.create_task(self._watch_events(), name="events"))
        sending = asyncio.create_task(self._send(), name="send")
        try:
            await self._finished(sending, showing, *guards)
            await self._received(receiving, showing)
        except StreamLost as error:
            words = await self._gateway_words()
            if not words:
                raise
            raise StreamLost(f"{words}; {error}") from error
        finally:
            await cancel_and_wait(sending, *guards)
            await self._close(sink, showing)
        await showing
        # Once round the loop, for what the sink's thread reported last.
        await asyncio.sleep(0)
        if not self._tally.frames_out and (words := await self._gateway_words()):
            self._errors.append(words)
        return self._tally.summary(self._errors, self._job.reconnects)

    async def _close(self, sink: Sink, showing: asyncio.Task[None]) -> None:
        sink.pipe.close()
        _, waiting = await asyncio.wait([showing], timeout=_SINK_S)
        if waiting:
            # A player that is paused takes nothing.
            sink.discard()
            await asyncio.wait([showing])
        if self._reading is not None:
            await asyncio.wait([self._reading])

    async def _gateway_words(self) -> str:
        """What a gateway says went wrong: it starts a stream after it has said that it did."""
        if self._direct or not isinstance(self._job, BYOCJob):
            return ""
        try:
            status = await self._job.status()
        except ClientError:
            return ""
        error = (status or {}).get("error")
        words = error.get("error_message") if isinstance(error, dict) else None
        return f"the gateway says: {words}" if words else ""

    async def _send(self) -> None:
        gate = None if self._live else self._pace.begin
        upload = Upload(
            self._job, self._source.codecs, patient=not self._live, gate=gate, bridge=True
        )
        self._upload = upload
        async with upload:
            async for unit in self._units():
                progress = self._tally.count_in(unit)
                if progress is not None and self._on_progress is not None:
                    self._on_progress(progress)
                await upload.write(unit)
            await upload.end_segment()
            self._last = upload.session
            self._all_sent = True
            if not self._live and self._last is not None:
                await self._pace.finish(self._last)

    async def _units(self) -> AsyncGenerator[AccessUnit]:
        """The source's units, each when it is due."""
        units = iter(self._source)
        first: int | None = None
        clock = WallClock()
        while not self._stopped:
            self._reading = self._loop.run_in_executor(None, self._read, units)
            batch = await asyncio.shield(self._reading)
            if not batch:
                return
            for unit in batch:
                first = unit.dts if first is None else first
                if self._limit_s is not None and seconds(unit.dts - first) >= self._limit_s:
                    return
                if not self._fast:
                    await clock.reach(unit, None if self._upload is None else self._upload.session)
                yield unit

    def _read(self, units: Iterator[AccessUnit]) -> list[AccessUnit]:
        """On a thread: the next few units, none at the end; a damaged file ends where it is."""
        batch: list[AccessUnit] = []
        try:
            batch.extend(islice(units, 1 if self._source.live else _BATCH))
        except MediaError as error:
            self._errors.append(str(error))
        return batch

    async def _receive(self, pipe: BytePipe) -> None:
        async with aclosing(self._download.chunks()) as chunks:
            async for chunk in chunks:
                if chunk is None:
                    pipe.cut()
                else:
                    await pipe.write(chunk)

    async def _watch_events(self) -> None:
        async with aclosing(self._job.events()) as events:
            async for event in events:
                kind = event.get("type")
                if kind == "error":
                    self._errors.append(str(event.get("message", "the runner reported an error")))
                if kind in ("stats", "end_of_stream"):
                    self._pace.hear(event)

    async def _finished(
        self, sending: asyncio.Task[None], showing: asyncio.Task[None], *guards: asyncio.Task[None]
    ) -> None:
        """Until all is sent, or nobody looks; a guard that ends before: the stream is gone."""
        await asyncio.wait((sending, showing, *guards), return_when=asyncio.FIRST_COMPLETED)
        if showing.done():
            return
        for guard in guards:
            if guard.done() and not sending.done():
                guard.result()
                if not self._all_sent:
                    raise StreamLost("the stream ended before all had gone in")
        await sending

    async def _received(self, receiving: asyncio.Task[None], showing: asyncio.Task[None]) -> None:
        """Until all is received, or nothing comes any more."""
        over = asyncio.create_task(self._over(), name="end of the last session")
        try:
            await self._coming(receiving, showing, over)
        finally:
            await cancel_and_wait(over)
        if receiving.done():
            await receiving

    async def _over(self) -> None:
        """Until nothing can come any more of what went in last."""
        if self._last is not None:
            await self._last.ended()
        await asyncio.sleep(_OVER_S)

    async def _coming(
        self,
        receiving: asyncio.Task[None],
        showing: asyncio.Task[None],
        over: asyncio.Task[None],
    ) -> None:
        while not receiving.done() and not showing.done():
            if over.done():
                self._errors.append("the stream was lost before all had come out")
                return
            self._pace.moved.clear()
            moving = asyncio.ensure_future(self._pace.moved.wait())
            limit = self._stall_s if self._download.announced else self._drain_s
            try:
                done, _ = await asyncio.wait(
                    (receiving, showing, moving, over),
                    timeout=limit,
                    return_when=asyncio.FIRST_COMPLETED,
                )
            finally:
                moving.cancel()
            if not done:
                if not self._stopped:
                    text = f"the output did not end: nothing came for {limit:g} s"
                    self._errors.append(text)
                return

    def _arrived(self, unit: AccessUnit, at: float) -> None:
        # From the sink's thread.
        self._loop.call_soon_threadsafe(self._count_out, unit, at)

    def _count_out(self, unit: AccessUnit, at: float) -> None:
        self._tally.count_out(unit, at)
        self._pace.out_pts = max(self._pace.out_pts, unit.pts)
        self._pace.moved.set()
