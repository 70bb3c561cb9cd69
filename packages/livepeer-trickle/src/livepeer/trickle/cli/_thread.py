"""Blocking calls off the loop, on a thread that does not keep the process from ending."""

from __future__ import annotations

import asyncio
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, ParamSpec, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
T = TypeVar("T")


class BlockingThread:
    """Makes blocking calls, one at a time, on a daemon thread of its own.

    A read from a terminal or a write to a pipe may block for ever; the loop's own executor would
    wait for it at the end of the program.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._calls: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="livepeer trickle I/O", daemon=True)

    async def call(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` there, and wait for what it returns.

        Raises:
            OSError: The function's; it must raise nothing else.
        """
        future: asyncio.Future[T] = self._loop.create_future()

        def make() -> None:
            try:
                settle = partial(_settle, future, function(*args, **kwargs))
            except OSError as error:
                settle = partial(_fail, future, error)
            self._loop.call_soon_threadsafe(settle)

        self._calls.put(make)
        return await future

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._calls.put(None)

    def _work(self) -> None:
        while (make := self._calls.get()) is not None:
            try:
                make()
            except RuntimeError:
                # The loop is closed: nobody waits any more.
                return


def _settle(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[T], error: OSError) -> None:
    if not future.done():
        future.set_exception(error)
