"""The stage: where the author's hooks run. A session cannot tell one kind from another."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from livepeer.runner._outlet import attach, detach
from livepeer.runner.errors import HookFailed
from livepeer.runner.live import LivePipeline
from livepeer.trickle.media import AudioFrame, Kind, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.runner._live.author import AuthorThread
    from livepeer.runner._outlet import Outlet

_POLL_S = 0.2


class Stage(Protocol):
    """Runs the hooks of one session.

    `start`, `update` and `stop` are awaited on the network's loop; `process` is called on a
    thread of the session's and blocks until the author has answered.
    """

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the author processes; the other kind never gets here."""
        ...

    async def start(self, params: Mapping[str, Any]) -> None:
        """Begin; raises `HookFailed`."""
        ...

    def process(self, frame: VideoFrame | AudioFrame) -> Sequence[VideoFrame | AudioFrame]:
        """Frames in the place of one; raises `HookFailed`."""
        ...

    async def update(self, params: Mapping[str, Any]) -> None:
        """New parameters; raises `HookFailed`."""
        ...

    async def stop(self) -> None:
        """End: no frame is processed any more; raises `HookFailed`."""
        ...

    def interrupt(self) -> None:
        """Let a `process` that waits for the author return at once, with nothing."""
        ...

    def release(self) -> None:
        """The session is over, and emits nothing any more. Idempotent."""
        ...


class InProcessStage:
    """Hooks of an instance in this process; frames are handed over by reference."""

    def __init__(self, pipeline: LivePipeline, author: AuthorThread, outlet: Outlet) -> None:
        self._pipeline = pipeline
        self._author = author
        self._outlet = outlet
        self._interrupted = threading.Event()
        self._kinds = processed_kinds(pipeline)
        attach(pipeline, outlet)

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the class, or the instance, overrides."""
        return self._kinds

    async def start(self, params: Mapping[str, Any]) -> None:
        """Run `on_stream_start`."""
        await self._await(self._pipeline.on_stream_start, dict(params))

    async def update(self, params: Mapping[str, Any]) -> None:
        """Run `on_params_update`, between two frames."""
        await self._await(self._pipeline.on_params_update, dict(params))

    async def stop(self) -> None:
        """Run `on_stream_stop`."""
        await self._await(self._pipeline.on_stream_stop)

    def process(self, frame: VideoFrame | AudioFrame) -> Sequence[VideoFrame | AudioFrame]:
        """Run `process_video` or `process_audio`."""
        video = isinstance(frame, VideoFrame)
        hook = self._pipeline.process_video if video else self._pipeline.process_audio
        future = self._author.submit(self._outlet, hook, frame)
        while not self._interrupted.is_set():
            try:
                return _frames(future.result(timeout=_POLL_S), hook, type(frame))
            except concurrent.futures.TimeoutError as error:
                # Of the hook's own, or it came in the last moment: asked again, it is here at once.
                if future.done() and future.exception() is not None:
                    raise _failed(hook, error) from error
            except HookFailed:
                raise
            except Exception as error:
                raise _failed(hook, error) from error
        future.cancel()
        return ()

    def interrupt(self) -> None:
        """Let `process` return; the hook itself cannot be stopped."""
        self._interrupted.set()

    def release(self) -> None:
        """Detach the session from the pipeline."""
        detach(self._pipeline, self._outlet)

    async def _await(self, hook: Callable[..., Any], *args: object) -> None:
        try:
            await self._author.call(self._outlet, hook, *args)
        except Exception as error:
            raise _failed(hook, error) from error


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


def _frames(
    result: object, hook: Callable[..., Any], kind: type[VideoFrame | AudioFrame]
) -> Sequence[VideoFrame | AudioFrame]:
    returned = type(result).__name__
    if isinstance(result, kind):
        return (result,)
    if result is None:
        return ()
    if isinstance(result, Sequence):
        items = cast("Sequence[object]", result)
        frames = [item for item in items if isinstance(item, kind)]
        if len(frames) == len(items):
            return frames
    raise HookFailed(
        f"{hook.__qualname__}() returned a {returned}:"
        f" return a {kind.__name__}, a list of them, or None to drop the frame"
    )


def _failed(hook: Callable[..., Any], error: BaseException | None) -> HookFailed:
    return HookFailed(f"{hook.__qualname__}() raised {type(error).__name__}: {error}")
