"""The one way in which a call ends before its work is done: nobody waits for it any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from livepeer.runner.errors import DeadlinePassed
from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from starlette.types import Receive

    from livepeer.runner._context import Call

LOOK_AFTER_S: Final = 0.02
"""When it is first looked whether the caller is still there. Most calls are over by then, and to
look costs more than many of them."""


class Ending:
    """Ends the call that the current task works for, when its caller has left or its time is over.

    As an async context. In both cases the call is told that it is cancelled, and the task is; what
    the task awaits comes back when the work has really ended. The slot is taken until then. When
    the time is over, the caller has had his answer at once.

    Args:
        call: What the author's code can ask.
        receive: Tells, once the body is read, when the caller leaves; nobody else may read it.
        timeout_s: The time that the call has; 0 for no limit.
        tell: Answers the caller whose time is over.
    """

    def __init__(
        self,
        call: Call,
        receive: Receive,
        timeout_s: float,
        tell: Callable[[DeadlinePassed], Coroutine[None, None, None]],
    ) -> None:
        self._call = call
        self._receive = receive
        self._timeout_s = timeout_s
        self._tell = tell
        self._timers: list[asyncio.TimerHandle] = []
        self._watcher: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._given_up = False

    async def __aenter__(self) -> Ending:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._timers.append(self._loop.call_later(LOOK_AFTER_S, self._look))
        if self._timeout_s:
            self._timers.append(self._loop.call_later(self._timeout_s, self._late))
        return self

    async def __aexit__(self, _kind: object, error: BaseException | None, *_: object) -> bool:
        """Let go of everything; a cancellation that came from here goes no further."""
        for timer in self._timers:
            timer.cancel()
        ours = self._given_up and self._task.uncancel() == 0
        if self._watcher is not None:
            await cancel_and_wait(self._watcher)
        if self._telling is not None:
            await self._telling
        return ours and isinstance(error, asyncio.CancelledError)

    def _look(self) -> None:
        self._watcher = self._loop.create_task(self._listen())

    async def _listen(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._give_up()

    def _late(self) -> None:
        if not self._given_up:
            late = DeadlinePassed(
                f"the call took longer than the {self._timeout_s:g} s it may take"
            )
            self._telling = self._loop.create_task(self._tell(late))
            self._give_up()

    def _give_up(self) -> None:
        if self._given_up:
            return
        self._given_up = True
        self._call.cancel()
        self._task.cancel()
