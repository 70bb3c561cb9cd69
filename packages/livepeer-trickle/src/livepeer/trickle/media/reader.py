"""MPEG-TS bytes to frames or access units, in a thread of the caller's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from livepeer.trickle.errors import MediaError

from ._demuxer import Program, TSDemuxer
from ._track import ReaderStats, Track
from .frames import AudioFrame, VideoFrame
from .units import AccessUnit, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._hardware import Hardware
    from ._pes import PES
    from .pipe import BytePipe

__all__ = ["Item", "MediaReader", "ReaderStats", "StreamInfo"]

_log = logging.getLogger(__name__)

_READ_BYTES: Final = 64 * 1024
_UNREADABLE: Final = 10


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What the stream holds from here on; comes before its first frame.

    Attributes:
        codecs: The codec of each elementary stream, by libavcodec's name.
        decoded: The kinds that come as frames; the others come as access units.
    """

    codecs: dict[Kind, str]
    decoded: frozenset[Kind]


Item = VideoFrame | AudioFrame | AccessUnit | StreamInfo


class MediaReader:
    """Iterates, in the thread that iterates, over what a pipe carries.

    One demuxer, and one decoder for each stream, live for as long as the pipe. Where bytes are
    missing the decoders are flushed, and pictures go on with the next key frame. The program may
    change at any time: a stream may come or go, or be of another codec from then on. A run that
    cannot be read is logged, counted and skipped.

    Timestamps are the source's. They go on rising where its 33 bits wrap, and jump where its clock
    does.

    Args:
        pipe: The bytes of an MPEG-TS stream.
        decode: The kinds to decode; the others are given as access units, where a `Segmenter` can
            carry their codec, and else are decoded too.
        hardware: Where pictures are decoded; with a GPU they stay in its memory.
    """

    def __init__(
        self,
        pipe: BytePipe,
        *,
        decode: frozenset[Kind] = frozenset(),
        hardware: Hardware = "none",
    ) -> None:
        self._pipe = pipe
        self._decode = decode
        self._hardware: Hardware = hardware
        self._demuxer = TSDemuxer()
        self._tracks: dict[Kind, Track] = {}
        self.stats = ReaderStats()

    def __iter__(self) -> Iterator[Item]:
        """Frames and access units in the order of the stream."""
        while self._pipe.next_run():
            self.stats.runs += 1
            before = self._demuxer.packets
            while data := self._pipe.read(_READ_BYTES):
                for event in self._demuxer.feed(data):
                    yield from self._follow(event)
            for event in self._demuxer.gap():
                yield from self._follow(event)
            for track in self._tracks.values():
                yield from track.drain()
            self._judge(self._demuxer.packets - before)

    def _follow(self, event: Program | PES) -> Iterator[Item]:
        if isinstance(event, Program):
            yield from self._hold(event)
            return
        track = self._tracks.get(event.stream.kind)
        if track is not None:
            yield from track.take(event)
        self.stats.lost = self._demuxer.lost

    def _hold(self, program: Program) -> Iterator[Item]:
        """Go over to the streams of a new table; a codec that stays keeps its decoder."""
        tracks: dict[Kind, Track] = {}
        for stream in program.streams:
            held = self._tracks.get(stream.kind)
            if held is not None and held.codec == stream.codec:
                tracks[stream.kind] = held
                continue
            try:
                decode = stream.kind in self._decode
                tracks[stream.kind] = Track(
                    stream, self.stats, decode=decode, hardware=self._hardware
                )
            except MediaError as error:
                self._give_up(str(error))
        for kind, track in self._tracks.items():
            if tracks.get(kind) is not track:
                yield from track.drain()
        self._tracks = tracks
        if tracks:
            yield StreamInfo(
                {kind: track.codec for kind, track in tracks.items()},
                frozenset(kind for kind, track in tracks.items() if track.decodes),
            )

    def _judge(self, packets: int) -> None:
        """Say of a run that gave nothing why it did not."""
        if self._demuxer.stamped:
            self._give_up(
                "its packets are of 192 bytes, as in .m2ts files: send plain MPEG-TS, of 188"
            )
            self._demuxer.stamped = False
        elif not packets:
            self._give_up("it is no MPEG-TS")
        elif not self._tracks:
            self._give_up("it holds neither video nor audio that we know")
        elif self._demuxer.scrambled:
            self._give_up("it is encrypted")
            self._demuxer.scrambled = 0

    def _give_up(self, reason: str) -> None:
        self.stats.unreadable = [*self.stats.unreadable[1 - _UNREADABLE :], reason]
        _log.warning("a stretch of the stream is not readable: %s", reason)
