"""A media server for one stream, by libav: takes it over RTMP, and then gives it out again.

Arguments: the URL to listen at, the URL to serve at, a file between them.
"""

from __future__ import annotations

import sys
from contextlib import suppress

import av
from av.error import FFmpegError


def take(url: str, path: str) -> None:
    with (
        av.open(url, format="flv", options={"listen": "1"}, timeout=(30, 30)) as source,
        av.open(path, "w", format="mpegts", options={"mpegts_copyts": "1"}) as target,
        # libav's listener loses the last few packets of a sender that hangs up.
        suppress(FFmpegError),
    ):
        copy(source, target)


def give(url: str, path: str) -> None:
    # The tee has its outputs opened with options, which PyAV does not.
    with (
        av.open(path) as source,
        av.open(f"[f=flv:listen=1]{url}", "w", format="tee") as target,
    ):
        copy(source, target)


def copy(source: av.container.InputContainer, target: av.container.OutputContainer) -> None:
    tracks = {s.index: target.add_stream_from_template(s) for s in source.streams}
    for packet in source.demux():
        if packet.dts is not None:
            packet.stream = tracks[packet.stream.index]
            target.mux(packet)


if __name__ == "__main__":
    take(sys.argv[1], sys.argv[3])
    give(sys.argv[2], sys.argv[3])
