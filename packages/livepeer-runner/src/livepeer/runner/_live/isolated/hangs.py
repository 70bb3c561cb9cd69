"""Whether the model hangs: how long a frame has been with its hook, fairly counted."""

from __future__ import annotations

from collections import deque
from typing import Final

_LAST: Final = 4096


class Stopwatch:
    """Counts a frame's time with its hook without that in which other hooks ran.

    While `on_params_update` of one session loads a model, the frames of all may have to wait for
    it, and not because theirs hangs. But hooks that run again and again are no excuse for ever: no
    more is taken off than the longest of them ran, or the limit if that is longer.

    Args:
        limit_s: How long a frame may be with its hook.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._running: set[int] = set()
        self._since = 0.0
        self._runs: deque[tuple[float, float]] = deque(maxlen=_LAST)

    def begin(self, hook: int, now: float) -> None:
        """A hook that is not for frames runs."""
        if not self._running:
            self._since = now
        self._running.add(hook)

    def end(self, hook: int, now: float) -> None:
        """It has returned, or nobody waits for it any more. Idempotent."""
        if hook in self._running:
            self._running.remove(hook)
            if not self._running:
                self._runs.append((self._since, now))

    def overdue(self, since: float, now: float) -> bool:
        """Whether the oldest frame, asked `since`, is with its hook for too long."""
        while self._runs and self._runs[0][1] <= since:
            self._runs.popleft()
        runs = [*self._runs, (self._since, now)] if self._running else self._runs
        took = [end - max(begin, since) for begin, end in runs]
        excused = min(sum(took), max(self._limit_s, *took)) if took else 0.0
        return now - since - excused > self._limit_s
