"""The stream that a hook runs for, and where its events, data and frames go."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from livepeer.runner.frames import AudioFrame, Tensor, VideoFrame

    Array: TypeAlias = NDArray[np.generic]
    VideoItem: TypeAlias = VideoFrame | Array | Tensor
    AudioItem: TypeAlias = AudioFrame | Array | Tensor


class Outlet(Protocol):
    """What a session sends for its hooks. Safe to call from any thread; never blocks."""

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Queue an event."""
        ...

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Queue a line of data."""
        ...

    def emit_frame(self, frame: VideoFrame | AudioFrame) -> None:
        """Queue a frame."""
        ...


class Stream:
    """One stream, as the hooks that run for it see it.

    Its methods may be called from any thread, and never block.

    Attributes:
        id: The network's name for it.
        params: The parameters in force: an instance of the pipeline's `Params`, or where there is
            no such class a mapping of all that was sent, the last of each name.
        state: The author's own; empty when the stream begins. What belongs to one stream goes
            here and not on the pipeline, which all streams share.
    """

    def __init__(self, stream_id: str, outlet: Outlet) -> None:
        self.id = stream_id
        # Whatever the author's class of parameters is; a type parameter would be on every hook.
        self.params: Any = {}
        self.state: dict[str, Any] = {}
        self._outlet = outlet

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Publish a JSON object on the events channel; without a `type` it is an `event`.

        256 messages may wait for the network; beyond that the oldest are dropped and counted.

        Raises:
            MessageError: It is not JSON.
        """
        self._outlet.emit_event(message)

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Publish a JSON object as a line on the data channel; as `emit_event`.

        The caller decides at the start whether a stream has a data channel; without one the
        line is dropped.

        Raises:
            MessageError: It is not JSON, or 64 KiB or longer.
        """
        self._outlet.emit_data(message)

    def emit_frame(
        self, frame: VideoItem | AudioItem, *, like: VideoFrame | AudioFrame | None = None
    ) -> None:
        """Send a frame whose turn has come, for models that batch or run at their own pace.

        The hook returns None for a frame that it will answer later; any number may be open, and
        any may stay unanswered. Frames go out in the order in which they are emitted; one that is
        older than one already sent is dropped and counted (`late`), because time does not go back.
        A few may wait for the encoder; beyond that the oldest is dropped and counted
        (`emit_queue`).

        Args:
            frame: With the presentation time of its source.
            like: The source, where `frame` is an array or a tensor.

        Raises:
            TypeError: It is an array or a tensor, and `like` is missing; or it is neither.
            ValueError: Its shape does not fit.
        """
        from livepeer.runner.frames import AudioFrame, VideoFrame, as_frames

        if isinstance(frame, (VideoFrame, AudioFrame)):
            self._outlet.emit_frame(frame)
            return
        if like is None:
            raise TypeError(f"emit_frame() got a {type(frame).__name__}: pass like=, its source")
        for ready in as_frames(frame, like):
            self._outlet.emit_frame(ready)


CURRENT: ContextVar[Stream | None] = ContextVar("the stream of the hook that runs", default=None)

# By pipeline, and not an attribute of it: authors need not call super().__init__().
_attached: WeakKeyDictionary[object, list[Stream]] = WeakKeyDictionary()


def attach(pipeline: object, stream: Stream) -> None:
    """Make a stream known to its pipeline."""
    _attached.setdefault(pipeline, []).append(stream)


def detach(pipeline: object, stream: Stream) -> None:
    """Forget a stream. Idempotent."""
    streams = _attached.get(pipeline, [])
    if stream in streams:
        streams.remove(stream)


def stream_of(pipeline: object) -> Stream | None:
    """The stream of the running hook, or the only one there is; None when there is none.

    Raises:
        LookupError: Several streams run, and the call comes from none of their hooks.
    """
    current = CURRENT.get()
    if current is not None:
        return current
    streams = _attached.get(pipeline, [])
    if len(streams) > 1:
        raise LookupError(
            "several streams run: call it from a hook, which knows its own, or keep `self.stream`"
            " and use that"
        )
    return streams[0] if streams else None
