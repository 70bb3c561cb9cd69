"""Access units to frames: one decoder for each stream, for as long as its codec stays the same."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import av
from av.audio.codeccontext import AudioCodecContext
from av.codec.context import Flags, ThreadType
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext

from livepeer.trickle.errors import MediaError

from ._arrays import converted
from ._device import lies_as_nv12
from ._hardware import Hardware, decoder_device, decoder_options
from .clock import TICKS_PER_S, TIME_BASE, ticks
from .frames import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.stream import Stream

    from .units import AccessUnit

FRAME_FORMATS: Final = ("yuv420p", "yuvj420p")
"""What authors are given; anything else is converted once, as the encoder would have to."""

RECOVERY_S: Final = 5.0
"""After a gap pictures are left out until the next key frame, but no longer than this: a stream
that has none is better seen with faults than not at all."""

# Decoders that give what they can make of pictures whose references are missing; H.264's own
# decoder knows by itself when it has recovered, also without a key frame.
_CARELESS: Final = frozenset({"hevc", "vvc", "mpeg4"})


class Recovery:
    """Whether pictures can be shown: not between a gap and the next key frame, for a time.

    Attributes:
        given_up: There was no key frame in time.
    """

    def __init__(self) -> None:
        self.given_up = False
        self._since: int | None = None
        self._recovered = False

    def lose(self) -> None:
        """References are missing from here on."""
        self._since, self._recovered, self.given_up = None, False, False

    def shows(self, unit: AccessUnit) -> bool:
        """Whether this picture can be made of what came before it, or need not any more."""
        if unit.key:
            self._recovered = True
        if self._since is None:
            self._since = unit.dts
        if not self._recovered and abs(unit.dts - self._since) >= ticks(RECOVERY_S):
            self._recovered = self.given_up = True
        return self._recovered


class VideoDecoder:
    """Decodes pictures, each out as soon as the codec's reordering allows.

    Args:
        codec: The decoder's name in libavcodec.
        hardware: With a GPU, pictures stay in its memory.

    Raises:
        MediaError: There is no such decoder.
    """

    def __init__(self, codec: str, hardware: Hardware = "none") -> None:
        self._codec = codec
        context = _create(codec, decoder_device(hardware))
        assert isinstance(context, VideoCodecContext)
        if context.is_hwaccel:
            context.options = decoder_options()
        # By slices, and not by frames: each thread of those would be a frame of delay.
        context.thread_type = ThreadType.SLICE
        self._context = context
        self._recovery = Recovery()
        self._pts = self._step = 0

    def decode(self, unit: AccessUnit) -> list[VideoFrame]:
        """The pictures that are ready with this unit, in the order of their presentation.

        Raises:
            MediaError: It is damaged beyond decoding; later ones may be decoded.
        """
        if not self._recovery.shows(unit) and self._codec in _CARELESS:
            return []
        if self._recovery.given_up:
            self._context.flags |= Flags.output_corrupt
        return self._decode(_packet(unit))

    def drain(self) -> list[VideoFrame]:
        """The pictures that wait for their turn; the decoder begins anew, at a key frame."""
        frames: list[VideoFrame] = []
        with suppress(MediaError):
            frames = self._decode(None)
        self._context.flush_buffers()
        self._context.flags &= ~Flags.output_corrupt
        self._recovery.lose()
        return frames

    def _decode(self, packet: av.Packet[Stream] | None) -> list[VideoFrame]:
        try:
            frames = self._context.decode(packet)  # pyright: ignore[reportUnknownMemberType]
            return [self._picture(frame) for frame in frames]
        except (FFmpegError, ValueError) as error:
            raise MediaError(str(error)) from error

    def _picture(self, raw: av.VideoFrame) -> VideoFrame:
        if not lies_as_nv12(raw) and raw.format.name not in FRAME_FORMATS:
            raw = converted(raw, FRAME_FORMATS[0])
        pts = self._pts + self._step if raw.pts is None else raw.pts
        self._pts, self._step = pts, pts - self._pts
        raw.pts, raw.time_base = pts, TIME_BASE
        context = self._context
        return VideoFrame(
            raw, sample_aspect_ratio=context.sample_aspect_ratio, frame_rate=context.framerate
        )


class AudioDecoder:
    """Decodes sound; see `VideoDecoder`."""

    def __init__(self, codec: str) -> None:
        context = _create(codec)
        assert isinstance(context, AudioCodecContext)
        self._context = context
        # Of the last sound with a time of its own, and the samples since then.
        self._pts: int | None = None
        self._samples = 0

    def decode(self, unit: AccessUnit) -> list[AudioFrame]:
        """The sound of this unit.

        Raises:
            MediaError: It is damaged beyond decoding; later ones may be decoded.
        """
        return self._decode(_packet(unit), unit.pts)

    def drain(self) -> list[AudioFrame]:
        """The sound that is left; the decoder begins anew."""
        frames: list[AudioFrame] = []
        with suppress(MediaError):
            frames = self._decode(None, None)
        self._context.flush_buffers()
        self._pts = None
        return frames

    def _decode(self, packet: av.Packet[Stream] | None, pts: int | None) -> list[AudioFrame]:
        try:
            frames = self._context.decode(packet)  # pyright: ignore[reportUnknownMemberType]
        except FFmpegError as error:
            raise MediaError(str(error)) from error
        return [self._sound(raw, pts) for raw in frames]

    def _sound(self, raw: av.AudioFrame, pts: int | None) -> AudioFrame:
        """The frame with its time: of several in one unit only the first has one."""
        if raw.pts is not None or self._pts is None:
            self._pts, self._samples = (pts or 0) if raw.pts is None else raw.pts, 0
        raw.pts = self._pts + self._samples * TICKS_PER_S // raw.sample_rate
        raw.time_base = TIME_BASE
        self._samples += raw.samples
        return AudioFrame(raw)


def _create(codec: str, device: HWAccel | None = None) -> av.CodecContext:
    try:
        return av.CodecContext.create(codec, "r", device)
    except (FFmpegError, ValueError) as error:
        raise MediaError(f"there is no decoder for {codec}") from error


def _packet(unit: AccessUnit) -> av.Packet[Stream]:
    # Of a size, and then filled: a packet of bytes has no padding, which decoders read into.
    packet: av.Packet[Stream] = av.Packet(len(unit.data))
    packet.update(unit.data)
    packet.pts, packet.dts, packet.time_base = unit.pts, unit.dts, TIME_BASE
    return packet
