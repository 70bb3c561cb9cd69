"""One elementary stream on its way: PES packets to access units, and to frames where wanted."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from livepeer.trickle.errors import MediaError

from ._framing import Framing
from ._mpegts import STREAM_TYPES
from .decoder import AudioDecoder, Recovery, VideoDecoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._hardware import Hardware
    from ._pes import PES
    from ._psi import Elementary
    from .frames import AudioFrame, VideoFrame
    from .units import AccessUnit, Kind

    Given = Sequence[VideoFrame | AudioFrame | AccessUnit]


_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ReaderStats:
    """Counts of a reader; read them from any thread.

    Attributes:
        runs: Stretches of bytes without a gap.
        video: Pictures given, decoded or not.
        audio: Frames or units of sound given.
        corrupt: Units that could not be decoded.
        lost: How often transport packets were missing within a run, or damaged.
        waiting: Coded pictures left out after a gap, before the next key frame.
        unreadable: Why stretches could not be read, the last ten.
    """

    runs: int = 0
    video: int = 0
    audio: int = 0
    corrupt: int = 0
    lost: int = 0
    waiting: int = 0
    unreadable: list[str] = field(default_factory=list[str])


class Track:
    """A stream that is read, for as long as its codec stays the same.

    Args:
        stream: Which stream.
        stats: Where what is given is counted.
        decode: Give frames; also without it where the codec is one that we cannot carry.
        hardware: Where pictures are decoded.

    Attributes:
        kind: Pictures or sound.
        codec: By libavcodec's name.
        decodes: It gives frames, and not access units.

    Raises:
        MediaError: The stream must be decoded, and there is no decoder.
    """

    def __init__(
        self,
        stream: Elementary,
        stats: ReaderStats,
        *,
        decode: bool,
        hardware: Hardware = "none",
    ) -> None:
        self.kind: Kind = stream.kind
        self.codec = stream.codec
        self.decodes = decode or stream.codec not in STREAM_TYPES
        self._stats = stats
        self._framing = Framing(stream.kind, stream.codec)
        self._recovery = Recovery()
        self._decoder: VideoDecoder | AudioDecoder | None = None
        if self.decodes:
            video = stream.kind == "video"
            codec = stream.codec
            self._decoder = VideoDecoder(codec, hardware) if video else AudioDecoder(codec)

    def take(self, pes: PES) -> Given:
        """What is ready with this packet."""
        return self._through(self._framing.units(pes))

    def drain(self) -> Given:
        """What is left before a gap, or at the end; pictures go on with a key frame."""
        given = [*self._through(self._framing.rest())]
        if self._decoder is not None:
            frames = self._decoder.drain()
            self._count(len(frames))
            given += frames
        self._recovery.lose()
        return given

    def _through(self, units: list[AccessUnit]) -> Given:
        given: Given
        if self._decoder is not None:
            given = [frame for unit in units for frame in self._decoded(self._decoder, unit)]
        elif self.kind == "audio":
            given = units
        else:
            given = [unit for unit in units if self._recovery.shows(unit)]
            self._stats.waiting += len(units) - len(given)
        self._count(len(given))
        return given

    def _decoded(self, decoder: VideoDecoder | AudioDecoder, unit: AccessUnit) -> Given:
        try:
            return decoder.decode(unit)
        except MediaError as error:
            self._stats.corrupt += 1
            _log.debug("a damaged unit was skipped: %s", error)
            return []

    def _count(self, number: int) -> None:
        if self.kind == "video":
            self._stats.video += number
        else:
            self._stats.audio += number
