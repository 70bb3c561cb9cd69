"""Streams of every kind, made here; and what a strict reader finds in a transport stream."""

from __future__ import annotations

import asyncio
import io
import threading
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.plane import AudioPlane

from livepeer.trickle.media import (
    TIME_BASE,
    AccessUnit,
    AudioEncoder,
    AudioFrame,
    BytePipe,
    Item,
    Kind,
    MediaReader,
    ReaderStats,
    Segmenter,
    StreamInfo,
    VideoEncoder,
    VideoFrame,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

STEP = 3600
SIZE = (128, 72)
_BITS = 8


def picture(number: int, *, pts: int | None = None, size: tuple[int, int] = SIZE) -> av.VideoFrame:
    """A gray picture that bears its number, as bright and dark bars."""
    width, height = size
    bars = np.array([200 if number >> bit & 1 else 50 for bit in range(_BITS)], np.uint8)
    row = np.repeat(bars, -(-width // _BITS))[:width]
    raw = av.VideoFrame.from_ndarray(np.tile(row, (height, 1)), format="gray")
    frame = raw.reformat(format="yuv420p", src_color_range="JPEG", dst_color_range="MPEG")
    frame.pts, frame.time_base = number * STEP if pts is None else pts, TIME_BASE
    return frame


def number_of(frame: VideoFrame) -> int | None:
    """The number that a picture bears; None when its bars are neither bright nor dark."""
    plane = frame.planes[0]
    bars = [float(part.mean()) for part in np.array_split(plane, _BITS, axis=1)]
    if any(90 < bar < 150 for bar in bars):
        return None
    return sum(1 << bit for bit, bar in enumerate(bars) if bar > 120)


def tone(first: int, samples: int, rate: int, layout: str, hertz: int = 440) -> av.AudioFrame:
    at = np.arange(first, first + samples) / rate
    wave = (0.5 * np.sin(2 * np.pi * hertz * at)).astype(np.float32)
    raw = av.AudioFrame("fltp", layout, samples)
    for channel in range(raw.layout.nb_channels):
        # Not by PyAV's planes: of eight channels there is a ninth, which points nowhere.
        AudioPlane(raw, channel).update(wave.tobytes())
    raw.sample_rate, raw.pts, raw.time_base = rate, first, Fraction(1, rate)
    return raw


@dataclass(frozen=True, kw_only=True)
class Video:
    """Pictures to encode; `pts` are their times in ticks."""

    codec: str = "libx264"
    frames: int = 50
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    size: tuple[int, int] = SIZE
    pts: tuple[int, ...] = ()
    format: str = "yuv420p"

    def times(self) -> tuple[int, ...]:
        return self.pts or tuple(n * STEP for n in range(self.frames))


@dataclass(frozen=True, kw_only=True)
class Sound:
    """Sound to encode, from one second to another."""

    codec: str = "aac"
    rate: int = 48_000
    layout: str = "stereo"
    begin_s: float = 0.0
    end_s: float = 2.0


def transport_stream(
    video: Video | None, sound: Sound | None, *, start_s: float = 0.0, **options: str
) -> bytes:
    """Encoded and multiplexed by FFmpeg, as an unknown sender would."""
    body = io.BytesIO()
    with av.open(body, "w", format="mpegts", options=options) as output:
        packets: list[av.Packet] = []
        if video is not None:
            packets += _video_packets(output, video, round(start_s * 90_000))
        if sound is not None:
            packets += _sound_packets(output, sound, start_s)
        for packet in sorted(packets, key=lambda packet: packet.dts * packet.time_base):
            output.mux_one(packet)
    return body.getvalue()


def _video_packets(
    output: av.container.OutputContainer, video: Video, shift: int
) -> list[av.Packet]:
    stream = output.add_stream(video.codec, rate=25)
    stream.width, stream.height = video.size
    stream.pix_fmt = video.format
    stream.codec_context.time_base = (
        Fraction(1, 25) if video.codec.startswith("mpeg") else TIME_BASE
    )
    stream.options = dict(video.options)
    packets: list[av.Packet] = []
    for number, pts in enumerate(video.times()):
        frame = picture(number, pts=pts + shift, size=video.size).reformat(format=video.format)
        if video.codec.startswith("mpeg"):
            frame.pts, frame.time_base = frame.pts // STEP, Fraction(1, 25)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sound_packets(
    output: av.container.OutputContainer, sound: Sound, start_s: float
) -> list[av.Packet]:
    stream = output.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
    context = stream.codec_context
    context.time_base = Fraction(1, sound.rate)
    context.open()
    size = context.frame_size or 1024
    resampler = av.AudioResampler(format=context.format, layout=sound.layout, rate=sound.rate)
    packets: list[av.Packet] = []
    first = round(sound.begin_s * sound.rate)
    while first < sound.end_s * sound.rate:
        frame = tone(first, size, sound.rate, sound.layout)
        frame.pts += round(start_s * sound.rate)
        for ready in resampler.resample(frame):
            packets += stream.encode(ready)
        first += size
    return packets + stream.encode(None)


def coded_pictures(
    numbers: Iterable[int], *, shift: int = 0, size: tuple[int, int] = SIZE
) -> list[AccessUnit]:
    """H.264 of our own encoder, with a key frame every second and no reordering."""
    encoder, units = VideoEncoder(), list[AccessUnit]()
    for number in numbers:
        frame = picture(number, pts=number * STEP + shift, size=size)
        units += encoder.encode(VideoFrame(frame))
    return units


def by_time(*tracks: Sequence[AccessUnit]) -> list[AccessUnit]:
    """Units of several tracks as a sender interleaves them."""
    return sorted((unit for track in tracks for unit in track), key=lambda unit: unit.dts)


def coded_sound(
    begin_s: float, end_s: float, *, rate: int = 48_000, layout: str = "stereo", shift: int = 0
) -> list[AccessUnit]:
    """AAC of our own encoder."""
    encoder, units = AudioEncoder(), list[AccessUnit]()
    for first in range(round(begin_s * rate), round(end_s * rate), 1024):
        raw = tone(first, 1024, rate, layout)
        raw.pts += shift * rate // 90_000
        units += encoder.encode(AudioFrame(raw))
    return units + encoder.flush()


async def read(
    pieces: Iterable[bytes | None], decode: Sequence[Kind] = ("video", "audio"), chunk: int = 0
) -> tuple[list[Item], ReaderStats]:
    """What a reader gives of these bytes; None is a gap."""
    pipe = BytePipe(limit_bytes=64 * 1024)
    reader, items = MediaReader(pipe, decode=frozenset(decode)), list[Item]()
    thread = threading.Thread(target=lambda: items.extend(reader))
    thread.start()
    for piece in pieces:
        if piece is None:
            pipe.cut()
            continue
        size = chunk or len(piece)
        for at in range(0, len(piece), size):
            await pipe.write(piece[at : at + size])
    pipe.close()
    await asyncio.to_thread(thread.join)
    return items, reader.stats


def written(items: Iterable[Item], segment_s: float = 0.5) -> list[bytes]:
    """The segments that a session would publish of what a reader gave."""
    video, audio = VideoEncoder(), AudioEncoder()
    segmenter: Segmenter | None = None
    segments: list[bytes] = []

    def put(units: Iterable[AccessUnit]) -> None:
        assert segmenter is not None
        for unit in units:
            piece = segmenter.add(unit)
            if piece.starts:
                segments.append(b"")
            segments[-1] += piece.data

    for item in items:
        if isinstance(item, StreamInfo):
            ours: dict[Kind, str] = {"video": "h264", "audio": "aac"}
            codecs = {k: ours[k] if k in item.decoded else c for k, c in item.codecs.items()}
            if "audio" not in codecs and segmenter is not None:
                put(audio.flush())
            if segmenter is None:
                segmenter = Segmenter(codecs, segment_s=segment_s)
            else:
                segmenter.change(codecs)
        elif isinstance(item, VideoFrame):
            put(video.encode(item))
        elif isinstance(item, AudioFrame):
            put(audio.encode(item))
        else:
            put([item])
    put(audio.flush())
    return segments


@dataclass
class Elementary:
    """One stream of a transport stream, as a strict reader finds it."""

    stream_type: int
    stamps: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    sizes: list[int] = field(default_factory=list[int])


class StrictReader:
    """Reads a transport stream by the letter, and fails where it is not to the letter.

    Each of `segments` must begin with the tables.
    """

    def __init__(self, segments: Sequence[bytes]) -> None:
        self.streams: dict[int, Elementary] = {}
        self.clocks: list[int] = []
        self.jumps = 0
        self.versions: list[int] = []
        self._counters: dict[int, int] = {}
        self._pmt_pid = -1
        for segment in segments:
            assert len(segment) % 188 == 0
            packets = [segment[at : at + 188] for at in range(0, len(segment), 188)]
            assert [self._pid(packet) for packet in packets[:2]] == [0, 0x1000]
            for packet in packets:
                self._packet(packet)

    def _pid(self, packet: bytes) -> int:
        return int.from_bytes(packet[1:3], "big") & 0x1FFF

    def _packet(self, packet: bytes) -> None:
        assert packet[0] == 0x47
        assert not packet[1] & 0x80
        pid, counter = self._pid(packet), packet[3] & 0xF
        assert packet[3] & 0x10
        assert counter == self._counters.get(pid, counter)
        self._counters[pid] = counter + 1 & 0xF
        payload = packet[4:]
        if packet[3] & 0x20:
            length = payload[0]
            assert length <= 183
            self._adaptation(payload[1 : 1 + length])
            payload = payload[1 + length :]
        assert payload
        starts = bool(packet[1] & 0x40)
        if pid in (0, self._pmt_pid):
            assert starts
            self._section(pid, payload)
        else:
            self._pes(self.streams[pid], payload, starts=starts)

    def _adaptation(self, fields: bytes) -> None:
        if not fields:
            return
        at = 1
        if fields[0] & 0x10:
            clock = int.from_bytes(fields[1:7], "big") >> 15
            self.jumps += fields[0] >> 7
            # A clock that begins below zero, by the delay of a player's buffer, is no wrap.
            self.clocks.append(clock - (1 << 33) if clock >> 32 else clock)
            at += 6
        assert set(fields[at:]) <= {0xFF}

    def _section(self, pid: int, payload: bytes) -> None:
        assert payload[0] == 0
        length = int.from_bytes(payload[2:4], "big") & 0xFFF
        section = payload[1 : 4 + length]
        assert _checksum(section) == 0
        assert set(payload[4 + length :]) <= {0xFF}
        if pid == 0:
            self._pmt_pid = int.from_bytes(section[10:12], "big") & 0x1FFF
            return
        self.versions.append(section[5] >> 1 & 0x1F)
        streams: dict[int, Elementary] = {}
        for at in range(12, len(section) - 4, 5):
            es_pid = int.from_bytes(section[at + 1 : at + 3], "big") & 0x1FFF
            held = self.streams.get(es_pid)
            fresh = Elementary(section[at])
            streams[es_pid] = held if held and held.stream_type == section[at] else fresh
        self.streams = streams

    def _pes(self, stream: Elementary, payload: bytes, *, starts: bool) -> None:
        if not starts:
            stream.sizes[-1] -= len(payload) if stream.sizes[-1] else 0
            return
        assert not stream.sizes or stream.sizes[-1] == 0, "a packet is shorter than it says"
        assert payload[:3] == b"\x00\x00\x01"
        length = int.from_bytes(payload[4:6], "big")
        stream.sizes.append(length + 6 - len(payload) if length else 0)
        pts = _stamp(payload[9:14])
        stream.stamps.append((pts, _stamp(payload[14:19]) if payload[7] & 0x40 else pts))


def _checksum(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        for bit in range(7, -1, -1):
            top = crc >> 31 ^ byte >> bit & 1
            crc = crc << 1 & 0xFFFFFFFF ^ (0x04C11DB7 if top else 0)
    return crc


def _stamp(data: bytes) -> int:
    assert [data[at] & 1 for at in (0, 2, 4)] == [1, 1, 1]
    value = int.from_bytes(data, "big")
    return (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | value >> 1 & 0x7FFF


def decoded_alone(segment: bytes) -> tuple[list[av.VideoFrame], list[av.AudioFrame]]:
    """What FFmpeg makes of one segment without the others."""
    with av.open(io.BytesIO(segment), format="mpegts") as container:
        frames = list(container.decode())
    pictures = [frame for frame in frames if isinstance(frame, av.VideoFrame)]
    return pictures, [frame for frame in frames if isinstance(frame, av.AudioFrame)]
