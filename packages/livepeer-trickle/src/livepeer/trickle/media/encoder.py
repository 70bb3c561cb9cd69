"""Frames to access units: H.264 with libx264, AAC."""

from __future__ import annotations

import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import av
from av.audio.codeccontext import AudioCodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from livepeer.trickle.errors import MediaError

from ._hardware import NVENC, X264, Hardware, h264_encoder, nvenc_options
from ._rate import FrameRate
from .adts import ADTSHeader
from .clock import TIME_BASE, restarts, ticks, to_ticks
from .units import AccessUnit, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from av.stream import Stream

    from .frames import AudioFrame, VideoFrame

_log = logging.getLogger(__name__)

_LARGE_PIXELS: Final = 1280 * 720
_AAC_FRAME: Final = 1024
# Beyond this the track has a hole, and its clock is set anew so that picture and sound stay level.
_AUDIO_GAP_S: Final = 0.05
# Sound of any other rate is resampled to the first.
_AAC_RATES: Final = (
    48000,
    96000,
    88200,
    64000,
    44100,
    32000,
    24000,
    22050,
    16000,
    12000,
    11025,
    8000,
)
# Of the layouts of so many channels, those that ADTS can say; all others become stereo.
_AAC_LAYOUTS: Final = {
    1: "mono",
    2: "stereo",
    3: "3.0",
    4: "4.0",
    5: "5.0",
    6: "5.1",
}


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """How pictures and sound are encoded.

    Attributes:
        preset: x264's trade of CPU for size.
        crf: x264's constant quality; lower is better and larger.
        bitrate_bps: Not many more than so many bits in a second, after the first two; None for
            as many as the quality takes.
        key_every_s: A key frame, where a segment can be cut, at least so often.
        threads: x264 threads; None is one up to 720p, and all cores beyond.
        audio_bitrate_bps: Bits per second of AAC, for each channel.
        hardware: Where pictures are encoded. NVENC knows none of x264's presets, and takes `crf`
            for its own constant quality.
    """

    preset: str = "superfast"
    crf: int = 23
    bitrate_bps: int | None = None
    key_every_s: float = 1.0
    threads: int | None = None
    audio_bitrate_bps: int = 80_000
    hardware: Hardware = "none"


class _Shape(NamedTuple):
    """What an encoder is opened for, and cannot change."""

    width: int
    height: int
    format: str
    range: int
    matrix: int
    primaries: int
    transfer: int
    aspect: Fraction | None

    @classmethod
    def of(cls, raw: av.VideoFrame, aspect: Fraction | None) -> _Shape:
        return cls(
            raw.width,
            raw.height,
            raw.format.name,
            raw.color_range,
            raw.colorspace,
            raw.color_primaries,
            raw.color_trc,
            aspect,
        )


class VideoEncoder:
    """Encodes pictures one by one, each to one access unit at once: no reordering, no lookahead.

    A change of size, pixel format, color coding or pixel aspect begins a new encoder at a key
    frame, and so does, when the next one is due, another rate that lasts. Sizes that are odd are
    scaled up by one pixel, because 4:2:0 has no odd sizes.
    """

    def __init__(self, options: EncoderOptions | None = None) -> None:
        self._options = options or EncoderOptions()
        self._codec = h264_encoder(self._options.hardware)
        self._key_every = ticks(self._options.key_every_s)
        self._context: VideoCodecContext | None = None
        self._shape: _Shape | None = None
        self._rate = FrameRate()
        self._last_pts: int | None = None
        self._key_pts: int | None = None

    def encode(self, frame: VideoFrame) -> list[AccessUnit]:
        """The units that are ready with this picture.

        Presentation times must rise; one that does not is moved behind the last. One that is far
        behind the last is of a clock that began anew: the encoder does so too, and keeps it.

        Raises:
            MediaError: The picture cannot be converted or encoded.
        """
        pts = to_ticks(frame.pts, frame.time_base)
        units: list[AccessUnit] = []
        if self._last_pts is not None and pts <= self._last_pts:
            if restarts(self._last_pts, pts):
                units += self.flush()
            else:
                pts = self._last_pts + 1
        self._last_pts = pts
        raw = _encodable(frame.raw, self._codec)
        shape = _Shape.of(raw, frame.sample_aspect_ratio)
        self._rate.take(pts)
        key = self._key_pts is None or pts - self._key_pts >= self._key_every
        if self._context is None or shape != self._shape or (key and self._rate.is_other):
            units += self.flush()
            self._context, self._shape = self._open(shape, frame.frame_rate), shape
            key = True
        if key:
            self._key_pts = pts
        try:
            with _lent(raw, pts, TIME_BASE):
                raw.pict_type = PictureType.I if key else PictureType.NONE
                return units + _encode(self._context, raw)
        except MediaError as error:
            if self._codec == X264:
                raise
            # A GPU encodes a few streams at a time, and some machines lose theirs.
            _log.warning("NVENC does not go on, x264 does: %s", error)
            self._codec = X264
            self._context = self._last_pts = self._key_pts = None
            return units + self.encode(frame)

    def flush(self) -> list[AccessUnit]:
        """What is left; the encoder begins anew with the next picture."""
        context, self._context, self._key_pts = self._context, None, None
        return [] if context is None else _encode(context, None)

    def _open(self, shape: _Shape, rate: Fraction | None) -> VideoCodecContext:
        context = av.CodecContext.create(self._codec, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height, context.pix_fmt = shape.width, shape.height, shape.format
        context.time_base = TIME_BASE
        # A label, and a hint for rate control: every picture carries its own time.
        context.framerate = self._rate.begin(rate)
        if shape.aspect:
            context.sample_aspect_ratio = shape.aspect
        context.color_range, context.colorspace = shape.range, shape.matrix
        context.color_primaries, context.color_trc = shape.primaries, shape.transfer
        large = shape.width * shape.height > _LARGE_PIXELS
        context.thread_count = self._options.threads or ((os.cpu_count() or 1) if large else 1)
        context.options = self._codec_options()
        return context

    def _codec_options(self) -> dict[str, str]:
        options = (
            nvenc_options(self._options.crf)
            if self._codec == NVENC
            else {
                "preset": self._options.preset,
                "tune": "zerolatency",
                "crf": str(self._options.crf),
                "forced-idr": "1",
                "g": "9999",
            }
        )
        if self._options.bitrate_bps is not None:
            options["maxrate"] = options["bufsize"] = str(self._options.bitrate_bps)
        return options


class AudioEncoder:
    """Encodes sound to AAC with ADTS headers. A hole in the track is kept as a hole."""

    def __init__(self, options: EncoderOptions | None = None) -> None:
        self._options = options or EncoderOptions()
        self._context: AudioCodecContext | None = None
        self._resampler: av.AudioResampler | None = None
        self._header: ADTSHeader | None = None
        self._shape: tuple[int, str, str] | None = None
        self._next_pts: int | None = None
        self._last_pts: int | None = None

    def encode(self, frame: AudioFrame) -> list[AccessUnit]:
        """The units that are ready with this sound.

        Their presentation times rise; one that would not is moved behind the last, unless the
        clock began anew.
        """
        pts = to_ticks(frame.pts, frame.time_base)
        shape = (frame.sample_rate, frame.layout, frame.format)
        gap = self._next_pts is not None and abs(pts - self._next_pts) > ticks(_AUDIO_GAP_S)
        units = self.flush() if gap or (self._shape and shape != self._shape) else []
        if self._context is None:
            self._open(frame)
            self._shape = shape
        self._next_pts = pts + ticks(frame.samples / frame.sample_rate)
        assert self._resampler is not None
        # The resampler counts in the frame's time base, which may be far coarser than a sample.
        rate = frame.sample_rate
        at = round(frame.pts * frame.time_base * rate)
        try:
            with _lent(frame.raw, at, Fraction(1, rate)):
                resampled = self._resampler.resample(frame.raw)
            for ready in resampled:
                units += self._encode(ready)
        except (FFmpegError, ValueError) as error:
            raise MediaError(f"the sound cannot be encoded: {error}") from error
        return units

    def flush(self) -> list[AccessUnit]:
        """What is left; the encoder begins anew with the next sound."""
        if self._context is None or self._resampler is None:
            return []
        units: list[AccessUnit] = []
        for ready in self._resampler.resample(None):
            units += self._encode(ready)
        units += self._encode(None)
        self._context = self._resampler = self._next_pts = None
        return units

    def _open(self, frame: AudioFrame) -> None:
        context = av.CodecContext.create("aac", "w")
        assert isinstance(context, AudioCodecContext)
        layout = _AAC_LAYOUTS.get(frame.raw.layout.nb_channels, "stereo")
        rate = frame.sample_rate if frame.sample_rate in _AAC_RATES else _AAC_RATES[0]
        context.sample_rate = rate
        context.layout = layout
        context.format = "fltp"
        context.time_base = TIME_BASE
        context.bit_rate = self._options.audio_bitrate_bps * context.layout.nb_channels
        try:
            context.open()
        except FFmpegError as error:
            raise MediaError(f"{layout} sound at {rate} Hz cannot be encoded: {error}") from error
        self._header = ADTSHeader(context.extradata or b"")
        self._context = context
        self._resampler = av.AudioResampler(
            format="fltp", layout=layout, rate=rate, frame_size=_AAC_FRAME
        )

    def _encode(self, frame: av.AudioFrame | None) -> list[AccessUnit]:
        assert self._context is not None
        assert self._header is not None
        return [self._moved(unit) for unit in _encode(self._context, frame, self._header)]

    def _moved(self, unit: AccessUnit) -> AccessUnit:
        """The unit, behind the last: an encoder begins with a unit before its first sound."""
        pts = unit.pts
        last = self._last_pts
        if last is not None and pts <= last and not restarts(last, pts):
            pts = last + 1
            unit = replace(unit, pts=pts, dts=pts)
        self._last_pts = pts
        return unit


@contextmanager
def _lent(raw: av.VideoFrame | av.AudioFrame, pts: int, time_base: Fraction) -> Generator[None]:
    """A PyAV frame at another time; it belongs to somebody else, who gets it back as it was."""
    before = raw.pts, raw.time_base
    kind = raw.pict_type if isinstance(raw, av.VideoFrame) else None
    raw.pts, raw.time_base = pts, time_base
    try:
        yield
    finally:
        raw.pts = before[0]
        if before[1] is not None:
            raw.time_base = before[1]
        if kind is not None and isinstance(raw, av.VideoFrame):
            raw.pict_type = kind


def _encodable(raw: av.VideoFrame, codec: str) -> av.VideoFrame:
    """The frame itself where the encoder takes it, else a converted copy."""
    width, height = raw.width + raw.width % 2, raw.height + raw.height % 2
    formats = ("yuv420p", "cuda") if codec == NVENC else ("yuv420p", "yuvj420p")
    if raw.format.name in formats and (width, height) == (raw.width, raw.height):
        return raw
    try:
        return raw.reformat(width=width, height=height, format="yuv420p")
    except (FFmpegError, ValueError) as error:
        raise MediaError(f"a frame of {raw.format.name} cannot be converted: {error}") from error


def _encode(
    context: VideoCodecContext | AudioCodecContext,
    frame: av.VideoFrame | av.AudioFrame | None,
    header: ADTSHeader | None = None,
) -> list[AccessUnit]:
    """Encode one frame, or flush with None; `header` is what makes it sound."""
    # PyAV's stubs leave the packets' type parameter open.
    encode = cast("Callable[[object], list[av.Packet[Stream]]]", context.encode)  # pyright: ignore[reportUnknownMemberType]
    try:
        packets = encode(frame)
    except FFmpegError as error:
        raise MediaError(f"the frame cannot be encoded: {error}") from error
    units: list[AccessUnit] = []
    for packet in packets:
        if packet.pts is None:
            continue
        data = bytes(packet) if header is None else header.wrap(bytes(packet))
        pts = to_ticks(packet.pts, packet.time_base)
        dts = pts if packet.dts is None else to_ticks(packet.dts, packet.time_base)
        kind: Kind = "video" if header is None else "audio"
        units.append(AccessUnit(kind, data, pts, dts, header is not None or packet.is_keyframe))
    return units
