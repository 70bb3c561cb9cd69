"""What `livepeer stream` sends and where to, from what was typed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from ._endings import failed

if TYPE_CHECKING:
    from livepeer.client.media import (
        MediaSource,
        Player,
        Recorder,
        TestPattern,
        VideoOutputConfig,
        Webcam,
    )

_CAMERA = re.compile(r"webcam(?::(.*))?")
_PLAYER = re.compile(r"player(?::(.*))?")
_PLAYERS = ("ffplay", "mpv", "vlc")
_LONGEST = 8192
_MOST_PIXELS = 8192 * 4320


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """What a camera or the test picture is asked for; None for its default.

    Attributes:
        size: As `1280x720`.
        fps: Pictures in a second.
        bitrate: The most bits in a second.
    """

    size: str | None = None
    fps: float | None = None
    bitrate: int | None = None

    def config(self) -> VideoOutputConfig:
        """How they are coded.

        Raises:
            ValueError: One is out of its range.
        """
        from livepeer.client.media import VideoOutputConfig  # lazy: PyAV

        return VideoOutputConfig(fps=self.fps or 30.0, bitrate_bps=self.bitrate)

    def pixels(self) -> tuple[int, int] | None:
        """Width and height.

        Raises:
            ValueError: It is no size.
        """
        if self.size is None:
            return None
        match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", self.size)
        if match is None:
            raise ValueError(f"--size is {self.size!r}: write it as 1280x720")
        width, height = int(match[1]), int(match[2])
        if max(width, height) > _LONGEST or width * height > _MOST_PIXELS:
            raise ValueError(f"--size is {self.size!r}: it is up to 8192x4320")
        return width, height


def check_ends(input: str, output: str, pictures: Pictures) -> None:
    """See that they fit together, as far as nothing has to be opened for it.

    Raises:
        ValueError: They do not.
    """
    pictures.pixels()
    if pictures.fps is not None and not 1 <= pictures.fps <= 240:
        raise ValueError(f"--fps is {pictures.fps:g}: it is from 1 to 240")
    camera, player = _CAMERA.fullmatch(input), _PLAYER.fullmatch(output)
    if camera is not None and camera[1] == "":
        raise ValueError("--input webcam: lacks the camera's number or name, as in webcam:0")
    if player is not None and player[1] not in (None, *_PLAYERS):
        raise ValueError(f"--output is {output!r}: write player, or player:ffplay, :mpv or :vlc")
    if is_file(output) and not Path(output).absolute().parent.is_dir():
        raise ValueError(f"--output: there is no folder {Path(output).parent}")
    if is_endless(input):
        return
    if not Path(input).is_file():
        raise ValueError(f"--input: there is no file {input}")
    if pictures != Pictures():
        raise ValueError("--size, --fps and --bitrate are for webcam and test: a file has its own")
    if is_file(output) and Path(output).resolve() == Path(input).resolve():
        raise ValueError("--output must not be the input file")


def is_endless(input: str) -> bool:
    """Whether an input goes on until somebody ends it."""
    return input == "test" or _CAMERA.fullmatch(input) is not None


def is_file(output: str) -> bool:
    """Whether an output is the name of a file."""
    return output != "none" and _PLAYER.fullmatch(output) is None


def open_source(input: str, pictures: Pictures) -> MediaSource | Webcam | TestPattern:
    """Open what goes in; a size that is too small ends the command.

    Raises:
        OSError: There is no such file.
        MediaError: It is no media, or there is no such camera.
    """
    from livepeer.client.media import MediaSource, TestPattern, Webcam  # lazy: PyAV

    size, config = pictures.pixels(), pictures.config()
    if input == "test":
        try:
            return TestPattern(size or (640, 360), config)
        except ValueError as error:
            raise failed(error, 2) from None
    camera = _CAMERA.fullmatch(input)
    if camera is None:
        return MediaSource(input)
    name = camera[1] or "0"
    device = int(name) if name.isdecimal() else name
    return Webcam(device, size=size or (1280, 720), fps=config.fps, config=config)


def open_sink(output: str) -> Recorder | Player:
    """Open where what comes out goes to; a file that names no container ends the command.

    Raises:
        MediaError: There is no player.
        OSError: The file cannot be written.
    """
    from livepeer.client.media import MediaError, Player, Recorder  # lazy: PyAV

    player = _PLAYER.fullmatch(output)
    if player is not None:
        return Player(player[1])
    try:
        return Recorder(output if is_file(output) else None)
    except MediaError as error:
        raise failed(error, 2) from None


def need_media() -> None:
    """Load PyAV, before anything is opened.

    Raises:
        MissingExtra: It is not installed.
    """
    import_module("livepeer.client.media")


def say(text: str) -> None:
    """Tell the person at the terminal."""
    typer.echo(text, err=True)
