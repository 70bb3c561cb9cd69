"""A camera as a source of a stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final, Self

import av
from av.error import FFmpegError

from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import TIME_BASE, AccessUnit, Kind, VideoFrame

from .coding import FrameCoder
from .source import START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer

    from .config import VideoOutputConfig

# By the platform: libavdevice's name of the system, and the device by its number.
_SYSTEMS: Final = {
    "linux": ("v4l2", "/dev/video{}"),
    "darwin": ("avfoundation", "{}"),
    "win32": ("dshow", None),
}


class Webcam:
    """A camera's pictures, coded. No sound.

    Args:
        device: The number of a camera, from 0, or its name: `/dev/video0` on Linux, a number or
            a name on macOS, a name on Windows.
        size: What the camera is asked for, in pixels; it may give the nearest that it has.
        fps: Pictures in a second that it is asked for.
        config: How they are coded.
        system: Another of libavdevice's inputs than the platform's for cameras, with a name of
            its own: `x11grab` with `:0` for a screen, `lavfi` with a graph.

    Attributes:
        codecs: What the units are, for a `Segmenter`.
        duration_s: None, for it has no end.

    Raises:
        MediaError: There is no such camera, or it cannot be opened; the text says what to do.
    """

    live = True

    def __init__(
        self,
        device: int | str = 0,
        *,
        size: tuple[int, int] = (1280, 720),
        fps: float = 30.0,
        config: VideoOutputConfig | None = None,
        system: str | None = None,
    ) -> None:
        self.codecs: dict[Kind, str] = {"video": "h264"}
        self.duration_s: float | None = None
        self.name = f"camera {device}"
        self._container = _open(device, size, fps, system)
        self._coder = FrameCoder(config)

    def __iter__(self) -> Iterator[AccessUnit]:
        """Access units as the camera gives pictures; blocks between them.

        Raises:
            MediaError: The camera is gone.
        """
        first: int | None = None
        try:
            for raw in self._container.decode(video=0):
                if raw.pts is None or raw.time_base is None:
                    continue
                first = raw.pts if first is None else first
                raw.pts += round(START * TIME_BASE / raw.time_base) - first
                yield from self._coder.code(VideoFrame(raw))
        except FFmpegError as error:
            raise MediaError(f"{self.name} gives no pictures any more: {error}") from error

    def close(self) -> None:
        """Let the camera go. Idempotent."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _open(
    device: int | str, size: tuple[int, int], fps: float, system: str | None
) -> InputContainer:
    own, by_number = _SYSTEMS.get(sys.platform, ("v4l2", "/dev/video{}"))
    system = system or own
    if not any(system in names.split(",") for names in av.formats_available):
        raise MediaError(
            f"this build of PyAV opens no camera, for it has no {system}: install PyAV's own"
            " wheel (pip install --force-reinstall av)"
        )
    if isinstance(device, int):
        if by_number is None:
            raise MediaError(
                "name the camera: here they have names and no numbers, as `Integrated Camera` (the"
                " Device Manager lists them)"
            )
        device = by_number.format(device)
    url = f"video={device}" if system == "dshow" else device
    # A graph has its own.
    asked = {"video_size": f"{size[0]}x{size[1]}", "framerate": f"{fps:g}"}
    try:
        return av.open(url, format=system, options={} if system == "lavfi" else asked)
    except (FFmpegError, OSError) as error:
        raise MediaError(_refusal(device, size, fps, error)) from error


def _refusal(device: str, size: tuple[int, int], fps: float, error: Exception) -> str:
    reason = getattr(error, "strerror", None) or str(error)
    wish = f"{size[0]}x{size[1]} at {fps:g} pictures a second"
    if isinstance(error, FileNotFoundError):
        return (
            f"there is no camera {device}: connect one, choose another by its number or name, or"
            " stream a file or the test picture instead"
        )
    if isinstance(error, PermissionError):
        return (
            f"camera {device} may not be opened: let this program use the camera (on Linux be in"
            " the group `video`, on macOS see Privacy & Security)"
        )
    return (
        f"camera {device} does not give {wish} ({reason}): it may be in use by another program, or"
        " want another size or rate"
    )
