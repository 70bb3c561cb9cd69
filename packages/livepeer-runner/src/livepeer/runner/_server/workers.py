"""The threads on which the author's blocking code runs."""

from __future__ import annotations

import asyncio
import contextvars
import queue
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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
            threading.Thread(target=self._work, name=f"{name}-{i}", daemon=True)
            for i in range(threads)
        ]
        self._started = False

    async def run(self, function: Callable[[], T]) -> T:
        """Call `function` on a thread and wait for what it returns.

        Cancelling the wait does not interrupt the call, which runs to its end.

        Raises:
            RuntimeError: The call raised `StopIteration` or `SystemExit`, chained as the cause.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        context = contextvars.copy_context()

        def job() -> None:
            try:
                value = context.run(function)
            except (StopIteration, SystemExit) as exc:
                error = RuntimeError(f"{type(exc).__name__} was raised: {exc}")
                error.__cause__ = exc
                _call(loop, _settle, future, error)
            except Exception as exc:  # noqa: BLE001 - the author's hook; the waiter gets it
                _call(loop, _settle, future, exc)
            else:
                _call(loop, _deliver, future, value)

        self._start()
        self._jobs.put(job)
        return await future

    async def close(self, timeout_s: float) -> bool:
        """End the threads after the jobs that wait; False when one is still busy after the time."""
        if not self._started:
            return True
        for _ in self._threads:
            self._jobs.put(None)
        deadline = asyncio.get_running_loop().time() + timeout_s
        while any(thread.is_alive() for thread in self._threads):
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.005)
        return True

    def _start(self) -> None:
        if not self._started:
            self._started = True
            for thread in self._threads:
                thread.start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


def _deliver(future: asyncio.Future[T], value: T) -> None:
    if not future.done():
        future.set_result(value)


def _settle(future: asyncio.Future[T], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def _call(loop: asyncio.AbstractEventLoop, function: Callable[..., None], *args: object) -> None:
    # The loop may be gone when a call outlived the server; then nobody waits for it.
    if not loop.is_closed():
        loop.call_soon_threadsafe(function, *args)
