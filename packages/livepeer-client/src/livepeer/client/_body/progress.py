"""How far a call is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Phase: TypeAlias = Literal["uploading", "waiting", "receiving"]


@dataclass(frozen=True, slots=True)
class CallProgress:
    """How far a call is.

    A call that is sent again, to another orchestrator or with a payment, begins anew.

    Attributes:
        phase: `uploading` the payload, `waiting` for the first byte of the answer, `receiving`.
        bytes: What went over in this phase so far; 0 while waiting.
        total: Of how many in all; None where that is not known.
    """

    phase: Phase
    bytes: int = 0
    total: int | None = None


OnProgress: TypeAlias = Callable[[CallProgress], None]
"""Is told of progress, on the loop that the call runs on; it must not block."""


class HookFailed(Exception):
    """Carries what `on_progress` raised past those who would take it for the network's.

    Attributes:
        error: It.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error
