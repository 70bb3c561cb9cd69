"""How long an answer is awaited before the overlay takes its place."""

from __future__ import annotations

from collections import deque

_TIMES = 3.0
_LAST = 3


class Patience:
    """Grows with what hooks usually take, so that slow ones are seen and stuck ones are covered.

    Args:
        least_s: What it is for hooks that are fast, or not known yet.
        most_s: What it never exceeds.
    """

    def __init__(self, least_s: float, most_s: float) -> None:
        self._least_s = least_s
        self._most_s = max(least_s, most_s)
        self._took: deque[float] = deque(maxlen=_LAST)

    @property
    def seconds(self) -> float:
        """How long to wait for the next answer."""
        usual_s = sorted(self._took)[len(self._took) // 2] if self._took else 0.0
        return min(max(self._least_s, _TIMES * usual_s), self._most_s)

    def took(self, seconds: float) -> None:
        """An answer came, early or late."""
        self._took.append(seconds)
