"""MPEG-TS bytes to frames or access units, in a thread of the caller's."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import av
from av.audio.stream import AudioStream
from av.error import FFmpegError
from av.video.stream import VideoStream

from livepeer.trickle.errors import MediaError

from ._mpegts import STREAM_TYPES
from .clock import TIME_BASE, to_ticks
from .frames import AudioFrame, VideoFrame
from .units import AccessUnit, Kind, begins_h264_sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.stream import Stream

    from .pipe import BytePipe

_log = logging.getLogger(__name__)

FRAME_FORMATS: Final = ("yuv420p", "yuvj420p")
"""What authors are given; anything else is converted once, as the encoder would have to."""

# Chosen for the first frame after one access unit. `noparse` takes a PES packet for a whole
# access unit, which saves the wait for the next one; `nobuffer` would lose the frames of the probe.
_OPTIONS: Final = {
    "fflags": "+noparse",
    "fpsprobesize": "0",
    "probesize": str(1024 * 1024),
    "analyzeduration": "100000",
}
_READ_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class StreamInfo:
    """What a run of the stream holds; comes before its first frame.

    Attributes:
        codecs: The codec of each elementary stream, by libavcodec's name.
        decoded: The kinds that come as frames; the others come as access units.
    """

    codecs: dict[Kind, str]
    decoded: frozenset[Kind]


@dataclass(slots=True)
class ReaderStats:
    """Counts of a reader; read them from any thread."""

    runs: int = 0
    video: int = 0
    audio: int = 0
    corrupt: int = 0
    unreadable: list[str] = field(default_factory=list[str])


Item = VideoFrame | AudioFrame | AccessUnit | StreamInfo
_Stream = VideoStream | AudioStream


class MediaReader:
    """Iterates, in the thread that iterates, over what a pipe carries.

    One demuxer and one decoder live as long as no bytes are missing; after a gap new ones begin.
    A run that cannot be read is logged, counted and skipped.

    Args:
        pipe: The bytes of an MPEG-TS stream.
        decode: The kinds to decode; the others are given as access units, where a `Segmenter` can
            carry their codec, and else are decoded too.
    """

    def __init__(self, pipe: BytePipe, *, decode: frozenset[Kind] = frozenset()) -> None:
        self._pipe = pipe
        self._decode = decode
        self.stats = ReaderStats()

    def __iter__(self) -> Iterator[Item]:
        """Frames and access units in the order of the stream."""
        while self._pipe.next_run():
            self.stats.runs += 1
            try:
                yield from self._run()
            except (FFmpegError, MediaError) as error:
                self.stats.unreadable = [*self.stats.unreadable[-9:], str(error)]
                _log.warning("a stretch of the stream is not readable as MPEG-TS: %s", error)
            self._pipe.skip_run()

    def _run(self) -> Iterator[Item]:
        with av.open(
            self._pipe, "r", format="mpegts", options=_OPTIONS, buffer_size=_READ_BYTES
        ) as container:
            streams: dict[int, _Stream] = {}
            codecs: dict[Kind, str] = {}
            for stream in container.streams:
                kind = _kind(stream)
                # No codec context: nothing here can decode it.
                known = isinstance(stream, (VideoStream, AudioStream)) and stream.codec_context
                if kind is not None and kind not in codecs and known:
                    assert isinstance(stream, (VideoStream, AudioStream))
                    stream.codec_context.thread_type = "SLICE"
                    streams[stream.index] = stream
                    codecs[kind] = stream.codec_context.name
            foreign: set[Kind] = {
                kind for kind, codec in codecs.items() if codec not in STREAM_TYPES
            }
            if not streams:
                raise MediaError("the stream holds neither video nor audio that we know")
            decoded = (self._decode | foreign) & codecs.keys()
            yield StreamInfo(codecs, frozenset(decoded))
            for packet in container.demux(list(streams.values())):
                # Not its `stream_index`: that of the packet that flushes a decoder is always 0.
                stream = streams[packet.stream.index]
                if _kind(stream) in decoded:
                    yield from self._frames(packet, stream)
                else:
                    yield from self._units(packet, stream)

    def _units(self, packet: av.Packet[Stream], stream: _Stream) -> Iterator[AccessUnit]:
        if packet.size and packet.pts is not None:
            unit = _unit("video" if isinstance(stream, VideoStream) else "audio", packet)
            self._count(unit.kind)
            yield unit

    def _frames(
        self, packet: av.Packet[Stream], stream: _Stream
    ) -> Iterator[VideoFrame | AudioFrame]:
        try:
            frames = packet.decode()
        except FFmpegError as error:
            self.stats.corrupt += 1
            _log.debug("a damaged packet was skipped: %s", error)
            return
        for frame in frames:
            if isinstance(frame, av.VideoFrame) and isinstance(stream, VideoStream):
                self._count("video")
                yield _picture(frame, stream)
            elif isinstance(frame, av.AudioFrame):
                self._count("audio")
                yield AudioFrame(frame)

    def _count(self, kind: Kind) -> None:
        if kind == "video":
            self.stats.video += 1
        else:
            self.stats.audio += 1


def _kind(stream: object) -> Kind | None:
    if isinstance(stream, VideoStream):
        return "video"
    return "audio" if isinstance(stream, AudioStream) else None


def _unit(kind: Kind, packet: av.Packet[Stream]) -> AccessUnit:
    assert packet.pts is not None
    pts = to_ticks(packet.pts, packet.time_base)
    dts = pts if packet.dts is None else to_ticks(packet.dts, packet.time_base)
    data = bytes(packet)
    key = kind == "audio" or packet.is_keyframe or begins_h264_sequence(data)
    return AccessUnit(kind, data, pts, dts, key)


def _picture(frame: av.VideoFrame, stream: VideoStream) -> VideoFrame:
    if frame.format.name not in FRAME_FORMATS:
        frame = frame.reformat(format=FRAME_FORMATS[0])
    if frame.pts is None:
        frame.pts = frame.dts
    if frame.time_base is None:
        frame.time_base = TIME_BASE
    return VideoFrame(frame, sample_aspect_ratio=stream.codec_context.sample_aspect_ratio)
