"""The frames that hooks get and return. Importing this module loads PyAV and numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from livepeer.trickle.media.frames import AudioFrame, VideoFrame, as_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.trickle.media.frames import Array as Array, Tensor as Tensor

__all__ = ["AudioFrame", "VideoFrame", "as_frames"]


def as_frames(result: object, source: VideoFrame | AudioFrame) -> list[VideoFrame | AudioFrame]:
    """What a hook returned for a frame, as frames of the same kind.

    Args:
        result: A frame, an array or a tensor (see `VideoFrame.from_ndarray` and `from_tensor`),
            a list or tuple of those, or None for nothing.
        source: The frame that the hook was given. Pictures of arrays and tensors have its
            presentation time; sounds of a list follow each other from there.

    Raises:
        TypeError: It is none of these.
        ValueError: An array or tensor does not fit; the text shows its shape and what fits.
    """
    if result is None:
        return []
    if not isinstance(result, (list, tuple)):
        return [as_frame(result, source)]
    frames: list[VideoFrame | AudioFrame] = []
    for item in cast("Sequence[object]", result):
        frames.append(as_frame(item, source, pts=_end(frames[-1]) if frames else None))
    return frames


def _end(frame: VideoFrame | AudioFrame) -> int:
    """When what follows a frame begins; for a picture when it does, since nobody knows."""
    if isinstance(frame, VideoFrame):
        return frame.pts
    return frame.pts + round(frame.samples / frame.sample_rate / frame.time_base)
