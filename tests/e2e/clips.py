"""Clips that nobody prepared: made here, with a mark at which flash and tone begin together."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING

import av
import numpy as np
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MARK_S = 1.0
_MARK_LASTS_S = 0.25
_DARK, _BRIGHT = 60, 250
_TONE_HZ, _LOUD = 1000, 0.5


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """A video track; `times` are the pictures' presentation times, for a rate that varies."""

    codec: str = "libx264"
    size: tuple[int, int] = (160, 90)
    rate: Fraction = Fraction(25)
    seconds: float = 2.0
    times: tuple[float, ...] = ()
    format: str = "yuv420p"
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    degrees: int = 0
    aspect: Fraction | None = None
    mark_s: float = MARK_S

    def pts(self) -> list[int]:
        """Of each picture, in units of `time_base`."""
        if self.times:
            return [round(time * 1000) for time in self.times]
        return list(range(round(self.seconds * self.rate)))

    @property
    def time_base(self) -> Fraction:
        return Fraction(1, 1000) if self.times else 1 / self.rate


@dataclass(frozen=True, kw_only=True)
class Sound:
    """An audio track, on from the first to the second of each of `spans`, in seconds."""

    codec: str = "aac"
    rate: int = 48_000
    layout: str = "stereo"
    spans: tuple[tuple[float, float], ...] = ((0.0, 2.0),)
    mark_s: float = MARK_S


def write(
    path: Path,
    pictures: Pictures | None,
    sound: Sound | None,
    *,
    start_s: float = 0.0,
    options: Mapping[str, str] | None = None,
) -> Path:
    """Write a clip to the container that the path's suffix names; `start_s` shifts its clock."""
    with av.open(str(path), "w", options=dict(options or {})) as output:
        tracks: list[Iterator[tuple[float, av.Packet]]] = []
        if pictures is not None:
            video = output.add_stream(pictures.codec, rate=pictures.rate)
            assert isinstance(video, VideoStream)
            tracks.append(_video(video, pictures, start_s))
        if sound is not None:
            audio = output.add_stream(sound.codec, rate=sound.rate, layout=sound.layout)
            assert isinstance(audio, AudioStream)
            tracks.append(_audio(audio, sound, start_s))
        # Both encoders exist before the first packet is written, as the header needs them.
        packets = [packet for track in tracks for packet in track]
        for _, packet in sorted(packets, key=lambda timed: timed[0]):
            output.mux(packet)
    return path


def _video(
    stream: VideoStream, pictures: Pictures, start_s: float
) -> Iterator[tuple[float, av.Packet]]:
    stream.width, stream.height = pictures.size
    stream.pix_fmt = pictures.format
    stream.codec_context.time_base = pictures.time_base
    stream.options = dict(pictures.options)
    if pictures.aspect is not None:
        stream.codec_context.sample_aspect_ratio = pictures.aspect
    if pictures.degrees:
        stream.set_display_rotation(pictures.degrees)
    shift = round(start_s / pictures.time_base)
    for number, pts in enumerate(pictures.pts()):
        raw = av.VideoFrame.from_ndarray(_picture(pictures, number, pts), format="rgb24")
        frame = raw.reformat(
            format=pictures.format,
            src_color_range="JPEG",
            dst_color_range="JPEG" if pictures.format.startswith("yuvj") else "MPEG",
        )
        frame.pts, frame.time_base = pts + shift, pictures.time_base
        yield from map(_timed, stream.encode(frame))
    yield from map(_timed, stream.encode(None))


def _picture(pictures: Pictures, number: int, pts: int) -> np.ndarray:
    width, height = pictures.size
    time = float(pts * pictures.time_base)
    flash = pictures.mark_s <= time + 1e-6 < pictures.mark_s + _MARK_LASTS_S
    level = _BRIGHT if flash else _DARK
    across = np.arange(width, dtype=np.int32)[None, :] * 40 // max(width, 1)
    down = np.arange(height, dtype=np.int32)[:, None] * 40 // max(height, 1)
    ramp = across + down + number % 20
    colours = (np.clip(level - 40 + ramp, 0, 255), np.clip(level - ramp, 0, 255), ramp + 20)
    return np.stack([np.broadcast_to(c, (height, width)) for c in colours], -1).astype(np.uint8)


def _audio(stream: AudioStream, sound: Sound, start_s: float) -> Iterator[tuple[float, av.Packet]]:
    context = stream.codec_context
    context.time_base = Fraction(1, sound.rate)
    context.open()
    size = context.frame_size or 1024
    channels = context.layout.nb_channels
    resampler = av.AudioResampler(format=context.format, layout=sound.layout, rate=sound.rate)
    for begin_s, end_s in sound.spans:
        for first in range(round(begin_s * sound.rate), round(end_s * sound.rate), size):
            at = np.arange(first, first + size) / sound.rate
            on = (at >= sound.mark_s) & (at < sound.mark_s + _MARK_LASTS_S)
            wave = np.where(on, _LOUD * np.sin(2 * np.pi * _TONE_HZ * at), 0.0).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(
                np.tile(wave, (channels, 1)), format="fltp", layout=sound.layout
            )
            frame.sample_rate, frame.time_base = sound.rate, Fraction(1, sound.rate)
            frame.pts = first + round(start_s * sound.rate)
            for ready in resampler.resample(frame):
                yield from map(_timed, stream.encode(ready))
    yield from map(_timed, stream.encode(None))


def _timed(packet: av.Packet) -> tuple[float, av.Packet]:
    assert packet.dts is not None
    return float(packet.dts * packet.time_base), packet
