"""The floor: `python -m _live.floor LOOPS` decodes and encodes with PyAV, and no more."""

from __future__ import annotations

import argparse
import io
from typing import TYPE_CHECKING

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from _face.roles import cpu_seconds, say
from livepeer.trickle.media import Segmenter

from .clip import HEIGHT, WIDTH, units

if TYPE_CHECKING:
    from av.buffer import Buffer
    from av.video.frame import VideoFrame

OPTIONS = {"preset": "superfast", "tune": "zerolatency", "crf": "23", "g": "25"}


def coded(encoder: VideoCodecContext, frame: VideoFrame | None) -> int:
    """Encode a picture and take its bytes; how many pictures came out."""
    packets: list[Buffer] = [*encoder.encode(frame)]  # pyright: ignore[reportUnknownMemberType]
    return len([data for data in map(bytes, packets) if data])


def loop(stream: bytes) -> int:
    """Decode and encode a stream; how many pictures came out."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = WIDTH, HEIGHT, "yuv420p"
    encoder.thread_count, encoder.options = 1, OPTIONS
    pictures = 0
    with av.open(io.BytesIO(stream), format="mpegts") as container:
        assert isinstance(container, InputContainer)
        source = container.streams.video[0]
        encoder.time_base = source.time_base or encoder.time_base
        for packet in container.demux(source):
            for frame in packet.decode():
                frame.pict_type = 0
                pictures += coded(encoder, frame)
        pictures += coded(encoder, None)
    return pictures


def main() -> None:
    """Measure the floor over as many rounds of the clip as were asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("loops", type=int)
    loops = parser.parse_args().loops
    segmenter = Segmenter({"video": "h264"})
    stream = b"".join(segmenter.add(unit).data for unit in units(loops))
    before = cpu_seconds()
    pictures = loop(stream)
    say({"cpu": cpu_seconds() - before, "pictures": pictures})


if __name__ == "__main__":
    main()
