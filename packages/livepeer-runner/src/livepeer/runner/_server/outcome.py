"""What became of a request, for who sees only that it has ended."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(slots=True)
class Outcome:
    """How one request went.

    Attributes:
        problem: The `type` of the problem that was answered, in an event of a stream too; None
            where there was none.
    """

    problem: str | None = None


OUTCOME: ContextVar[Outcome | None] = ContextVar("livepeer_outcome", default=None)
"""Of the request that is answered; tasks made for it share the object."""
