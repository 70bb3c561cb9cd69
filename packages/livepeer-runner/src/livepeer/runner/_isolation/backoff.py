"""When a model process is begun anew."""

from __future__ import annotations

from typing import Final

MAX_S: Final = 10.0
"""Longest wait, and how long a model has to last for its end to count as the first."""


class Backoff:
    """At once after a model that worked; later and later where it fails soon again.

    Args:
        first_s: The first wait that is not nothing; it doubles up to `MAX_S`.
    """

    def __init__(self, first_s: float) -> None:
        self._first_s = first_s
        self._failures = 0

    def next(self, worked_s: float | None) -> float:
        """How long to wait now.

        Args:
            worked_s: How long the model could be used; None when `setup()` never returned.
        """
        if worked_s is not None and worked_s >= MAX_S:
            self._failures = 0
        if worked_s is None:
            self._failures = max(1, self._failures)
        wait = 0.0 if self._failures == 0 else self._first_s * 2 ** (self._failures - 1)
        self._failures = min(self._failures + 1, 32)
        return min(wait, MAX_S)
