"""The author's face of a live capability."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from livepeer.runner._stream import Stream, stream_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator, Mapping, Sequence

    from pydantic import BaseModel

    from livepeer.runner._stream import AudioItem, VideoItem
    from livepeer.runner.frames import AudioFrame, VideoFrame
    from livepeer.runner.spec import PipelineSpec

    VideoResult = VideoItem | Sequence[VideoItem] | Iterator[VideoItem] | None
    AudioResult = AudioItem | Sequence[AudioItem] | Iterator[AudioItem] | None

__all__ = ["LivePipeline", "Stream"]

_log = logging.getLogger(__name__)


class LivePipeline:
    """A live capability: video and audio in, video and audio out, while it is being recorded.

    Subclass it, override the hooks that you need, and hand the class or an instance to `serve()`.
    Every hook may be sync or async. All of them run on one thread of their own, one at a time and
    in order, so they may block and need no locks; an async hook gives way to others where it
    awaits.

    What is not overridden costs nothing: with neither `process_video` nor `process_audio` the
    stream is relayed as it came, and with one of them the other kind is copied, not decoded.
    """

    Params: ClassVar[type[BaseModel] | None] = None
    """What a caller may set: a Pydantic model, nested or assigned. Start and update are validated
    against it; a caller whose values do not fit is answered 422 with the field."""

    frames_in_flight: ClassVar[int] = 1
    """How many calls of an async `process_video` or `process_audio` may run at the same time.
    Whatever the order in which they end, their frames are sent in the order of their sources."""

    spec: ClassVar[PipelineSpec | None] = None
    """How the pipeline is imported by name; set by the decorator."""

    @classmethod
    def prepare_models(cls) -> Awaitable[None] | None:
        """Download and compile what `setup()` loads, into `livepeer.runner.model_dir()`.

        Run when an image is built (`PREPARE_MODELS=1`, `--prepare-models`), never when serving.
        """

    def setup(self) -> Awaitable[None] | None:
        """Load what the hooks need; called once, before the first stream.

        Until it returns, `/health` says LOADING and requests are answered 503. If it raises,
        `/health` says ERROR, and the process ends after a moment with a non-zero status; in a
        model process of its own it is tried again instead.
        """

    def on_stream_start(self, params: Any) -> Awaitable[None] | None:
        """A stream begins; called before its first frame.

        Args:
            params: An instance of `Params`, or without one the caller's object, empty when there
                is none. If this raises, the stream is refused with status 500.
        """

    def process_video(
        self, frame: VideoFrame
    ) -> VideoResult | Awaitable[VideoResult] | AsyncIterator[VideoItem]:
        """Turn one picture into what is sent on in its place.

        Args:
            frame: Planar YUV 4:2:0, 8 bits; yours to change in place.

        Returns:
            A frame, an array or a tensor (see `VideoFrame.from_ndarray`, `from_tensor`), several
            with rising presentation times, or None to drop it or to answer it later by
            `emit_frame`. A generator sends each item when it is yielded. If this raises, the
            frame is dropped, counted and reported, and the stream goes on.
        """
        return frame

    def process_audio(
        self, frame: AudioFrame
    ) -> AudioResult | Awaitable[AudioResult] | AsyncIterator[AudioItem]:
        """Turn one stretch of sound into what is sent on in its place; as `process_video`."""
        return frame

    def on_params_update(self, params: Any) -> Awaitable[None] | None:
        """The caller sent new parameters; called between two frames.

        What takes long, such as loading another model, is awaited in an async hook (or returned
        as an awaitable): until it is done, callers see the loading overlay.

        Args:
            params: An instance of `Params` with the update applied: an update names only what
                changes. Without such a class, the caller's object as it was sent. If this
                raises, the update is answered 500 and the old ones stay in force.
        """

    def on_stream_stop(self) -> Awaitable[None] | None:
        """A stream has ended; called once, after its last frame. What it emits is still sent."""

    def teardown(self) -> Awaitable[None] | None:
        """Let go of what `setup()` took; called once, after the last stream."""

    @property
    def stream(self) -> Stream:
        """The stream of the hook that runs; elsewhere the only one there is.

        Raises:
            LookupError: No stream runs, or several do and the call comes from none of their hooks.
        """
        stream = stream_of(self)
        if stream is None:
            raise LookupError("no stream is running")
        return stream

    def emit_event(self, message: Mapping[str, object]) -> None:
        """`Stream.emit_event` of the hook's stream; without one it is logged and dropped.

        May be called from any hook and, while one stream runs, from any thread.
        """
        if (stream := self._stream_for("an event")) is not None:
            stream.emit_event(message)

    def emit_data(self, message: Mapping[str, object]) -> None:
        """`Stream.emit_data` of the hook's stream; as `emit_event`."""
        if (stream := self._stream_for("a line of data")) is not None:
            stream.emit_data(message)

    def emit_frame(
        self, frame: VideoItem | AudioItem, *, like: VideoFrame | AudioFrame | None = None
    ) -> None:
        """`Stream.emit_frame` of the stream that the frame, or `like`, came from.

        May be called from any thread; for a frame of nobody's as `emit_event`.
        """
        origin: object = getattr(frame if like is None else like, "origin", None)
        stream = origin if isinstance(origin, Stream) else self._stream_for("a frame")
        if stream is not None:
            stream.emit_frame(frame, like=like)

    def _stream_for(self, what: str) -> Stream | None:
        stream = stream_of(self)
        if stream is None:
            _log.warning("%s was dropped: no stream is running", what)
        return stream
