"""A media file through a stream: in at its pace, out into a file, with nothing lost on the way."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from livepeer.client.errors import StreamLost
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MediaError, SegmentTruncated
from livepeer.trickle.media import AccessUnit, Kind, Segmenter

from .source import START

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from livepeer.client._wire import JSONValue
    from livepeer.client.stream import BYOCJob
    from livepeer.trickle import SegmentReader, SegmentWriter, TrickleSubscriber
    from livepeer.trickle.media import BytePipe

    from .recorder import Recorder
    from .source import MediaSource

_AHEAD: Final = 2
"""How many segments the publisher may be ahead of the runner. A server holds the last four while
one is connected ahead, so that the runner finds each that it has not read."""
_BATCH: Final = 16
_TICKS: Final = 90_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a transfer stands.

    Attributes:
        sent_s: How much of the file went in, in seconds of media.
        frames_in: Pictures that went in.
        frames_out: Pictures that came out.
    """

    sent_s: float
    frames_in: int
    frames_out: int


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a transfer came to. Frames are pictures, or where there are none, units of sound.

    Attributes:
        frames_in: Frames that went in.
        frames_out: Frames that came out.
        dropped: Frames that went in and did not come out.
        seconds: From the first frame in to the last frame out.
        rate: Frames out for each of these seconds.
        latency_ms: Median and 99th percentile of the time from a frame's way in to its way out;
            None where no presentation time came out again.
        errors: What the runner reported, and why the file could not be read to its end.
    """

    frames_in: int
    frames_out: int
    dropped: int
    seconds: float
    rate: float
    latency_ms: tuple[float, float] | None
    errors: tuple[str, ...]


@dataclass
class _Count:
    sent: dict[int, float] = field(default_factory=dict[int, float])
    frames_in: int = 0
    frames_out: int = 0
    first_in: float | None = None
    last_out: float | None = None
    out_pts: int = -1
    latencies: list[float] = field(default_factory=list[float])


class Transfer:
    """Sends a file through a running job and records what comes back.

    By default the file goes in at its own pace and waits for a runner that is slower: no segment
    is published before the runner has begun to read the one two before it, which its statistics
    events or its output tell. So nothing is lost on the way, whatever the speed of the model.

    Args:
        job: A job that was started directly at an orchestrator, with video in and out.
        source: The file that goes in.
        fast: Do not keep to the file's pace; as fast as the runner takes it.
        live: Do not wait for the runner; what it cannot take in time is lost, as with a camera.
        stall_s: For how long nothing may move before the transfer fails.
        drain_s: For how long a runner that does not announce the end of its output is waited for.
        on_progress: Called now and then, on the loop.
    """

    def __init__(
        self,
        job: BYOCJob,
        source: MediaSource,
        *,
        fast: bool = False,
        live: bool = False,
        stall_s: float = 60.0,
        drain_s: float = 15.0,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._job = job
        self._source = source
        self._fast = fast
        self._live = live
        self._stall_s = stall_s
        self._drain_s = drain_s
        self._on_progress = on_progress
        self._lead: Kind = "video" if "video" in source.codecs else "audio"
        self._count = _Count()
        self._starts: list[int] = []
        self._read_to = -1
        self._received_to = -1
        self._all_sent = False
        self._moved = asyncio.Event()
        self._runner_counts: object = None
        self._end: asyncio.Future[int] | None = None
        self._reading: asyncio.Future[list[AccessUnit]] | None = None
        self._errors: list[str] = []
        self._loop = asyncio.get_running_loop()

    async def run(self, recorder: Recorder) -> Summary:
        """Until the file has gone in and all of it has come out.

        Raises:
            StreamLost: The stream ended before, or nothing moved for `stall_s`.
        """
        self._end = self._loop.create_future()
        recording = asyncio.create_task(
            asyncio.to_thread(recorder.run, self._arrived), name="record"
        )
        receiving = asyncio.create_task(self._receive(recorder.pipe), name="receive")
        watching = asyncio.create_task(self._watch_events(), name="events")
        sending = asyncio.create_task(self._send(), name="send")
        try:
            await self._finished(sending, receiving, watching)
            await self._received(receiving)
        finally:
            await cancel_and_wait(sending, receiving, watching)
            recorder.pipe.close()
            await asyncio.wait([recording])
            if self._reading is not None:
                await asyncio.wait([self._reading])
        await recording
        # Once round the loop, for what the recorder's thread reported last.
        await asyncio.sleep(0)
        return self._summary()

    async def _send(self) -> None:
        segmenter = Segmenter(self._source.codecs)
        async with self._job.publisher() as publisher:
            segment: SegmentWriter | None = None
            async for unit in self._units():
                piece = segmenter.add(unit)
                if piece.starts:
                    if segment is not None:
                        await segment.close()
                    self._starts.append(min(unit.pts, unit.dts))
                    if not self._live:
                        await self._wait_for_reader(len(self._starts) - 1 - _AHEAD)
                    segment = await publisher.open_segment()
                self._count_in(unit)
                assert segment is not None
                await segment.write(piece.data)
            if segment is not None:
                await segment.close()
            if not self._live:
                # A closed channel forgets what nobody has asked for.
                await self._wait_for_reader(len(self._starts) - 1)
            self._all_sent = True

    async def _units(self) -> AsyncGenerator[AccessUnit]:
        """The file's units, each when it is due."""
        units = iter(self._source)
        begin, first = self._loop.time(), None
        while True:
            self._reading = self._loop.run_in_executor(None, self._read, units)
            batch = await asyncio.shield(self._reading)
            if not batch:
                return
            for unit in batch:
                first = unit.dts if first is None else first
                if not self._fast:
                    due = begin + (unit.dts - first) / _TICKS
                    await asyncio.sleep(max(due - self._loop.time(), 0))
                yield unit

    def _read(self, units: Iterator[AccessUnit]) -> list[AccessUnit]:
        """On a thread: the next few units, none at the end; a damaged file ends where it is."""
        batch: list[AccessUnit] = []
        try:
            batch.extend(islice(units, _BATCH))
        except MediaError as error:
            self._errors.append(str(error))
        return batch

    async def _wait_for_reader(self, segment: int) -> None:
        """Until the runner reads `segment`, or one after it."""
        while max(self._read_to + 1, bisect_right(self._starts, self._count.out_pts) - 1) < segment:
            self._moved.clear()
            try:
                async with asyncio.timeout(self._stall_s):
                    await self._moved.wait()
            except TimeoutError:
                raise StreamLost(f"nothing moved for {self._stall_s:g} s") from None

    async def _receive(self, pipe: BytePipe) -> None:
        async with self._job.subscriber() as subscriber:
            while (segment := await self._next_segment(subscriber)) is not None:
                if segment.gap:
                    self._errors.append(f"{segment.gap} segments of the output were missed")
                    pipe.cut()
                try:
                    async for chunk in segment:
                        await pipe.write(chunk)
                except SegmentTruncated as error:
                    self._errors.append(str(error))
                    pipe.cut()
                self._received_to = segment.seq

    async def _next_segment(self, subscriber: TrickleSubscriber) -> SegmentReader | None:
        """The next segment; None when the channel ends, or the runner says that it was the last."""
        assert self._end is not None
        following = asyncio.ensure_future(anext(subscriber, None))
        try:
            await asyncio.wait((following, self._end), return_when=asyncio.FIRST_COMPLETED)
            if not following.done() and self._received_to + 1 >= self._end.result():
                return None
            return await following
        finally:
            await cancel_and_wait(following)

    async def _watch_events(self) -> None:
        async for event in self._job.events():
            kind = event.get("type")
            if kind == "error":
                self._errors.append(str(event.get("message", "the runner reported an error")))
            if kind in ("stats", "end_of_stream"):
                self._count_runner(event)
            if kind == "end_of_stream" and self._end is not None and not self._end.done():
                segments = event.get("segments")
                self._end.set_result(segments if isinstance(segments, int) else 0)

    async def _finished(self, sending: asyncio.Task[None], *guards: asyncio.Task[None]) -> None:
        """Until all is sent; a guard that ends before means that the stream is gone."""
        await asyncio.wait((sending, *guards), return_when=asyncio.FIRST_COMPLETED)
        for guard in guards:
            if guard.done() and not sending.done():
                guard.result()
                if not self._all_sent:
                    raise StreamLost("the stream ended before the file had gone in")
        await sending

    async def _received(self, receiving: asyncio.Task[None]) -> None:
        """Until all is received, or nothing comes any more."""
        assert self._end is not None
        while not receiving.done():
            self._moved.clear()
            moving = asyncio.ensure_future(self._moved.wait())
            limit = self._stall_s if self._end.done() else self._drain_s
            try:
                done, _ = await asyncio.wait(
                    (receiving, moving), timeout=limit, return_when=asyncio.FIRST_COMPLETED
                )
            finally:
                moving.cancel()
            if not done:
                self._errors.append(f"the output did not end: nothing came for {limit:g} s")
                return
        await receiving

    def _arrived(self, unit: AccessUnit, at: float) -> None:
        # From the recorder's thread.
        self._loop.call_soon_threadsafe(self._count_out, unit, at)

    def _count_in(self, unit: AccessUnit) -> None:
        if unit.kind != self._lead:
            return
        now = time.monotonic()
        count = self._count
        count.first_in = now if count.first_in is None else count.first_in
        count.sent[unit.pts] = now
        count.frames_in += 1
        if self._on_progress is not None:
            sent_s = (unit.dts - START) / _TICKS
            self._on_progress(
                Progress(sent_s=sent_s, frames_in=count.frames_in, frames_out=count.frames_out)
            )

    def _count_out(self, unit: AccessUnit, at: float) -> None:
        count = self._count
        count.out_pts = max(count.out_pts, unit.pts)
        if unit.kind == self._lead:
            count.frames_out += 1
            count.last_out = at
            sent = count.sent.pop(unit.pts, None)
            if sent is not None:
                count.latencies.append(at - sent)
        self._moved.set()

    def _count_runner(self, event: dict[str, JSONValue]) -> None:
        read_to = event.get("last_segment_in")
        if isinstance(read_to, int):
            self._read_to = max(self._read_to, read_to)
        counts = [event.get(name) for name in ("last_segment_in", "video_in", "audio_in")]
        counts += [event.get("video_out"), event.get("audio_out")]
        if counts != self._runner_counts:
            self._runner_counts = counts
            self._moved.set()

    def _summary(self) -> Summary:
        count = self._count
        begin, end = count.first_in, count.last_out
        seconds = end - begin if begin is not None and end is not None else 0.0
        ordered = sorted(count.latencies)
        latency = None
        if ordered:
            median, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
            latency = (median * 1000, late * 1000)
        return Summary(
            frames_in=count.frames_in,
            frames_out=count.frames_out,
            dropped=max(count.frames_in - count.frames_out, 0),
            seconds=seconds,
            rate=count.frames_out / seconds if seconds else 0.0,
            latency_ms=latency,
            errors=tuple(self._errors),
        )
