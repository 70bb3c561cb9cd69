"""A media file as the segments in which a caller publishes it."""

from __future__ import annotations

import asyncio
from io import BytesIO
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError

from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import AccessUnit, BytePipe, MediaReader, Segmenter, StreamInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from av.codec.context import CodecContext
    from av.container import InputContainer
    from av.packet import Packet
    from av.stream import Stream

    from livepeer.trickle.media import Kind

_MEND = "encode it first (ffmpeg -i FILE -c:v libx264 -c:a aac clip.mp4)"


async def read_clip(path: Path, *, seconds: float | None, segment_s: float) -> list[bytes]:
    """The file as MPEG-TS segments; its codecs are kept, its times are moved by a constant.

    Args:
        path: A file with H.264 or H.265, AAC, or both.
        seconds: Only the beginning.
        segment_s: A segment is cut at the first key frame after so many seconds.

    Raises:
        FileNotFoundError: There is no such file.
        MediaError: It is no media file, or its codecs cannot be published as they are.
    """
    data = await asyncio.to_thread(_as_mpegts, path, seconds)
    pipe = BytePipe(limit_bytes=len(data) + 1)
    await pipe.write(data)
    pipe.close()
    return await asyncio.to_thread(_segments, pipe, segment_s, path)


def _as_mpegts(path: Path, seconds: float | None) -> bytes:
    try:
        with av.open(str(path)) as source:
            return _remuxed(source, seconds, path)
    except (OSError, MediaError):
        raise  # there is no such file; or it is told already
    except FFmpegError as error:
        raise MediaError(f"{path} cannot be read as media ({error.strerror}): {_MEND}") from error


def _remuxed(source: InputContainer, seconds: float | None, path: Path) -> bytes:
    chosen = [*source.streams.video[:1], *source.streams.audio[:1]]
    if not chosen:
        raise MediaError(f"{path} holds neither pictures nor sound: {_MEND}")
    _check_codecs("video", source.streams.video[:1], path)
    _check_codecs("audio", source.streams.audio[:1], path)
    out = BytesIO()
    with av.open(out, "w", format="mpegts") as muxer:
        # PyAV's stubs leave type parameters open.
        copy = cast("Callable[[Stream], Stream]", muxer.add_stream_from_template)  # pyright: ignore[reportUnknownMemberType]
        mux = cast("Callable[[Packet[Stream]], None]", muxer.mux_one)  # pyright: ignore[reportUnknownMemberType]
        copies = {stream.index: copy(stream) for stream in chosen}
        begin_s = (source.start_time or 0) / av.time_base
        for packet in source.demux(chosen):
            # The one that flushes a decoder has no time.
            if packet.dts is None:
                continue
            at_s = float(packet.dts * packet.time_base) - begin_s
            if seconds is None or at_s < seconds:
                packet.stream = copies[packet.stream.index]
                mux(packet)
    return out.getvalue()


def _check_codecs(kind: Kind, streams: Sequence[Stream], path: Path) -> None:
    for stream in streams:
        # Of a codec that libavcodec does not know there is none.
        context = cast("CodecContext | None", stream.codec_context)
        codec = "of an unknown codec" if context is None else context.codec.canonical_name
        try:
            Segmenter({kind: codec})
        except ValueError:
            raise MediaError(
                f"{path}: its {kind} is {codec}, which cannot be published as it is: {_MEND}"
            ) from None


def _segments(pipe: BytePipe, segment_s: float, path: Path) -> list[bytes]:
    segmenter: Segmenter | None = None
    segments: list[bytes] = []
    for item in MediaReader(pipe):
        if isinstance(item, StreamInfo):
            segmenter = segmenter or Segmenter(item.codecs, segment_s=segment_s)
        elif isinstance(item, AccessUnit) and segmenter is not None:
            starts, data = segmenter.add(item)
            if starts:
                segments.append(data)
            else:
                segments[-1] += data
        else:
            raise MediaError(f"{path} cannot be published as it is: {_MEND}")
    return segments
