"""The threads on which the author's blocking code runs."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from livepeer.runner._server.raised import as_error

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Workers:
    """A bounded pool of daemon threads.

    It differs from the standard pool in two ways. A thread that is stuck in native code does not
    keep the process from ending. And whatever the author's code raises arrives at the caller,
    `StopIteration` (which an asyncio future refuses, so that its waiter would wait for ever) and
    `SystemExit` (which would end the server) included.
    """

    def __init__(self, threads: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, args=(i,), name=f"{name}-{i}", daemon=True)
            for i in range(threads)
        ]
        self._started = False
        self._begun = 0
        self._ended = [0] * threads  # by each thread, which alone writes its own

    async def run(
        self, function: Callable[[], T], *, cancel: Callable[[], None] | None = None
    ) -> T:
        """Call `function` on a thread and wait for what it returns.

        Cancelling the wait does not interrupt the call, which runs to its end.

        Args:
            function: What to call.
            cancel: Is called when the wait is cancelled, which then comes back when the call has
                ended; cancelled once more, it comes back at once.

        Raises:
            RuntimeError: The call raised what is no `Exception`, or `StopIteration`, chained as
                the cause.
        """
        job = _Job(function)
        if not self._started:
            self._start()
        self._begun += 1
        self._jobs.put(job)
        try:
            return await job.outcome
        except asyncio.CancelledError:
            if cancel is not None:
                cancel()
                await job.end()
            raise
        finally:
            job.forget()

    async def hook(self, hook: Callable[[], object]) -> object:
        """Call a hook of the author's, on the loop where it is async, and give what it gives."""
        if inspect.iscoroutinefunction(hook):
            return await hook()
        given = await self.run(hook)
        # A decorator around an async hook may hand on what that gives.
        return await given if inspect.isawaitable(given) else given

    async def rest(self, timeout_s: float) -> int:
        """Wait until no call runs or waits; how many still do after the time."""
        await _until(lambda: self._begun == sum(self._ended), timeout_s)
        return self._begun - sum(self._ended)

    async def close(self, timeout_s: float) -> bool:
        """End the threads after the jobs that wait; False when one is still busy after the time."""
        if not self._started:
            return True
        for _ in self._threads:
            self._jobs.put(None)
        return await _until(
            lambda: not any(thread.is_alive() for thread in self._threads), timeout_s
        )

    def _start(self) -> None:
        self._started = True
        for thread in self._threads:
            thread.start()

    def _work(self, number: int) -> None:
        while (job := self._jobs.get()) is not None:
            job()
            self._ended[number] += 1
            # What it was given, and gave, is not kept until the next one comes.
            del job


async def _until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Wait for what comes true on threads; whether it did within the time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while not condition():  # an event would cost each call, for the end alone
        if loop.time() >= deadline:
            return False
        await asyncio.sleep(0.005)
    return True


class _Job(Generic[T]):
    """One call: made and awaited on the loop, made true on a thread."""

    __slots__ = ("_context", "_function", "_loop", "_over", "outcome")

    def __init__(self, function: Callable[[], T]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self._loop = asyncio.get_running_loop()
        self._over = False
        self.outcome: asyncio.Future[T] = self._loop.create_future()

    def __call__(self) -> None:
        """Make the call, on a thread."""
        try:
            value = self._context.run(self._function)
        except BaseException as exc:  # noqa: BLE001 - the author's hook; the waiter gets it
            self._tell(self._fail, as_error(exc))
        else:
            self._tell(self._succeed, value)

    async def end(self) -> None:
        """Wait until the call, whose outcome nobody wants, has ended."""
        if self._over:
            return
        self.outcome = self._loop.create_future()
        try:
            await self.outcome
        except Exception as exc:  # noqa: BLE001 - the author's hook; nobody else would hear
            _log.error("a call that nobody waits for ended badly", exc_info=exc)

    def forget(self) -> None:
        """Let go of what came out, if the call has ended.

        An error holds the frames that it came through, this job in them and all that the call was
        given: held by the job in turn, it would wait for the collector.
        """
        if self._over:
            del self.outcome

    def _succeed(self, value: T) -> None:
        self._over = True
        if not self.outcome.done():
            self.outcome.set_result(value)

    def _fail(self, error: Exception) -> None:
        self._over = True
        if not self.outcome.done():
            self.outcome.set_exception(error)

    def _tell(self, told: Callable[..., None], what: object) -> None:
        # The loop may be gone when a call outlived the server; then nobody waits for it.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(told, what)
