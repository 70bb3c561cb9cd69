"""A media file as what a stream takes in: H.264 and AAC, unit by unit."""

from __future__ import annotations

from fractions import Fraction
from heapq import heappop, heappush
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

import av
import av.filter
from av.bitstream import BitStreamFilterContext
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import (
    AccessUnit,
    ADTSHeader,
    AudioEncoder,
    AudioFrame,
    EncoderOptions,
    Kind,
    VideoEncoder,
    VideoFrame,
    begins_h264_sequence,
    is_adts,
    to_ticks,
)
from livepeer.trickle.media.clock import TICKS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from av.audio.stream import AudioStream
    from av.stream import Stream

    _Filter = Callable[[av.Packet[Stream] | None], list[av.Packet[Stream]]]

START: Final = TICKS_PER_S
"""Where the file's beginning lies on the stream's clock, in ticks: one second, so that what comes
before it (pictures decoded ahead, sound that primes a decoder) has no negative time."""

# Their packets carry presentation times; of the others' only decoding finds them out.
_TIMED_CONTAINERS: Final = ("mov", "matroska", "mpegts", "flv")
# Tracks may end a little before they say.
_CUT_S: Final = 1.0
_BARE_RATE: Final = Fraction(25)
MIDWAY: Final = EncoderOptions(preset="veryfast", crf=18)
"""For what is coded on its way into a stream, and may be coded again behind it."""


class MediaSource:
    """Opens a media file and gives its access units in the order of the file.

    H.264 and AAC are passed on as they are; whatever else the file holds is encoded to them. The
    best video and the best audio track are taken.

    Args:
        path: The file.

    Attributes:
        codecs: What the units are, for a `Segmenter`.
        duration_s: How long the file says that it is, None when it does not say.

    Raises:
        FileNotFoundError: There is no such file.
        MediaError: It is no media, or has neither video nor audio.
    """

    live = False

    def __init__(self, path: str | Path) -> None:
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"there is no file {path}")
        self.path = path
        try:
            self._container = av.open(str(path))
        except (FFmpegError, OSError) as error:
            raise MediaError(f"{path} is not a media file: {_reason(error)}") from error
        self._tracks: dict[int, _Track] = {}
        for kind, stream in self._best_streams():
            turn = _rotation(path, stream.index) if kind == "video" else 0
            self._tracks[stream.index] = _track(kind, stream, self._container.format.name, turn)
        if not self._tracks:
            self._container.close()
            raise MediaError(f"{path} has neither video nor audio")
        self.codecs: dict[Kind, str] = {
            track.kind: "h264" if track.kind == "video" else "aac"
            for track in self._tracks.values()
        }
        duration = self._container.duration
        self.duration_s = duration / av.time_base if duration else None
        start = self._container.start_time or 0
        self._shift = START - round(start * TICKS_PER_S / av.time_base)

    def __iter__(self) -> Iterator[AccessUnit]:
        """Access units; blocks while it reads, decodes and encodes.

        Raises:
            MediaError: The file is damaged and cannot be read on, or is not whole.
        """
        streams = [self._container.streams[index] for index in self._tracks]
        ends = dict.fromkeys(self._tracks, 0)
        try:
            for packet in self._container.demux(streams):
                # Not its `stream_index`: that of the packet that flushes a decoder is always 0.
                index = packet.stream.index
                ends[index] = max(ends[index], (packet.pts or 0) + (packet.duration or 0))
                yield from self._shifted(self._tracks[index].units(packet))
        except FFmpegError as error:
            raise MediaError(f"{self.path} cannot be read on: {_reason(error)}") from error
        self._check_whole(ends)

    def _check_whole(self, ends: Mapping[int, int]) -> None:
        """A track of MP4 knows how long it is, and the demuxer does not mind when it is cut."""
        if "mp4" not in self._container.format.name:
            return
        for index, end in ends.items():
            stream = self._container.streams[index]
            missing = (stream.start_time or 0) + (stream.duration or 0) - end
            missing_s = float(missing * (stream.time_base or 0))
            if missing_s > _CUT_S:
                raise MediaError(f"{self.path} is cut: its last {missing_s:.1f} s are missing")

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _best_streams(self) -> Iterator[tuple[Kind, VideoStream | AudioStream]]:
        # A cover picture is a video stream of one frame.
        pictures = [
            stream
            for stream in self._container.streams.video
            if not stream.disposition & Disposition.attached_pic
        ]
        if pictures:
            best = self._container.streams.best("video")
            yield "video", next((s for s in pictures if s is best), pictures[0])
        if self._container.streams.audio:
            sound = self._container.streams.best("audio")
            audio = self._container.streams.audio
            yield "audio", next((s for s in audio if s is sound), audio[0])

    def _shifted(self, units: list[AccessUnit]) -> Iterator[AccessUnit]:
        for unit in units:
            pts, dts = unit.pts + self._shift, unit.dts + self._shift
            yield AccessUnit(unit.kind, unit.data, pts, dts, unit.key)


class _Track:
    """One stream of the file; `units` turns each of its packets into access units."""

    def __init__(self, kind: Kind, units: Callable[[av.Packet[Stream]], list[AccessUnit]]) -> None:
        self.kind: Kind = kind
        self.units = units


def _track(kind: Kind, stream: VideoStream | AudioStream, container: str, turn: int) -> _Track:
    timed = any(name in container for name in _TIMED_CONTAINERS)
    if isinstance(stream, VideoStream):
        if stream.codec_context.name == "h264" and timed and not turn:
            return _Track(kind, _CopiedVideo(stream))
        return _Track(kind, _EncodedVideo(stream, turn, timed=timed))
    if stream.codec_context.name == "aac" and timed:
        copied = _CopiedAudio(stream.codec_context.extradata)
        if copied.possible:
            return _Track(kind, copied)
    return _Track(kind, _EncodedAudio())


class _CopiedVideo:
    def __init__(self, stream: VideoStream) -> None:
        # From MP4's form with lengths to the one with start codes; no change to the latter.
        self._filter = BitStreamFilterContext("h264_mp4toannexb", stream)

    def __call__(self, packet: av.Packet[Stream]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        # PyAV's stubs leave the packets' type parameter open.
        filter_ = cast("_Filter", self._filter.filter)  # pyright: ignore[reportUnknownMemberType]
        for filtered in filter_(packet if packet.size else None):
            pts, dts = _times(filtered)
            if pts is not None:
                data = bytes(filtered)
                key = filtered.is_keyframe or begins_h264_sequence(data)
                units.append(AccessUnit("video", data, pts, dts, key))
        return units


class _CopiedAudio:
    def __init__(self, config: bytes | None) -> None:
        self.possible = True
        self._header: ADTSHeader | None = None
        if config:
            try:
                self._header = ADTSHeader(config)
            except ValueError:
                self.possible = False

    def __call__(self, packet: av.Packet[Stream]) -> list[AccessUnit]:
        pts, dts = _times(packet)
        data = bytes(packet)
        if not data or pts is None or packet.is_corrupt:
            return []
        if self._header is not None and not is_adts(data):
            data = self._header.wrap(data)
        return [AccessUnit("audio", data, pts, dts, True)]


class _EncodedVideo:
    def __init__(self, stream: VideoStream, turn: int, *, timed: bool) -> None:
        self._stream = stream
        self._turner = _Turner(turn) if turn else None
        self._encoder = VideoEncoder(MIDWAY)
        self._times: list[int] | None = None if timed else []
        self._guessed = 0

    def __call__(self, packet: av.Packet[Stream]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for frame in self._pictures(packet):
            upright = frame if self._turner is None else self._turner(frame)
            ratio = None if self._turner else self._stream.codec_context.sample_aspect_ratio
            units += self._encoder.encode(VideoFrame(upright, sample_aspect_ratio=ratio))
        return units if packet.size else units + self._encoder.flush()

    def _pictures(self, packet: av.Packet[Stream]) -> Iterator[av.VideoFrame]:
        """The pictures of a packet, each with its presentation time."""
        time = packet.dts if packet.pts is None else packet.pts
        frames = _decoded(packet)
        if self._times is not None and time is not None and frames is not None:
            heappush(self._times, time)
        for frame in frames or ():
            assert isinstance(frame, av.VideoFrame)
            # Where packets have only their order, so have pictures: the earliest time that no
            # picture has had yet is this one's.
            if self._times:
                frame.pts = heappop(self._times)
            elif frame.pts is None:
                frame.pts = frame.dts
            if frame.pts is None:
                frame.pts = self._guess(packet.time_base)
            yield frame

    def _guess(self, time_base: Fraction) -> int:
        """When the next picture is due in a bare stream, which has a rate and no times."""
        rate = self._stream.guessed_rate or _BARE_RATE
        self._guessed += 1
        return round((self._guessed - 1) / (rate * time_base))


class _EncodedAudio:
    def __init__(self) -> None:
        self._encoder = AudioEncoder()

    def __call__(self, packet: av.Packet[Stream]) -> list[AccessUnit]:
        units: list[AccessUnit] = []
        for frame in _decoded(packet) or ():
            assert isinstance(frame, av.AudioFrame)
            units += self._encoder.encode(AudioFrame(frame))
        return units if packet.size else units + self._encoder.flush()


def _decoded(packet: av.Packet[Stream]) -> list[av.VideoFrame | av.AudioFrame] | None:
    """The frames of a packet; None when it is damaged."""
    try:
        frames = packet.decode()
    except FFmpegError:
        return None
    return [frame for frame in frames if isinstance(frame, (av.VideoFrame, av.AudioFrame))]


def _times(packet: av.Packet[Stream]) -> tuple[int | None, int]:
    """Presentation and decoding time in ticks; None for a packet without any."""
    pts = packet.dts if packet.pts is None else packet.pts
    if pts is None:
        return None, 0
    dts = pts if packet.dts is None else packet.dts
    return to_ticks(pts, packet.time_base), to_ticks(dts, packet.time_base)


def _rotation(path: Path, index: int) -> int:
    """By how many degrees the file wants its pictures turned, a multiple of 90.

    Only a decoded picture tells, and a transport stream could not.
    """
    try:
        with av.open(str(path)) as container:
            for frame in container.decode(container.streams[index]):
                if isinstance(frame, av.VideoFrame):
                    return round(frame.rotation / 90) * 90 % 360
    except FFmpegError as error:
        raise MediaError(f"the video of {path} cannot be decoded: {_reason(error)}") from error
    raise MediaError(f"the video of {path} has no picture")


class _Turner:
    """Turns pictures upright. Angles are counterclockwise, as in a display matrix."""

    _FILTERS: Final = {
        90: ("transpose=cclock",),
        180: ("hflip", "vflip"),
        270: ("transpose=clock",),
    }

    def __init__(self, degrees: int) -> None:
        self._steps = [step.partition("=") for step in self._FILTERS[degrees]]
        self._graph: av.filter.Graph | None = None

    def __call__(self, frame: av.VideoFrame) -> av.VideoFrame:
        if self._graph is None:
            self._graph = av.filter.Graph()
            last = self._graph.add_buffer(
                width=frame.width,
                height=frame.height,
                format=frame.format,
                time_base=frame.time_base,
            )
            for name, _, argument in self._steps:
                step = self._graph.add(name, argument or None)
                last.link_to(step)
                last = step
            last.link_to(self._graph.add("buffersink"))
            self._graph.configure()
        self._graph.push(frame)
        turned = self._graph.pull()
        assert isinstance(turned, av.VideoFrame)
        return turned


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
