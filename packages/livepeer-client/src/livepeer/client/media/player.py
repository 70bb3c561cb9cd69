"""A window that shows what comes out of a stream: a player, fed on its standard input."""

from __future__ import annotations

import shutil
import subprocess
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, cast

from livepeer.trickle.errors import MediaError

from ._tee import Tee, report_units

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from livepeer.trickle.media import AccessUnit, BytePipe

# As soon as possible, rather than without a stumble; and the window closes at the end.
_COMMANDS: Final = {
    "ffplay": (
        *("ffplay", "-loglevel", "error", "-window_title", "Livepeer", "-autoexit"),
        *("-fflags", "nobuffer", "-flags", "low_delay", "-probesize", "65536", "-framedrop"),
        *("-f", "mpegts", "-i", "-"),
    ),
    "mpv": (
        *("mpv", "--no-terminal", "--title=Livepeer", "--profile=low-latency", "--no-cache"),
        *("--demuxer-lavf-format=mpegts", "-"),
    ),
    "vlc": ("vlc", "--quiet", "--play-and-exit", "--demux=ts", "--file-caching=300", "-"),
}
_END_S: Final = 5.0


class Player:
    """Shows what comes out of a stream in a window of ffplay, mpv or VLC, whichever is here first.

    A sink of a `Transfer`, in place of a `Recorder`. A context manager that closes the window.

    Args:
        name: Which of the three; None for the first that is installed.

    Attributes:
        pipe: Takes the bytes.

    Raises:
        MediaError: None is installed, or it cannot be started; the text says what to do.
    """

    def __init__(self, name: str | None = None) -> None:
        command = find_player(name)
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
            )
        except OSError as error:
            raise MediaError(f"{command[0]} cannot be started: {error.strerror}") from error
        self._command = command[0]
        self.pipe: BytePipe = Tee(cast("BinaryIO", self._process.stdin))
        self._closing = threading.Event()

    @property
    def closed_by_user(self) -> bool:
        """Whether the window was closed, by somebody or by the player, before we did."""
        return not self._closing.is_set() and self._process.poll() is not None

    def run(self, on_unit: Callable[[AccessUnit, float], None]) -> None:
        """On a thread of the caller's: show until the pipe, or the window, is closed.

        Args:
            on_unit: Called there with each access unit and its time of arrival
                (`time.monotonic`).

        Raises:
            MediaError: The player failed.
        """
        # A player that is gone breaks the pipe; one that is paused has us wait.
        with suppress(BrokenPipeError):
            report_units(self.pipe, on_unit)
            return
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        if self._process.returncode and not self._closing.is_set():
            raise MediaError(
                f"{Path(self._command).name} ended with status {self._process.returncode}: see"
                " what it said, or write to a file instead"
            )

    def finish(self) -> bool:
        """Let the player show the rest; False, for nothing is kept."""
        self._closing.set()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_END_S)
        self.discard()
        return False

    def discard(self) -> None:
        """Close the window. Idempotent; also ends a `run` that waits for the player."""
        self._closing.set()
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with suppress(BrokenPipeError):
                self._process.stdin.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def find_player(name: str | None = None) -> tuple[str, ...]:
    """The command of a player that reads MPEG-TS from its standard input.

    Raises:
        MediaError: None is installed, or it is one that is not known here.
    """
    if name is not None and name not in _COMMANDS:
        raise MediaError(f"{name} is no player that is known here: ffplay, mpv or vlc")
    for candidate in _COMMANDS if name is None else (name,):
        path = shutil.which(candidate)
        if path is not None:
            return (path, *_COMMANDS[candidate][1:])
    wanted = "ffplay (which comes with FFmpeg), mpv or VLC" if name is None else name
    raise MediaError(
        f"there is no player on this machine: install {wanted}, or write to a file instead"
    )
