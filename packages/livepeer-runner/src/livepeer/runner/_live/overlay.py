"""The loading overlay, and silence: what is published while hooks cannot be called."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

from livepeer.runner.frames import AudioFrame, VideoFrame

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_DOTS = 8
_TURN_S = 1.2
_FAINT, _BRIGHT = 70, 235
_BLACK = 16


class LoadingOverlay:
    """The last published picture, darkened, with a wheel that turns.

    Never the source's own picture: what a pipeline takes out of it (a face, a place) must not be
    seen because its model is being loaded. Before the first picture it is black.
    """

    def __init__(self) -> None:
        self._last: VideoFrame | None = None
        self._base: NDArray[np.uint8] | None = None

    def published(self, frame: VideoFrame) -> None:
        """Remember a picture of the author's."""
        self._last, self._base = frame, None

    def frame(self, source: VideoFrame) -> VideoFrame:
        """The overlay in the place of a picture, with its presentation time."""
        if self._base is None:
            self._base = _darkened(self._last) if self._last is not None else _black(source)
        array = self._base.copy()
        _draw_wheel(array, time.monotonic() / _TURN_S)
        return VideoFrame.from_ndarray(array, like=source, format="rgb24")


def silence(source: AudioFrame) -> AudioFrame:
    """The same stretch of time without a sound."""
    samples = source.to_ndarray()
    samples[:] = 128 if samples.dtype.kind == "u" else 0
    return AudioFrame.from_ndarray(samples, like=source)


def _darkened(frame: VideoFrame) -> NDArray[np.uint8]:
    array = frame.to_ndarray("rgb24")
    array >>= 1
    return array


def _black(frame: VideoFrame) -> NDArray[np.uint8]:
    array = frame.to_ndarray("rgb24")
    array[:] = _BLACK
    return array


def _draw_wheel(array: NDArray[np.uint8], turns: float) -> None:
    height, width = array.shape[:2]
    size = max(2, min(height, width) // 40)
    radius = min(height, width) // 10
    head = turns % 1.0
    for dot in range(_DOTS):
        angle = 2 * math.pi * dot / _DOTS
        x = round(width / 2 + radius * math.cos(angle) - size / 2)
        y = round(height / 2 + radius * math.sin(angle) - size / 2)
        behind = (head - dot / _DOTS) % 1.0
        level = round(_BRIGHT - (_BRIGHT - _FAINT) * behind)
        array[max(y, 0) : y + size, max(x, 0) : x + size] = level
