"""The stream that a hook runs for, and where its events, data and frames go."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

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

    def report(self, message: str) -> None:
        """Tell that something of the pipeline's failed."""
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

        256 messages or 4 MiB may wait for the network; beyond that the oldest are dropped and
        counted. The session's own events do not wait behind them.

        Raises:
            MessageError: It is not JSON, or larger than 1 MiB.
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

    def report(self, message: str) -> None:
        """Publish an `error` event: something of the pipeline's failed."""
        self._outlet.report(message)


CURRENT: ContextVar[Stream | None] = ContextVar("the stream of the hook that runs", default=None)


class _Attached(NamedTuple):
    """The streams of a pipeline, which is held so that no other object gets its id."""

    pipeline: object
    streams: tuple[Stream, ...]


# By the pipeline's id, and neither an attribute of it nor a key made of it: authors need not call
# super().__init__(), and their classes (data classes among them) may have an equality of their own.
_attached: dict[int, _Attached] = {}


def attach(pipeline: object, stream: Stream) -> None:
    """Make a stream known to its pipeline, which is held until `detach`."""
    _attached[id(pipeline)] = _Attached(pipeline, (*_streams_of(pipeline), stream))


def detach(pipeline: object, stream: Stream) -> None:
    """Forget a stream. Idempotent."""
    rest = tuple(one for one in _streams_of(pipeline) if one is not stream)
    if rest:
        _attached[id(pipeline)] = _Attached(pipeline, rest)
    else:
        _attached.pop(id(pipeline), None)


def stream_of(pipeline: object) -> Stream | None:
    """The stream of the running hook, or the only one there is; None when there is none.

    Raises:
        LookupError: Several streams run, and the call comes from none of their hooks.
    """
    current = CURRENT.get()
    if current is not None:
        return current
    streams = _streams_of(pipeline)
    if len(streams) > 1:
        raise LookupError(
            "several streams run: call it from a hook, which knows its own, or keep `self.stream`"
            " and use that"
        )
    return streams[0] if streams else None


def _streams_of(pipeline: object) -> tuple[Stream, ...]:
    attached = _attached.get(id(pipeline))
    return () if attached is None else attached.streams
