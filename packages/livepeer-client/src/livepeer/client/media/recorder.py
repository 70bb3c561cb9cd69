"""What a stream gives out, as a file: recorded as it comes, remuxed at the end."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Self, cast

import av
from av.error import FFmpegError
from av.video.stream import VideoStream

from livepeer.client._answers.new_file import named
from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import TIME_BASE, AccessUnit, BytePipe, to_ticks

from ._tee import Tee, report_units
from .source import START

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.stream import Stream

    _Packet = av.Packet[Stream]

_TRANSPORT_SUFFIXES: Final = (".ts", ".mts", ".m2ts")
# A track may begin late; its parameters are looked for in the whole file, up to this much of it.
_PROBE: Final = {"probesize": str(256 * 1024 * 1024), "analyzeduration": str(3600 * 1_000_000)}


class Recorder:
    """Takes MPEG-TS bytes, reports each picture as it arrives, and writes a file.

    The bytes are kept in a file beside the target while they come, so that a long recording
    needs no memory and a broken one can be finished; then they are remuxed, without encoding,
    to the container that the target's suffix names. Presentation times are kept; one second, by
    which `MediaSource` shifts its file, is taken off.

    Args:
        target: The file to write; None to only report.

    Attributes:
        pipe: Takes the bytes.

    Raises:
        MediaError: There is no container of that suffix, or the folder cannot be written to.
    """

    def __init__(self, target: str | Path | None) -> None:
        self.pipe: BytePipe
        target = None if target is None else Path(target)
        self._target = target
        self._raw: BinaryIO | None = None
        if target is None:
            self.pipe = BytePipe()
            return
        _check_container(target)
        self._raw_path = _beside(target, ".ts")
        with named(target):
            self._raw = self._raw_path.open("xb")
        self.pipe = Tee(self._raw)

    def run(self, on_unit: Callable[[AccessUnit, float], None]) -> None:
        """On a thread of the caller's: read until the pipe is closed.

        Args:
            on_unit: Called there with each access unit and its time of arrival
                (`time.monotonic`).

        Raises:
            OSError: What came cannot be kept; the error names the target.
        """
        if self._target is None:
            report_units(self.pipe, on_unit)
            return
        with named(self._target):
            report_units(self.pipe, on_unit)

    def finish(self) -> bool:
        """Write the target of what came, and remove the raw bytes; False when nothing came.

        Leaving the context without it leaves the target as it was.

        Raises:
            MediaError: The container of the target cannot hold what came.
            OSError: It cannot be written; the error names it.
        """
        if self._raw is None or self._target is None:
            return False
        try:
            with named(self._target):
                self._raw.close()
                if not self._raw_path.exists() or not self._raw_path.stat().st_size:
                    return False
                return self._replace_target(self._target)
        finally:
            self.discard()

    def _replace_target(self, target: Path) -> bool:
        """Write beside the target first: a file that is there is replaced by a whole one only."""
        if target.suffix.lower() in _TRANSPORT_SUFFIXES:
            self._raw_path.replace(target)
            return True
        whole = _beside(target, target.suffix)
        try:
            written = _remux(self._raw_path, whole, target.name)
            if written:
                whole.replace(target)
            return written
        finally:
            whole.unlink(missing_ok=True)

    def discard(self) -> None:
        """Remove the raw bytes. Idempotent."""
        if self._raw is not None:
            # On a full disk the rest cannot be written; nobody wants it.
            with suppress(OSError):
                self._raw.close()
            self._raw_path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def _beside(target: Path, suffix: str) -> Path:
    """A new hidden name in the target's folder; with the rights that any new file there has."""
    return target.with_name(f".{target.name}.{secrets.token_hex(4)}{suffix}")


def _check_container(target: Path) -> None:
    if not target.parent.is_dir():
        raise MediaError(f"there is no folder {target.parent} for {target.name}")
    trial = _beside(target, target.suffix)
    try:
        av.open(str(trial), "w").close()
    except (FFmpegError, ValueError) as error:
        raise MediaError(
            f"{target.name} cannot be written: its suffix names no container (try .mp4, .mkv, .ts)"
        ) from error
    finally:
        trial.unlink(missing_ok=True)


def _remux(raw: Path, target: Path, name: str) -> bool:
    """Write the target, `name` for the user; False when there is nothing to write."""
    try:
        with av.open(str(raw), format="mpegts", options=_PROBE) as source:
            streams: list[VideoStream | AudioStream] = [
                *source.streams.video[:1],
                *source.streams.audio[:1],
            ]
            # A track that is announced and never comes has no parameters.
            present = [stream for stream in streams if _has_parameters(stream)]
            if present:
                _copy(source, present, target)
            return bool(present)
    except (FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise MediaError(f"{name} cannot be written: {reason}") from error


def _copy(
    source: InputContainer, streams: Sequence[VideoStream | AudioStream], target: Path
) -> None:
    with av.open(str(target), "w") as output:
        add = cast("Callable[[Stream], Stream]", output.add_stream_from_template)  # pyright: ignore[reportUnknownMemberType]
        mux = cast("Callable[[_Packet], None]", output.mux_one)  # pyright: ignore[reportUnknownMemberType]
        tracks = {stream.index: _Track(add(stream)) for stream in streams}
        for packet in source.demux(list(streams)):
            if packet.pts is None or packet.dts is None:
                continue
            before = tracks[packet.stream.index].swap(packet, packet.pts, packet.dts)
            if before is not None:
                mux(before)
        for track in tracks.values():
            rest = track.rest()
            if rest is not None:
                mux(rest)


class _Track:
    """Times the packets of one track; a packet waits for the next, which says how long it lasts.

    A transport stream has no durations. The last packet lasts as long as the one before it.
    """

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._held: tuple[_Packet, int] | None = None
        self._lasts = 0

    def swap(self, packet: _Packet, pts: int, dts: int) -> _Packet | None:
        """Hold a packet, and give the one before it."""
        pts = to_ticks(pts, packet.time_base) - START
        dts = to_ticks(dts, packet.time_base) - START
        before = None
        if self._held is not None:
            before, before_dts = self._held
            # Containers refuse a clock that stands still or goes back.
            dts = max(dts, before_dts + 1)
            self._lasts = before.duration = dts - before_dts
        packet.pts, packet.dts, packet.time_base = max(pts, dts), dts, TIME_BASE
        packet.stream = self._stream
        self._held = packet, dts
        return before

    def rest(self) -> _Packet | None:
        """The last packet."""
        if self._held is None:
            return None
        packet, _ = self._held
        packet.duration = self._lasts
        return packet


def _has_parameters(stream: VideoStream | AudioStream) -> bool:
    if isinstance(stream, VideoStream):
        return stream.codec_context.width > 0
    return stream.codec_context.sample_rate > 0
