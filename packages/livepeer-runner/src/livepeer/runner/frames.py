"""The frames that hooks get and return. Importing this module loads PyAV and numpy."""

from __future__ import annotations

from livepeer.trickle.media.frames import AudioFrame, VideoFrame

__all__ = ["AudioFrame", "VideoFrame"]
