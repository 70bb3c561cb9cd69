"""Deadlines that cost little where hardly any is ever reached."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from types import TracebackType

LOOK_S: Final = 1.0


class Deadlines:
    """As `asyncio.timeout`, for many at once: most are over long before their time.

    A timer of the loop for each is a good part of what a small call costs. Here one timer looks at
    them all, and those that may end before it looks again get their own; so each ends on time.

    Args:
        look_s: Seconds until it looks again.
    """

    def __init__(self, *, look_s: float = LOOK_S) -> None:
        self._look_s = look_s
        self._distant: dict[Deadline, None] = {}
        self._look: asyncio.TimerHandle | None = None

    def add(self, deadline: Deadline, delay_s: float, loop: asyncio.AbstractEventLoop) -> None:
        """Look after a deadline that is `delay_s` away."""
        if delay_s <= 2 * self._look_s:
            deadline.arm(loop)
            return
        self._distant[deadline] = None
        if self._look is None:
            self._look = loop.call_later(self._look_s, self._look_at_all, loop)

    def remove(self, deadline: Deadline) -> None:
        """Look after it no more."""
        self._distant.pop(deadline, None)

    def _look_at_all(self, loop: asyncio.AbstractEventLoop) -> None:
        near = loop.time() + 2 * self._look_s
        for deadline in [*self._distant]:
            if deadline.when <= near:
                del self._distant[deadline]
                deadline.arm(loop)
        again = loop.call_later(self._look_s, self._look_at_all, loop) if self._distant else None
        self._look = again


class Deadline:
    """What raises TimeoutError when its time has passed while a task is inside of it.

    Args:
        deadlines: Who looks after it.
        delay_s: Seconds from entering on, None for never.

    Attributes:
        when: By the loop's clock, once it was entered.
    """

    __slots__ = ("_cancelling", "_deadlines", "_delay_s", "_passed", "_task", "_timer", "when")

    def __init__(self, deadlines: Deadlines, delay_s: float | None) -> None:
        self._deadlines = deadlines
        self._delay_s = delay_s
        self._passed = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        if self._delay_s is None:
            return
        loop = asyncio.get_running_loop()
        task: asyncio.Task[Any] | None = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline is for a task")
        self._task = task
        self._cancelling = task.cancelling()
        self.when = loop.time() + self._delay_s
        self._deadlines.add(self, self._delay_s, loop)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._deadlines.remove(self)
        if self._timer is not None:
            self._timer.cancel()
        # Somebody else may have cancelled the task as well: then it stays cancelled.
        if (
            self._passed
            and self._task.uncancel() <= self._cancelling
            and kind is asyncio.CancelledError
        ):
            raise TimeoutError from error

    def arm(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take a timer of its own."""
        self._timer = loop.call_at(self.when, self._pass)

    def _pass(self) -> None:
        self._passed = True
        self._task.cancel()
