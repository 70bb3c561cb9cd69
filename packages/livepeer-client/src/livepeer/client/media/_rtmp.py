"""A program: MPEG-TS from standard input to RTMP, or from RTMP to standard output.

It is a process because PyAV connects to a media server with the interpreter locked, for as long as
that takes, and because what hangs in libav can be ended so. It is run as a file, without the
package around it, which it does not need.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import av
from av.error import FFmpegError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

URL: Final = "LIVEPEER_RTMP_URL"
"""By the environment, and not among the arguments, which everybody on the machine can read."""

STUCK: Final = 1
"""The exit status when the server took nothing for too long; of a failure that has no words."""

_AGAIN_S: Final = 0.3
_CONNECT_S: Final = 10.0
# For a media server that begins together with the stream.
_REFUSED_S: Final = 2.0
# A track that has fallen quiet does not hold the other back for longer.
_PROMPT: Final = {"flush_packets": "1", "max_interleave_delta": "300000"}
_LOOK: Final = {"analyzeduration": "2000000"}


def push(url: str, take_s: float) -> None:
    """From standard input to the server, which may take nothing for `take_s`."""
    options = {**_PROMPT, "flvflags": "no_duration_filesize"}
    with (
        av.open("pipe:0", format="mpegts", options=_LOOK) as source,
        av.open(url, "w", format="flv", options=options) as target,
    ):
        _copy(source, target, time.monotonic() + _REFUSED_S, take_s)
        with _limited(take_s):
            target.close()


def pull(url: str, patience_s: float) -> None:
    """From the server to standard output, once there is something."""
    options = {**_PROMPT, "mpegts_copyts": "1"}
    with (
        _opened(url, time.monotonic() + patience_s) as source,
        av.open("pipe:1", "w", format="mpegts", options=options) as target,
    ):
        _copy(source, target)


def _opened(url: str, deadline: float) -> InputContainer:
    while True:
        try:
            return av.open(url, format="flv", options=_LOOK, timeout=(_CONNECT_S, None))
        except (FFmpegError, OSError):
            # Nobody publishes there as yet.
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)


def _begin(target: OutputContainer, deadline: float) -> None:
    while True:
        try:
            return target.start_encoding()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_AGAIN_S)


@contextmanager
def _limited(seconds: float) -> Generator[None]:
    """End this process when what is within takes longer; with 0 it may take for ever.

    By a thread that is not Python's: PyAV may hold the interpreter.
    """
    if not seconds:
        yield
        return
    with Path(os.devnull).open("w") as nowhere:
        faulthandler.dump_traceback_later(seconds, exit=True, file=nowhere)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()


def _copy(
    source: InputContainer, target: OutputContainer, deadline: float = 0.0, take_s: float = 0.0
) -> None:
    streams: list[VideoStream | AudioStream] = [
        *source.streams.video[:1],
        *source.streams.audio[:1],
    ]
    # PyAV's stubs leave the packets' type parameter open.
    add = cast("Callable[[Stream], Stream]", target.add_stream_from_template)  # pyright: ignore[reportUnknownMemberType]
    mux = cast("Callable[[object], None]", target.mux_one)  # pyright: ignore[reportUnknownMemberType]
    outputs = {stream.index: add(stream) for stream in streams}
    with _limited(take_s):
        _begin(target, deadline)
    for packet in _packets(source, streams):
        packet.stream = outputs[packet.stream.index]
        with _limited(take_s):
            mux(packet)


def _packets(
    source: InputContainer, streams: Sequence[VideoStream | AudioStream]
) -> Iterator[av.Packet[Stream]]:
    """Until the source ends, which of a server is an error to libav."""
    given = False
    try:
        for packet in source.demux(list(streams)):
            if packet.dts is not None:
                yield packet
                given = True
    except FFmpegError:
        if not given:
            raise


def _end_with_parent() -> None:
    """Have this process end when standard input does: its parent may be killed."""
    threading.Thread(target=_wait_for_end, daemon=True).start()
    if sys.platform == "linux":
        # PyAV may hold the interpreter; then the kernel ends us.
        import fcntl  # lazy: not on Windows

        fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(0, fcntl.F_GETFL)
        fcntl.fcntl(0, fcntl.F_SETFL, flags | os.O_ASYNC)


def _wait_for_end() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


def main(way: str, limit_s: str) -> int:
    """Do it; the exit status. The limit is for a server that takes, or gives, nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it as well, and ends us
    url = os.environ.pop(URL)
    try:
        if way == "push":
            push(url, float(limit_s))
        else:
            _end_with_parent()
            pull(url, float(limit_s))
    except (FFmpegError, OSError, ValueError) as error:
        sys.stderr.write(getattr(error, "strerror", None) or type(error).__name__)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
