"""Pictures and sound of a program of ours, as what a stream takes in."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, TypeAlias

import av

from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioEncoder,
    AudioFrame,
    Kind,
    VideoEncoder,
    VideoFrame,
    to_ticks,
)
from livepeer.trickle.media.clock import TICKS_PER_S, WRAP, seconds

from .config import VideoOutputConfig
from .source import START

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Frame: TypeAlias = "VideoFrame | AudioFrame | av.VideoFrame | av.AudioFrame | NDArray[np.uint8]"
"""A picture as an array of uint8: (height, width, 3) for RGB, (height, width, 4) for RGBA,
(height, width) for gray; or a frame of ours or of PyAV."""


class FrameCoder:
    """Codes frames one by one, each at once, to H.264 and AAC.

    No frame that is given is changed. It blocks, a few milliseconds a picture: it is for a thread.

    Args:
        config: How pictures are coded.
    """

    def __init__(self, config: VideoOutputConfig | None = None) -> None:
        self._config = config or VideoOutputConfig()
        self._video = VideoEncoder(self._config.encoder())
        self._audio = AudioEncoder(self._config.encoder())
        self._rate = Fraction(self._config.fps).limit_denominator(1001)
        self._step = TICKS_PER_S / self._config.fps
        self._counted = 0
        self._last: dict[Kind, int] = {}

    def code(
        self,
        frame: Frame,
        pts: int | None = None,
        *,
        format: str | None = None,
        anew: bool = False,
    ) -> list[AccessUnit]:
        """The units that are ready with this frame.

        Args:
            frame: The picture or the sound.
            pts: When it is shown: in units of the frame's own `time_base`, and of an array in
                ticks of 90 kHz. None for the frame's own time; a picture that has none comes
                `1 / fps` after the last such one, the first at one second.
            format: Of an array that is not what its shape says: `bgr24`, `bgra`, `yuv420p`…
            anew: A picture refers to none before it: what is left of those is forgotten.

        Raises:
            TypeError: It is no frame.
            ValueError: It cannot be coded, or not at this time; the text says why.
        """
        sound = isinstance(frame, (AudioFrame, av.AudioFrame))
        if pts is not None:
            self._check_time("audio" if sound else "video", _ticks(frame, pts))
        if isinstance(frame, (AudioFrame, av.AudioFrame)):
            ready = _sound(frame, pts)
            self._last["audio"] = to_ticks(ready.pts, ready.time_base)
            return self._audio.encode(ready)
        picture = self._scaled(self._picture(frame, pts, format))
        if anew:
            self._video.flush()
        self._last["video"] = to_ticks(picture.pts, picture.time_base)
        return self._video.encode(picture)

    def flush(self) -> list[AccessUnit]:
        """What is left; the next picture is a key frame."""
        return [*self._video.flush(), *self._audio.flush()]

    def _check_time(self, kind: Kind, ticks: int) -> None:
        """Refuse a given time that a reader could not follow."""
        last = self._last.get(kind)
        if last is not None and ticks <= last:
            raise ValueError(
                f"pts is {seconds(ticks):.6f} s, and the one before it"
                f" {seconds(last):.6f} s: times have to rise"
            )
        if not 0 <= ticks < WRAP:
            raise ValueError(
                f"pts is {seconds(ticks):.6f} s: it is from 0 to"
                f" {seconds(WRAP):.0f} s, the 33 bits that a transport stream has"
            )

    def _picture(self, frame: Frame, pts: int | None, format: str | None) -> VideoFrame:
        if isinstance(frame, VideoFrame):
            return frame if pts is None else frame.sent(_at(frame, pts))
        if isinstance(frame, av.VideoFrame):
            ours = VideoFrame(frame)
            if pts is not None:
                return ours.sent(_at(ours, pts))
            return ours if frame.pts is not None else ours.sent(self._clock(self._next()))
        assert not isinstance(frame, (AudioFrame, av.AudioFrame))
        # Says of whatever else it is given what would be a picture.
        clock = self._clock(self._next() if pts is None else pts)
        return VideoFrame.from_ndarray(frame, like=clock, format=format)

    def _clock(self, ticks: int) -> VideoFrame:
        """A frame of nothing, for its time and rate alone."""
        clock = VideoFrame(av.VideoFrame(2, 2, "yuv420p"), frame_rate=self._rate)
        clock.raw.pts, clock.raw.time_base = ticks, TIME_BASE
        return clock

    def _next(self) -> int:
        """When the next picture without a time is shown."""
        self._counted += 1
        return START + round((self._counted - 1) * self._step)

    def _scaled(self, frame: VideoFrame) -> VideoFrame:
        size = self._config.scaled(frame.width, frame.height)
        if size == (frame.width, frame.height):
            return frame
        host = frame.on_host()
        smaller = host.raw.reformat(*size)
        return VideoFrame(smaller).sent(host)


def _ticks(frame: Frame, pts: int) -> int:
    """A time in ticks, of what is given in units of the frame's own."""
    base = getattr(frame, "time_base", None)
    return to_ticks(pts, base if isinstance(base, Fraction) else TIME_BASE)


def _sound(frame: AudioFrame | av.AudioFrame, pts: int | None) -> AudioFrame:
    ours = frame if isinstance(frame, AudioFrame) else AudioFrame(frame)
    if pts is None:
        return ours
    twin = ours.sent()
    twin.pts = pts
    return twin


def _at(frame: VideoFrame, pts: int) -> VideoFrame:
    """A frame of nothing, for its time alone, in units of another."""
    clock = VideoFrame(av.VideoFrame(2, 2, "yuv420p"))
    clock.raw.time_base = frame.time_base
    clock.pts = pts
    return clock
