"""The stage in this process: frames are handed to the author by reference."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from livepeer.runner._live.author import AuthorThread, FrameCall, HookRaised, context_of
from livepeer.runner._live.parameters import Parameters
from livepeer.runner._live.preload import preload
from livepeer.runner._live.stage import Answer, Frame
from livepeer.runner._stream import attach, detach
from livepeer.runner.errors import HookFailed, StageAway, describe
from livepeer.runner.frames import as_frames
from livepeer.runner.live import LivePipeline
from livepeer.runner.state import PipelineState
from livepeer.trickle.media import AudioFrame, Kind, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from livepeer.runner._stream import Stream
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)


class InProcessHost:
    """An instance in this process, and the thread on which its hooks run.

    Args:
        pipeline: The author's instance.
        settings: `stop_timeout_s` and `hook_timeout_s` are read.
        defaults: Initial parameters of each stream, below those that its caller sends.
    """

    def __init__(
        self,
        pipeline: LivePipeline,
        settings: Settings,
        defaults: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._defaults = dict(defaults or {})
        self._author: AuthorThread | None = None
        self._set_up = False
        self._stages: WeakSet[InProcessStage] = WeakSet()

    @property
    def state(self) -> PipelineState:
        """ERROR while a hook takes longer than it may: nothing here can end it."""
        if not self._set_up:
            return PipelineState.LOADING
        return PipelineState.ERROR if self._hangs() else PipelineState.OK

    @property
    def message(self) -> str | None:
        """Which hook holds the author's thread, if one does."""
        if not self._hangs():
            return None
        return "a hook has not returned in time, and holds the others"

    async def setup(self) -> None:
        """Run the author's `setup()` on the author's thread; raises what it raises."""
        self._author = AuthorThread(type(self._pipeline).__name__)
        try:
            await self._author.call(None, preload, self._pipeline)
            await self._author.call(None, self._pipeline.setup)
        except HookRaised as raised:
            if isinstance(raised.error, Exception):
                raise raised.error from None
            raise
        self._set_up = True

    async def close(self) -> None:
        """Run the author's `teardown()`, and end the author's thread."""
        if self._author is None:
            return
        try:
            if self._set_up:
                async with asyncio.timeout(self._settings.stop_timeout_s):
                    await self._author.call(None, self._pipeline.teardown)
        except HookRaised as raised:
            _log.error("teardown() raised %s", raised, exc_info=raised.error)
        except TimeoutError:
            _log.error("teardown() did not run in time: another hook is still running, or it is")
        finally:
            if not await asyncio.to_thread(self._author.close, self._settings.stop_timeout_s):
                _log.error("a hook did not return; its thread is left behind")

    def stage(self, stream: Stream) -> InProcessStage:
        """The hooks for one session; after `setup()`."""
        assert self._author is not None
        stage = InProcessStage(self._pipeline, self._author, stream, self._settings, self._defaults)
        self._stages.add(stage)
        return stage

    def _hangs(self) -> bool:
        begun = time.monotonic() - self._settings.hook_timeout_s
        if self._author is not None and self._author.overdue:
            return True
        return any(stage.waits_since(begun) for stage in self._stages)


class InProcessStage:
    """The hooks of an instance in this process, for one session.

    Args:
        pipeline: The author's instance.
        author: Where its hooks run.
        stream: The session, as the hooks see it.
        settings: How long hooks may take is read.
        defaults: Initial parameters.
    """

    def __init__(
        self,
        pipeline: LivePipeline,
        author: AuthorThread,
        stream: Stream,
        settings: Settings,
        defaults: Mapping[str, JsonValue] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._author = author
        self._settings = settings
        self._stream = stream
        self._parameters = Parameters(pipeline.Params, defaults)
        self._kinds = processed_kinds(pipeline)
        self._context = context_of(stream)
        self._reloading = False
        self._changing = asyncio.Lock()
        self._lock = threading.Lock()
        self._open: dict[Answer, float] = {}
        # Of what was answered last, by kind; on the author's thread alone.
        self._last_s: dict[type[Frame], float] = {}
        attach(pipeline, stream)

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the class, or the instance, overrides."""
        return self._kinds

    @property
    def frames_in_flight(self) -> int:
        """What the class says; hooks that are not async still run one at a time."""
        return max(1, self._pipeline.frames_in_flight)

    @property
    def away(self) -> str | None:
        """While what the author's update returned is awaited."""
        return "reloading" if self._reloading else None

    def waits_since(self, moment: float) -> bool:
        """Whether a frame that was submitted before this time still waits for its answer."""
        with self._lock:
            return any(submitted < moment for submitted in self._open.values())

    async def start(self, params: Mapping[str, JsonValue]) -> None:
        """Validate, then run `on_stream_start`."""
        async with self._changing:
            values = self._parameters.merged(params)
            self._stream.params = self._parameters.validated(values)
            hook, limit_s = self._pipeline.on_stream_start, self._settings.hook_start_timeout_s
            await self._call("on_stream_start", limit_s, hook, self._stream.params)
            self._parameters.accept(values)

    async def update(self, params: Mapping[str, JsonValue]) -> None:
        """Validate, then run `on_params_update`, between two frames; one update at a time."""
        async with self._changing:
            values = self._parameters.merged(params)
            validated, before = self._parameters.validated(values), self._stream.params
            # Without a class to fill in the rest, the hook is told what was sent.
            told = dict(params) if self._pipeline.Params is None else validated
            limit_s = self._settings.hook_update_timeout_s
            try:
                await self._call("on_params_update", limit_s, self._apply, validated, told)
            except BaseException:
                self._stream.params = before
                raise
            self._parameters.accept(values)

    async def stop(self) -> None:
        """Run `on_stream_stop`."""
        limit_s = self._settings.stop_timeout_s
        await self._call("on_stream_stop", limit_s, self._pipeline.on_stream_stop)

    def submit(self, frame: Frame) -> Answer:
        """Run `process_video` or `process_audio`."""
        video = isinstance(frame, VideoFrame)
        name = "process_video" if video else "process_audio"
        hook = self._pipeline.process_video if video else self._pipeline.process_audio
        # So that what is emitted for it, from whichever thread, goes where it came from.
        frame.origin = self._stream
        answer = Answer(frame)
        with self._lock:
            self._open[answer] = time.monotonic()
        answer.add_done_callback(lambda: self._closed(answer))

        def deliver(result: object) -> None:
            for item in as_frames(result, frame):
                answer.give(self._sent(item, frame))

        def finish(error: BaseException | None) -> None:
            answer.finish(None if error is None else self._failed(name, error))

        limit_s = self._settings.hook_timeout_s
        context = self._context.copy()
        self._author.ask(FrameCall(context, hook, answer, deliver, finish, limit_s))
        return answer

    def interrupt(self) -> None:
        """Finish every open answer at once; the hook itself cannot be stopped."""
        with self._lock:
            waiting = list(self._open)
        for answer in waiting:
            answer.finish(StageAway("the stream ends"))

    def release(self) -> None:
        """Detach the session from the pipeline."""
        detach(self._pipeline, self._stream)

    def _sent(self, item: Frame, source: Frame) -> Frame:
        """A frame for the encoder; one that was answered before has the time of this source."""
        last_s = self._last_s.get(type(item))
        again = item is not source and last_s is not None and item.time <= last_s
        if isinstance(item, VideoFrame):
            sent: Frame = item.sent(source if again and isinstance(source, VideoFrame) else None)
        else:
            sent = item.sent(source if again and isinstance(source, AudioFrame) else None)
        self._last_s[type(item)] = sent.time
        return sent

    def _closed(self, answer: Answer) -> None:
        with self._lock:
            self._open.pop(answer, None)

    def _apply(self, params: Any, told: Any) -> Any:
        # On the author's thread, so that no frame sees new parameters before their hook does.
        self._stream.params = params
        result = self._pipeline.on_params_update(told)
        return self._reload(result) if inspect.isawaitable(result) else result

    async def _reload(self, result: Any) -> None:
        self._reloading = True
        try:
            await result
        finally:
            self._reloading = False

    async def _call(
        self, name: str, limit_s: float, hook: Callable[..., Any], *args: object
    ) -> None:
        try:
            await self._author.call(self._stream, hook, *args, limit_s=limit_s)
        except HookRaised as raised:
            raise self._failed(name, raised.error) from raised.error
        except RuntimeError as error:
            raise self._failed(name, error) from error

    def _failed(self, hook: str, error: BaseException) -> HookFailed:
        name = f"{type(self._pipeline).__name__}.{hook}"
        failed = HookFailed(f"{name}() raised {describe(error)}")
        failed.__cause__ = error
        return failed


def processed_kinds(pipeline: LivePipeline) -> frozenset[Kind]:
    """Which of the two frame hooks a pipeline overrides, in its class or on itself."""

    def overridden(name: str) -> bool:
        function = getattr(getattr(pipeline, name), "__func__", None)
        return function is not getattr(LivePipeline, name)

    kinds: set[Kind] = set()
    if overridden("process_video"):
        kinds.add("video")
    if overridden("process_audio"):
        kinds.add("audio")
    return frozenset(kinds)
