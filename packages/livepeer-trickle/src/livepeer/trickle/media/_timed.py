"""When a frame is shown: by the PyAV frame beneath, or at a time of its own."""

from __future__ import annotations

from fractions import Fraction
from operator import index
from typing import TYPE_CHECKING, Generic, SupportsIndex, TypeVar

from av.frame import Frame

from .clock import TIME_BASE

if TYPE_CHECKING:
    from numbers import Rational
    from typing import Self

Raw = TypeVar("Raw", bound=Frame)


def fraction(ratio: Rational | None) -> Fraction | None:
    """PyAV 19 has a rational of its own, which lacks what a fraction can do."""
    if ratio is None or isinstance(ratio, Fraction):
        return ratio
    return Fraction(int(ratio.numerator), int(ratio.denominator))


def whole(pts: SupportsIndex) -> int:
    """A presentation time as containers have it.

    Raises:
        TypeError: It is no whole number.
        ValueError: It has more than 64 bits.
    """
    number = index(pts)
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"a pts of {number} has more than 64 bits: count it in units of time_base")
    return number


class Timed(Generic[Raw]):
    """The clock that every frame has: that of its source, until it is given a time of its own.

    Attributes:
        raw: The PyAV frame beneath.
        origin: Whoever handed the frame out can leave a mark here; what is made `like` a frame has
            the same.
    """

    __slots__ = ("_sent", "_time", "origin", "raw")

    def __init__(self, raw: Raw) -> None:
        self.raw = raw
        self.origin: object = None
        self._time: tuple[int, Fraction] | None = None
        self._sent: Raw | None = None

    @property
    def pts(self) -> int:
        """Presentation time, of sound that of the first sample, in units of `time_base`."""
        return (self.raw.pts or 0) if self._time is None else self._time[0]

    @pts.setter
    def pts(self, pts: int) -> None:
        self._time = (whole(pts), self.time_base)

    @property
    def time_base(self) -> Fraction:
        """The unit of `pts` in seconds."""
        if self._time is not None:
            return self._time[1]
        return fraction(self.raw.time_base) or TIME_BASE

    @property
    def time(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    def _at(self, pts: int | None, like: Timed[Raw]) -> Self:
        """This frame, at a time of another's clock; at its own time without one."""
        self.raw.pts = like.pts if pts is None else whole(pts)
        self.raw.time_base = like.time_base
        self.origin = like.origin
        return self

    def _hand_on(self, twin: Timed[Raw], at: Timed[Raw] | None) -> None:
        """Fix the times of both: from now on an encoder may write its own into `raw`."""
        self._time = (self.pts, self.time_base)
        twin._time = self._time if at is None else (at.pts, at.time_base)
        self._sent = self.raw
