"""The author's face of a live capability."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from livepeer.runner._outlet import outlet_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from livepeer.runner.frames import AudioFrame, VideoFrame

    VideoResult = VideoFrame | Sequence[VideoFrame] | None
    AudioResult = AudioFrame | Sequence[AudioFrame] | None

_log = logging.getLogger(__name__)


class LivePipeline:
    """A live capability: video and audio in, video and audio out, while it is being recorded.

    Subclass it, override the hooks that you need, and hand an instance to `serve()`. Every hook
    may be sync or async. All of them run on one thread of their own, one at a time and in order,
    so they may block and need no locks; an async hook gives way to others where it awaits.

    What is not overridden costs nothing: with neither `process_video` nor `process_audio` the
    stream is relayed as it came, and with one of them the other kind is copied, not decoded.
    """

    def setup(self) -> Awaitable[None] | None:
        """Load what the hooks need; called once, before the first stream.

        Until it returns, `/health` says LOADING and requests are answered 503. If it raises,
        `/health` says ERROR for a moment and the process ends with a non-zero status.
        """

    def on_stream_start(self, params: dict[str, Any]) -> Awaitable[None] | None:
        """A stream begins; called before its first frame.

        Args:
            params: What the caller asked for; empty when nothing. If this raises, the stream is
                refused with status 500.
        """

    def process_video(self, frame: VideoFrame) -> VideoResult | Awaitable[VideoResult]:
        """Turn one picture into what is sent on in its place.

        Args:
            frame: Planar YUV 4:2:0, 8 bits; yours to change in place.

        Returns:
            A frame, several with rising presentation times, or None to drop it. If this raises,
            the frame is dropped, counted and reported, and the stream goes on.
        """
        return frame

    def process_audio(self, frame: AudioFrame) -> AudioResult | Awaitable[AudioResult]:
        """Turn one stretch of sound into what is sent on in its place; as `process_video`."""
        return frame

    def on_params_update(self, params: dict[str, Any]) -> Awaitable[None] | None:
        """The caller sent new parameters; called between two frames.

        Args:
            params: The object as it was sent. If this raises, the update is answered 500.
        """

    def on_stream_stop(self) -> Awaitable[None] | None:
        """A stream has ended; called once, after its last frame. What it emits is still sent."""

    def teardown(self) -> Awaitable[None] | None:
        """Let go of what `setup()` took; called once, after the last stream."""

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Publish a JSON object on the stream's events channel.

        May be called from any hook and, while one stream runs, from any thread; never blocks.
        Without a `type` it gets the type `event`. Without a stream it is logged and dropped.

        Raises:
            MessageError: It is not JSON.
        """
        outlet = outlet_of(self)
        if outlet is None:
            _log.warning("an event was dropped: no stream is running")
        else:
            outlet.emit_event(message)

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Publish a JSON object as a line on the stream's data channel; as `emit_event`.

        The caller decides at the start whether a stream has a data channel; without one the
        line is dropped.

        Raises:
            MessageError: It is not JSON, or 64 KiB or longer.
        """
        outlet = outlet_of(self)
        if outlet is None:
            _log.warning("a line of data was dropped: no stream is running")
        else:
            outlet.emit_data(message)
