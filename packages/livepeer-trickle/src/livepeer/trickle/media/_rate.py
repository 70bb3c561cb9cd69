"""How many pictures a second an encoder is told that there are; they carry their own times."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from .clock import TICKS_PER_S

_GUESS: Final = Fraction(30)
# Nobody sends pictures at other rates: some sources say 90,000 a second.
_LOWEST: Final = 1
_HIGHEST: Final = 480
_PAUSE: Final = 2 * TICKS_PER_S
_TOLERANCE: Final = 0.1
_PATIENCE: Final = 2
_MOST_PATIENCE: Final = 64
_USUAL: Final = (
    *(Fraction(rate) for rate in (5, 10, 12, 15, 20, 24, 25, 30, 48, 50, 60, 90, 100, 120, 144)),
    *(Fraction(rate * 1000, 1001) for rate in (24, 30, 60, 120)),
)


class FrameRate:
    """Decides which rate an encoder is opened with, and whether to open it with another.

    What the source says comes first. Meanwhile the pictures of each second are counted: when two
    seconds in a row agree on another rate, by more than a tenth, that counts; where the source says
    nothing, the first second is enough. Each time twice as many have to agree as the time before,
    so that a source whose rate is uneven does not begin an encoder again and again.

    Attributes:
        is_other: The rate is not that of the encoder any more.
    """

    def __init__(self) -> None:
        self.is_other = False
        self._told = _GUESS
        self._source: Fraction | None = None
        self._counted: Fraction | None = None
        self._patience = 1
        self._last: int | None = None
        self._begun = self._pictures = 0
        self._candidate, self._seconds = _GUESS, 0

    def begin(self, source: Fraction | None) -> Fraction:
        """The rate for an encoder that is opened; `source` is what the source says, if it does."""
        source = source if source is not None and _LOWEST <= source <= _HIGHEST else None
        if source is not None and source != self._source:
            self._source, self._counted = source, None
            self._patience = max(self._patience, _PATIENCE)
        self._told = self._counted or self._source or _GUESS
        self.is_other, self._seconds = False, 0
        return self._told

    def take(self, pts: int) -> None:
        """Count a picture, by its time in ticks."""
        last, self._last = self._last, pts
        if last is None or not 0 < pts - last <= _PAUSE:
            self._begun, self._pictures, self._seconds = pts, 0, 0
            return
        self._pictures += 1
        ticks = pts - self._begun
        if ticks >= TICKS_PER_S:
            self._judge(Fraction(self._pictures * TICKS_PER_S, ticks))
            self._begun, self._pictures = pts, 0

    def _judge(self, rate: Fraction) -> None:
        """Count the seconds in a row that had this rate, and not the one that was told."""
        if _is_near(rate, self._told):
            self._seconds, self.is_other = 0, False
            return
        self._seconds = self._seconds + 1 if _is_near(rate, self._candidate) else 1
        self._candidate = rate
        if self._seconds >= self._patience:
            self._counted, self.is_other, self._seconds = _usual(rate), True, 0
            self._patience = min(max(_PATIENCE, 2 * self._patience), _MOST_PATIENCE)


def _is_near(rate: Fraction, other: Fraction) -> bool:
    return abs(rate - other) <= _TOLERANCE * other


def _usual(rate: Fraction) -> Fraction:
    """The nearest of the usual rates, where one is within a hundredth."""
    nearest = min(_USUAL, key=lambda usual: abs(usual - rate))
    return nearest if abs(nearest - rate) * 100 <= rate else rate.limit_denominator(1000)
