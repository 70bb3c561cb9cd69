"""The floor: one bare PyAV loop between bare aiohttp requests, with the best known options."""

from __future__ import annotations

import asyncio
import os
import queue
from fractions import Fraction
from typing import TYPE_CHECKING

import aiohttp
import av
from av.container import InputContainer, OutputContainer
from av.video.frame import PictureType
from av.video.stream import VideoStream

from _face.roles import say
from _live.conversions import conversion
from _live.job import RATE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from _live.job import Job

HEADERS = {"Content-Type": "video/MP2T"}
READ = {"fflags": "+noparse", "fpsprobesize": "0", "analyzeduration": "100000"}
WRITE = {"omit_video_pes_length": "0", "flush_packets": "1"}
X264 = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "forced-idr": "1", "g": "9999"}
ONE_THREAD_PIXELS = 1280 * 720
TIME_BASE = Fraction(1, 90_000)
BUFFER = 1024 * 1024

Chunks = asyncio.Queue["bytes | None"]
"""Of one segment; None ends it."""


class Feed:
    """Bytes from the loop to the thread, as a file."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._left = b""

    def put(self, chunk: bytes) -> None:
        """Append bytes; none at all end the stream."""
        self._chunks.put(chunk)

    def read(self, size: int) -> bytes:
        """For PyAV: what is there, or the next that comes."""
        data = self._left or self._chunks.get()
        self._left = data[size:]
        return data[:size]


class Sink:
    """Bytes from the thread to the loop, in segments."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.segments: asyncio.Queue[Chunks | None] = asyncio.Queue()
        self._loop = loop
        self._chunks: Chunks | None = None

    def cut(self) -> None:
        """End the segment; the next bytes begin another."""
        if self._chunks is not None:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, None)
        self._chunks = Chunks()
        self._loop.call_soon_threadsafe(self.segments.put_nowait, self._chunks)

    def write(self, data: bytes) -> int:
        """For PyAV: what its muxer wrote."""
        assert self._chunks is not None
        self._loop.call_soon_threadsafe(self._chunks.put_nowait, bytes(data))
        return len(data)

    def close(self) -> None:
        """End the stream."""
        if self._chunks is not None:
            self._loop.call_soon_threadsafe(self._chunks.put_nowait, None)
        self._loop.call_soon_threadsafe(self.segments.put_nowait, None)


def transcode(feed: Feed, sink: Sink, convert: Callable[[av.VideoFrame], av.VideoFrame]) -> None:
    """Decode, convert and encode until the feed ends."""
    with (
        av.open(feed, "r", format="mpegts", options=READ, buffer_size=64 * 1024) as source,  # pyright: ignore[reportArgumentType]
        av.open(sink, "w", format="mpegts", options=WRITE, buffer_size=BUFFER) as target,  # pyright: ignore[reportArgumentType]
    ):
        assert isinstance(source, InputContainer)
        assert isinstance(target, OutputContainer)
        stream = source.streams.video[0]
        stream.codec_context.thread_type = "SLICE"
        encoder: VideoStream | None = None
        pictures = 0
        for packet in source.demux(stream):
            for frame in packet.decode():
                if encoder is None:
                    encoder = _encoder(target, frame)
                picture = convert(frame)
                key = pictures % RATE == 0
                picture.pict_type = PictureType.I if key else PictureType.NONE
                pictures += 1
                for coded in encoder.encode(picture):
                    if key:
                        sink.cut()
                    target.mux_one(coded)
    sink.close()


def _encoder(target: OutputContainer, frame: av.VideoFrame) -> VideoStream:
    stream = target.add_stream("libx264", rate=RATE, options=X264)
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, "yuv420p"
    context = stream.codec_context
    context.time_base = TIME_BASE
    large = frame.width * frame.height > ONE_THREAD_PIXELS
    context.thread_count = (os.cpu_count() or 1) if large else 1
    return stream


async def run(job: Job) -> None:
    """Run the loop until the incoming channel ends."""
    feed, sink = Feed(), Sink(asyncio.get_running_loop())
    timeout = aiohttp.ClientTimeout(total=None)
    convert = conversion(job.hook)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        coding = asyncio.create_task(asyncio.to_thread(transcode, feed, sink, convert))
        sending = asyncio.create_task(_publish(http, job.outgoing, sink))
        say({"ready": True})
        await _subscribe(http, job.incoming, feed)
        await asyncio.gather(coding, sending)


async def _subscribe(http: aiohttp.ClientSession, url: str, feed: Feed) -> None:
    seq = 0
    while True:
        async with http.get(f"{url}/{seq}") as response:
            if response.status != 200 or "Lp-Trickle-Closed" in response.headers:
                break
            async for chunk in response.content.iter_any():
                feed.put(chunk)
        seq += 1
    feed.put(b"")


async def _publish(http: aiohttp.ClientSession, url: str, sink: Sink) -> None:
    async def body(chunks: Chunks) -> AsyncIterator[bytes]:
        while (chunk := await chunks.get()) is not None:
            yield chunk

    seq = 0
    while (chunks := await sink.segments.get()) is not None:
        async with http.post(f"{url}/{seq}", data=body(chunks), headers=HEADERS) as response:
            response.raise_for_status()
        seq += 1


def main(job: Job) -> None:
    """Run the loop in this process."""
    asyncio.run(run(job))
