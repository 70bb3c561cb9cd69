"""How far `setup()` is, as the author tells."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)
_MAX_TEXT: Final = 200


class Step(NamedTuple):
    """What `setup()` told last."""

    message: str
    fraction: float | None


class Progress:
    """Takes what `context.progress()` tells, from any thread.

    Args:
        log_interval_s: The least time between two lines of the log that say the same in other
            fractions.
        clock: In seconds.
    """

    def __init__(
        self, *, log_interval_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log_interval_s = log_interval_s
        self._clock = clock
        self._logged: tuple[str, float] = ("", 0.0)
        self.step: Step | None = None
        """The last one; None while there is none."""

    def report(self, message: str, fraction: float | None = None) -> None:
        """Remember it, and log it unless the last line says the same."""
        step = Step(str(message)[:_MAX_TEXT], _share(fraction))
        self.step = step
        text, at = self._logged
        now = self._clock()
        if step.message != text or now - at >= self._log_interval_s or step.fraction == 1:
            self._logged = step.message, now
            done = "" if step.fraction is None else f" ({step.fraction:.0%})"
            _log.info("setup: %s%s", step.message, done)


def _share(fraction: float | None) -> float | None:
    # A NaN too: it is neither above nor below.
    if fraction is None or not fraction >= 0:
        return None
    return min(1.0, float(fraction))
