"""What a stream can be fed with, and pictures of a program as a source."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Protocol, Self

from .coding import FrameCoder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping

    from livepeer.trickle.media import AccessUnit, Kind

    from .coding import Frame
    from .config import VideoOutputConfig


class Source(Protocol):
    """What a `Transfer` sends: access units in the order of the stream.

    Attributes:
        codecs: What the units are, for a `Segmenter`.
        duration_s: How long it is, None where that is not known.
        live: It has a pace of its own, as a camera: nobody can have it wait.
    """

    @property
    def codecs(self) -> Mapping[Kind, str]: ...  # noqa: D102 - said above

    @property
    def duration_s(self) -> float | None: ...  # noqa: D102

    @property
    def live(self) -> bool: ...  # noqa: D102

    def __iter__(self) -> Iterator[AccessUnit]:
        """The units; may block, for it runs on a thread."""
        ...

    def close(self) -> None:
        """Give back what it holds. Idempotent."""
        ...


class FrameSource:
    """Pictures, and sound, of an iterable, coded.

    Args:
        frames: Arrays or frames, one kind after the other in the order of their time. A generator
            may block: it runs on a thread.
        config: How pictures are coded, and how far apart those are that have no time.
        sound: There is sound among them.
        live: They come at a pace of their own.

    Attributes:
        codecs: What the units are, for a `Segmenter`.
        duration_s: None: a generator does not say.
    """

    def __init__(
        self,
        frames: Iterable[Frame],
        config: VideoOutputConfig | None = None,
        *,
        sound: bool = False,
        live: bool = False,
    ) -> None:
        self.codecs: dict[Kind, str] = {"video": "h264"}
        if sound:
            self.codecs["audio"] = "aac"
        self.duration_s: float | None = None
        self.live = live
        self._frames = frames
        self._coder = FrameCoder(config)
        self._closed = False

    def __iter__(self) -> Iterator[AccessUnit]:
        """Access units, each as soon as its frame is coded."""
        for frame in self._frames:
            if self._closed:
                return
            for unit in self._coder.code(frame):
                self._check(unit)
                yield unit
        yield from self._coder.flush()

    def close(self) -> None:
        """Ask for no more frames. Idempotent."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, unit: AccessUnit) -> None:
        if unit.kind not in self.codecs:
            raise ValueError("there is sound among the pictures: give FrameSource sound=True")


class TestPattern(FrameSource):
    """A test picture that moves and counts, without an end.

    `pattern_number` reads from a picture which one it is.

    Args:
        size: Width and height in pixels.
        config: How it is coded; `fps` is its rate.

    Raises:
        ValueError: The size is too small.
    """

    __test__ = False

    def __init__(
        self, size: tuple[int, int] = (640, 360), config: VideoOutputConfig | None = None
    ) -> None:
        from .pattern import Pattern  # lazy: numpy

        self._pattern = Pattern(*size)
        super().__init__(self._pictures(), config)

    def _pictures(self) -> Generator[Frame]:
        for number in count():
            yield self._pattern.picture(number)
