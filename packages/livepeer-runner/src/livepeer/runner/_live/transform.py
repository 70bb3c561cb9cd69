"""Decode, let the author work, encode: the loop of a stream that is changed."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from concurrent.futures import wait
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

from livepeer.runner._live.encoding import Encoding
from livepeer.runner._live.frame_queue import FrameQueue
from livepeer.runner._live.threads import run_in_thread
from livepeer.runner.errors import HookFailed
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MediaError, SegmentTruncated
from livepeer.trickle.media import (
    AccessUnit,
    AudioFrame,
    BytePipe,
    Item,
    Kind,
    MediaReader,
    Piece,
    StreamInfo,
    VideoFrame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.output import Output
    from livepeer.runner._live.stage import Stage
    from livepeer.runner._live.stats import SessionStats
    from livepeer.runner.settings import Settings
    from livepeer.trickle import TrickleSubscriber

_log = logging.getLogger(__name__)

_ENCODE_QUEUE = 4
_POLL_S = 0.2
_END = object()


class Media(Protocol):
    """What carries the media of one session, changed or as it is."""

    async def run(self) -> None:
        """Until the input ends and all of it went out; raises what makes that impossible."""
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
        settings: `live_policy`, `video_queue` and `segment_s` are read.
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
        self._settings = settings
        self._stats = stats
        self._report = report
        self._pipe = BytePipe()
        self._frames = FrameQueue(settings.video_queue, settings.live_policy)
        self._encode: queue.Queue[object] = queue.Queue(_ENCODE_QUEUE)
        self._interrupted = threading.Event()
        self._failing = False
        self._entered: dict[int, float] = {}

    async def run(self) -> None:
        """Until the source ends and everything went out."""
        loop = asyncio.get_running_loop()
        threads = [
            run_in_thread(self._decode_all, "decode"),
            run_in_thread(self._process_all, "hooks"),
            run_in_thread(lambda: self._encode_all(loop), "encode"),
        ]
        feed = asyncio.create_task(self._feed(), name="feed")
        try:
            # Shielded: cancelled is who waits, and not the thread.
            await asyncio.gather(feed, *map(asyncio.shield, threads))
            if self._output is not None:
                await self._output.finish()
        finally:
            self.interrupt()
            await cancel_and_wait(feed)
            # One that a hook holds is left behind; it can do nothing any more.
            done, _ = await asyncio.wait(threads, timeout=self._settings.stop_timeout_s)
            for thread in done:
                thread.exception()

    def interrupt(self) -> None:
        """Let every thread end at its next step. Idempotent."""
        self._interrupted.set()
        self._pipe.abort()
        self._frames.abort()
        self._stage.interrupt()
        with suppress(queue.Empty):
            while True:
                self._encode.get_nowait()
        with suppress(queue.Full):
            self._encode.put_nowait(_END)

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
        try:
            for item in MediaReader(self._pipe, decode=self._stage.kinds):
                if not isinstance(item, StreamInfo):
                    self._count_in(item)
                if not self._frames.put(item):
                    return
                self._stats.video_dropped = self._frames.dropped
        finally:
            self._frames.close()

    def _count_in(self, item: VideoFrame | AudioFrame | AccessUnit) -> None:
        if isinstance(item, VideoFrame):
            self._entered[item.pts] = time.monotonic()
            if len(self._entered) > 1024:  # dropped ones never leave
                del self._entered[next(iter(self._entered))]
        if isinstance(item, AudioFrame) or (isinstance(item, AccessUnit) and item.kind == "audio"):
            self._stats.audio_in += 1
        else:
            self._stats.video_in += 1

    def _process_all(self) -> None:
        try:
            while (item := self._frames.get()) is not None:
                for result in self._process(item):
                    self._put_encode(result)
        finally:
            self._put_encode(_END)

    def _process(self, item: Item) -> list[object]:
        kind: Kind = "video" if isinstance(item, VideoFrame) else "audio"
        if isinstance(item, (AccessUnit, StreamInfo)) or kind not in self._stage.kinds:
            return [item]
        if self._interrupted.is_set():
            return []
        try:
            results = list[object](self._stage.process(item))
        except HookFailed as error:
            self._fail(error)
            return []
        self._failing = False
        return results

    def _fail(self, error: HookFailed) -> None:
        """Count a lost frame; the first of several in a row is told."""
        self._stats.hook_errors += 1
        if not self._failing:
            self._failing = True
            _log.error("%s; the frame is dropped", error, exc_info=error.__cause__)
            self._report(error)

    def _put_encode(self, item: object) -> None:
        while not self._interrupted.is_set():
            with suppress(queue.Full):
                self._encode.put(item, timeout=0.5)
                return

    def _encode_all(self, loop: asyncio.AbstractEventLoop) -> None:
        encoding = Encoding(self._settings.segment_s)
        while (item := self._encode.get()) is not _END:
            assert isinstance(item, (VideoFrame, AudioFrame, AccessUnit, StreamInfo))
            try:
                pieces = encoding.add(item)
            except MediaError as error:
                self._fail(HookFailed(str(error)))
                continue
            self._send(loop, pieces)
            self._count_out(item)
        if not self._interrupted.is_set():
            self._send(loop, encoding.flush())

    def _count_out(self, item: Item) -> None:
        if isinstance(item, VideoFrame):
            self._stats.video_out += 1
            entered = self._entered.pop(item.pts, None)
            if entered is not None:
                self._stats.latencies_s.append(time.monotonic() - entered)
        elif isinstance(item, AccessUnit) and item.kind == "video":
            self._stats.video_out += 1
        elif not isinstance(item, StreamInfo):
            self._stats.audio_out += 1

    def _send(self, loop: asyncio.AbstractEventLoop, pieces: list[Piece]) -> None:
        if self._output is None:
            return
        for piece in pieces:
            if self._interrupted.is_set():
                return
            # Blocks this thread while the network is slower, which fills the queues behind it.
            sending = asyncio.run_coroutine_threadsafe(self._output.put(piece), loop)
            while not sending.done():
                if self._interrupted.is_set():
                    sending.cancel()
                    return
                wait((sending,), timeout=_POLL_S)
            sending.result()
