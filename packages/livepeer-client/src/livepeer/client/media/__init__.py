"""Media in and out of a stream. Needs the `media` extra.

What goes in: frames of a program (`FramePublisher`), or a source (`MediaSource`, `Webcam`,
`TestPattern`, `FrameSource`) through a `Transfer`. What comes out: `frames`, `packets`, `chunks`
and `segments`, which are async iterators, or a sink of the transfer (`Recorder`, `Player`). All of
it goes on where a job reconnects, and goes by RTMP where a gateway is between.
"""

from __future__ import annotations

from livepeer.client.errors import MissingExtra

try:
    from livepeer.trickle.errors import MediaError

    from ._tally import Gap, Progress, Summary
    from .camera import Webcam
    from .coding import Frame
    from .config import VideoOutputConfig
    from .output import chunks, frames, packets, segments
    from .player import Player
    from .publisher import FramePublisher
    from .recorder import Recorder
    from .source import MediaSource
    from .sources import FrameSource, Source, TestPattern
    from .transfer import Sink, Transfer
except ModuleNotFoundError as error:
    if error.name not in ("av", "numpy"):
        raise
    raise MissingExtra(
        f"livepeer.client.media needs {error.name}: pip install 'livepeer-client[media]'"
    ) from error

__all__ = [
    "Frame",
    "FramePublisher",
    "FrameSource",
    "Gap",
    "MediaError",
    "MediaSource",
    "Player",
    "Progress",
    "Recorder",
    "Sink",
    "Source",
    "Summary",
    "TestPattern",
    "Transfer",
    "VideoOutputConfig",
    "Webcam",
    "chunks",
    "frames",
    "packets",
    "segments",
]
