"""The stage: where the author's hooks run. A session cannot tell one kind from another."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Protocol

from livepeer.trickle.media import AudioFrame, Kind, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pydantic import JsonValue

    from livepeer.runner._stream import Stream
    from livepeer.runner.errors import RunnerError
    from livepeer.runner.state import PipelineState

Frame = VideoFrame | AudioFrame

FULL = 64
"""With so many frames waiting in one answer, a generator is not asked for more."""


class _End:
    """What ends an answer."""

    def __init__(self, error: RunnerError | None) -> None:
        self.error = error


class Answer:
    """What the author answers to one frame: frames as they come, then an end or an error.

    One thread gives and another gets. Giving never waits; who can wait does so while it is `full`.
    """

    def __init__(self, source: Frame) -> None:
        self.source = source
        self._items: queue.SimpleQueue[Frame | _End] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._done = False
        self._callbacks: list[Callable[[], None]] = []
        self._watcher: Callable[[], None] | None = None

    @property
    def done(self) -> bool:
        """Whether the author has finished."""
        return self._done

    @property
    def full(self) -> bool:
        """Whether as many frames wait as should."""
        return self._items.qsize() >= FULL

    def give(self, frame: Frame) -> None:
        """Add a frame; nothing happens once the answer is finished."""
        if not self._done:
            self._items.put(frame)

    def flush(self) -> None:
        """Tell whoever watches, where the end does not follow at once."""
        if (watcher := self._watcher) is not None:
            watcher()

    def finish(self, error: RunnerError | None = None) -> None:
        """End it, once; later calls do nothing.

        Args:
            error: `HookFailed` when the author raised, `StageAway` when the model is gone.
        """
        with self._lock:
            if self._done:
                return
            self._done = True
            callbacks, self._callbacks = self._callbacks, []
            watcher, self._watcher = self._watcher, None
        self._items.put(_End(error))
        if watcher is not None:
            watcher()
        for callback in callbacks:
            callback()

    def get(self, timeout_s: float | None = None) -> Frame | None:
        """The next frame; None at the end, also when asked again.

        Raises:
            TimeoutError: Nothing came in time; asking again is right.
            RunnerError: What the answer ended with.
        """
        try:
            item = self._items.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError("the hook has not answered yet") from None
        if not isinstance(item, _End):
            return item
        self._items.put(_End(None))
        if item.error is not None:
            raise item.error
        return None

    def watch(self, watcher: Callable[[], None]) -> None:
        """Call at once, and when there is more to get, from the thread that gave it; one can."""
        with self._lock:
            if not self._done:
                self._watcher = watcher
        watcher()

    def add_done_callback(self, callback: Callable[[], None]) -> None:
        """Call when it is finished, from the thread that finishes it; at once if it is."""
        with self._lock:
            if not self._done:
                self._callbacks.append(callback)
                return
        callback()


class Stage(Protocol):
    """Runs the hooks of one session.

    `start`, `update` and `stop` are awaited on the network's loop; `submit` is called on a thread
    of the session's.
    """

    @property
    def kinds(self) -> frozenset[Kind]:
        """What the author processes; the other kind never gets here."""
        ...

    @property
    def frames_in_flight(self) -> int:
        """How many answers may be open at a time."""
        ...

    @property
    def away(self) -> str | None:
        """Why the hooks cannot be called now; None when they can."""
        ...

    async def start(self, params: Mapping[str, JsonValue]) -> None:
        """Begin; raises `InvalidParams`, `HookFailed` or `StageAway`."""
        ...

    async def update(self, params: Mapping[str, JsonValue]) -> None:
        """Parameters that change; raises `InvalidParams`, `HookFailed` or `StageAway`."""
        ...

    async def stop(self) -> None:
        """End: no frame is processed any more; raises `HookFailed`."""
        ...

    def submit(self, frame: Frame) -> Answer:
        """Hand a frame to the author. Never blocks."""
        ...

    def interrupt(self) -> None:
        """Finish every open answer at once; a hook itself cannot be stopped."""
        ...

    def release(self) -> None:
        """The session is over, and emits nothing any more. Idempotent."""
        ...


class StageHost(Protocol):
    """Where the model lives: one for each runner, with a stage for each session."""

    async def setup(self) -> None:
        """Load the model.

        Raises:
            Exception: What the author's `setup()` raised, where it is not tried again.
        """
        ...

    async def close(self) -> None:
        """Unload it, within a bounded time. The sessions have ended."""
        ...

    @property
    def state(self) -> PipelineState:
        """LOADING, OK when the hooks can be called, or ERROR."""
        ...

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        ...

    def stage(self, stream: Stream) -> Stage:
        """The hooks for one session."""
        ...
