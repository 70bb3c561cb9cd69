"""A clock that a test moves."""

from __future__ import annotations

import time


class FakeClock:
    """Stands still until it is moved. Give one to a signer and an orchestrator, and nothing waits.

    Attributes:
        now: Unix seconds; begins at the real time.
    """

    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds
