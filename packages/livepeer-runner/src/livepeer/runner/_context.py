"""What the author's code can ask about the call that it runs for, on whichever thread it runs."""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Call:
    """One request that is answered, or `setup()`.

    Args:
        request_id: As the caller gave it, or as it was made here; None in `setup()`.
        report: Takes the progress of `setup()`: a text, and from 0 to 1 how far it is, if known.
    """

    __slots__ = ("cancelled", "report", "request_id")

    def __init__(
        self,
        request_id: str | None = None,
        report: Callable[[str, float | None], None] | None = None,
    ) -> None:
        self.request_id = request_id
        self.report = report
        # One attribute that only ever becomes true: any thread may read and set it.
        self.cancelled = False

    def cancel(self) -> None:
        """Nobody waits for it: its caller left, or its time is over; from any thread."""
        self.cancelled = True


CURRENT: ContextVar[Call | None] = ContextVar("livepeer_call", default=None)
"""The call of the running code; copied into threads that work for it."""


class Context:
    """`livepeer.runner.context`. Outside a call every question has an answer that means nothing."""

    @property
    def request_id(self) -> str | None:
        """What names the request in logs and answers; None outside one."""
        call = CURRENT.get()
        return None if call is None else call.request_id

    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the caller left, or the time is over.

        Async code is cancelled and generators are closed; a sync `predict()` that takes long asks
        between two steps, and returns.
        """
        call = CURRENT.get()
        return call is not None and call.cancelled

    def progress(self, message: str, fraction: float | None = None) -> None:
        """Tell how far `setup()` is; `/health` and the log show it.

        Args:
            message: What it does now.
            fraction: How much of all is done, from 0 to 1; None where nobody knows.
        """
        call = CURRENT.get()
        if call is not None and call.report is not None:
            call.report(message, fraction)


context = Context()
"""The one that authors import."""
