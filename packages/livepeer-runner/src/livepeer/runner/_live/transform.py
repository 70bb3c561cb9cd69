"""Decode, let the author work, encode: the loop of a stream that is changed."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Protocol

from livepeer.runner._live.asking import Asking
from livepeer.runner._live.frame_queue import FrameQueue
from livepeer.runner._live.handover import Handover
from livepeer.runner._live.outbox import ClockRestart, Outbox
from livepeer.runner._live.patience import Patience
from livepeer.runner._live.publishing import Publishing
from livepeer.runner._live.threads import run_in_thread
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import SegmentTruncated
from livepeer.trickle.media import (
    AccessUnit,
    AudioFrame,
    BytePipe,
    MediaReader,
    Piece,
    StreamInfo,
    VideoFrame,
    restarts,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.output import Output
    from livepeer.runner._live.stage import Frame, Stage
    from livepeer.runner._live.stats import SessionStats
    from livepeer.runner.errors import HookFailed
    from livepeer.runner.settings import Settings
    from livepeer.trickle import TrickleSubscriber

_log = logging.getLogger(__name__)


class Media(Protocol):
    """What carries the media of one session, changed or as it is."""

    async def run(self) -> None:
        """Until the input ends and all of it went out; raises what makes that impossible."""
        ...

    def emit(self, frame: Frame) -> None:
        """From any thread: send a frame that a hook emits."""
        ...

    def interrupt(self) -> None:
        """Give up what is under way; `run` must be cancelled as well."""
        ...


class Transform:
    """The threads of one session: decode, the author's hooks, encode.

    The network's loop feeds the first and takes from the last; in between, frames wait in bounded
    queues, so that a source faster than the hook is either slowed down or thinned out, by setting.

    Args:
        source: The stream that comes in.
        output: Where the result goes; None when nobody asked for it.
        stage: The author's hooks.
        settings: Policies and intervals.
        stats: Where things are counted.
        report: Called from a thread with each hook failure that begins a run of failures.
    """

    def __init__(
        self,
        source: TrickleSubscriber,
        output: Output | None,
        stage: Stage,
        settings: Settings,
        stats: SessionStats,
        report: Callable[[HookFailed], None],
    ) -> None:
        self._source = source
        self._output = output
        self._stage = stage
        self._stop_timeout_s = settings.stop_timeout_s
        self._stats = stats
        self._pipe = BytePipe()
        self._frames = FrameQueue(
            settings.video_queue,
            settings.video_wait_s,
            settings.live_policy,
            lambda: stats.drop("slow"),
        )
        self._outbox = Outbox(stage.frames_in_flight)
        self._reader = MediaReader(self._pipe, decode=stage.kinds, hardware=settings.hardware)
        self._handover = Handover()
        # A file that waits is not covered up.
        live = settings.live_policy == "drop"
        patience = Patience(settings.overlay_after_s, settings.hook_timeout_s) if live else None
        self._asking = Asking(self._frames, self._outbox, stage, patience, settings, stats)
        send = self._handover.put if output is not None else _not_wanted
        self._publishing = Publishing(self._outbox, patience, settings, stats, send, report)
        stats.watch_depth("frames", lambda: len(self._frames))
        stats.watch_depth("answers", lambda: len(self._outbox))
        stats.watch_depth("pieces", lambda: len(self._handover))

    async def run(self) -> None:
        """Until the source ends and everything went out."""
        threads = [
            run_in_thread(self._decode_all, "decode"),
            run_in_thread(self._asking.run, "hooks"),
            run_in_thread(self._publish_all, "encode"),
        ]
        feed = asyncio.create_task(self._feed(), name="feed")
        send = asyncio.create_task(self._send_all(), name="send")
        try:
            # Shielded: cancelled is who waits, and not the thread.
            await asyncio.gather(feed, send, *map(asyncio.shield, threads))
            if self._output is not None:
                await self._output.finish()
        finally:
            self.interrupt()
            await cancel_and_wait(feed, send)
            # One that a hook holds is left behind; it can do nothing any more.
            done, _ = await asyncio.wait(threads, timeout=self._stop_timeout_s)
            for thread in done:
                thread.exception()

    def emit(self, frame: Frame) -> None:
        """Queue a frame that a hook emits, behind what is being answered."""
        if not self._outbox.emit(frame):
            self._stats.drop("emit_queue")

    def interrupt(self) -> None:
        """Let every thread end at its next step. Idempotent."""
        self._asking.interrupt()
        self._publishing.interrupt()
        self._pipe.abort()
        self._frames.abort()
        self._outbox.abort()
        self._stage.interrupt()
        self._handover.abort()

    async def _feed(self) -> None:
        try:
            async for segment in self._source:
                if segment.gap:
                    self._stats.gaps += segment.gap
                    self._pipe.cut()
                try:
                    async for chunk in segment:
                        await self._pipe.write(chunk)
                except SegmentTruncated as error:
                    _log.warning("%s", error)
                    self._pipe.cut()
                self._stats.segments_in += 1
                self._stats.last_segment_in = segment.seq
        finally:
            self._pipe.close()

    def _decode_all(self) -> None:
        last_pts: int | None = None
        try:
            began = time.thread_time()
            for item in self._reader:
                if isinstance(item, VideoFrame):
                    if last_pts is not None and restarts(last_pts, item.pts):
                        self._frames.put(ClockRestart())
                    last_pts = item.pts
                    self._stats.took("decode", time.thread_time() - began)
                    self._publishing.entered(item)
                if not isinstance(item, StreamInfo):
                    self._count_in(item)
                if not self._frames.put(item):
                    return
                began = time.thread_time()
        finally:
            self._frames.close()

    def _count_in(self, item: VideoFrame | AudioFrame | AccessUnit) -> None:
        if isinstance(item, AudioFrame) or (isinstance(item, AccessUnit) and item.kind == "audio"):
            self._stats.audio_in += 1
        else:
            self._stats.video_in += 1

    def _publish_all(self) -> None:
        try:
            self._publishing.run()
        finally:
            self._handover.close()

    async def _send_all(self) -> None:
        async for piece in self._handover:
            assert self._output is not None
            await self._output.put(piece)


def _not_wanted(_piece: Piece) -> bool:
    return True
