"""Media files in and out of a stream. Needs the `media` extra."""

from __future__ import annotations

from .recorder import Recorder
from .source import MediaSource
from .transfer import Progress, Summary, Transfer

__all__ = ["MediaSource", "Progress", "Recorder", "Summary", "Transfer"]
