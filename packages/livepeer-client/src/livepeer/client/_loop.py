"""An event loop in a thread of its own, for callers that have none."""

from __future__ import annotations

import asyncio
import concurrent.futures.thread as pools
import threading
import weakref
from concurrent.futures import Future, wait
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator
    from contextlib import AbstractAsyncContextManager

T = TypeVar("T")


class LoopThread:
    """Runs coroutines on a loop of its own, which no loop of the caller's thread disturbs.

    It is closed at the latest when the program ends: after the main thread and those that used
    it, and while work can still be given to threads.

    Args:
        last: What is run on the loop when it is closed.

    Attributes:
        closed: Nothing more can be run.
    """

    def __init__(self, last: Callable[[], Coroutine[object, object, object]]) -> None:
        self.closed = False
        self._last = last
        self._lock = threading.Lock()
        self._users: weakref.WeakSet[threading.Thread] = weakref.WeakSet()
        self._tasks: dict[Future[Any], asyncio.Task[Any]] = {}
        self._given_up: set[asyncio.Task[Any]] = set()
        self._iterated: set[AsyncGenerator[Any]] = set()
        self._over: Future[None] = Future()
        self._started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        # A daemon: a program that forgets to close it ends all the same.
        self._thread = threading.Thread(target=self._live, name="livepeer-client", daemon=True)
        self._thread.start()
        self._loop, self._end = self._started.result()
        _living.add(self)

    def run(self, work: Coroutine[object, object, T]) -> T:
        """Run it and wait for what it gives; interrupted, it is cancelled and waited for.

        Raises:
            RuntimeError: The loop is closed, or is while it runs; or this is its own thread,
                which cannot wait.
        """
        future: Future[T] = Future()
        with self._lock:
            own = threading.current_thread() is self._thread
            if own or self.closed:
                work.close()
                why = "a callback must not wait for the client itself" if own else "it is closed"
                raise RuntimeError(f"the client cannot be used: {why}")
            self._users.add(threading.current_thread())
            self._loop.call_soon_threadsafe(self._start, work, future)
        try:
            return future.result()
        finally:
            if not future.done():
                # Ctrl-C, most likely: what runs must not outlive the call that waits for it.
                self._loop.call_soon_threadsafe(self._cancel, future)
                wait([future])

    def iterate(self, items: AsyncGenerator[T]) -> Generator[T]:
        """Its items, each when it is there; it is closed when the iteration ends or is given up."""
        self._iterated.add(items)
        try:
            while True:
                try:
                    item = self.run(_next(items))
                except StopAsyncIteration:
                    return
                yield item
        except GeneratorExit:
            self._give_up(items.aclose)
            raise
        finally:
            self._iterated.discard(items)

    @contextmanager
    def entered(self, manager: AbstractAsyncContextManager[T]) -> Generator[T]:
        """Enter it on the loop, and leave it there; closing the loop leaves it as well."""
        value = self.run(manager.__aenter__())
        try:
            yield value
        except GeneratorExit:
            self._give_up(lambda: manager.__aexit__(None, None, None))
            raise
        except BaseException as error:
            leaving = manager.__aexit__(type(error), error, error.__traceback__)
            if not self.run_unless_closed(leaving):
                raise
        else:
            self.run_unless_closed(manager.__aexit__(None, None, None))

    def run_unless_closed(self, work: Coroutine[object, object, T]) -> T | None:
        """As `run`, for what closing the loop does as well; None when that is done."""
        if self.closed:
            work.close()
            return None
        return self.run(work)

    def close(self) -> None:
        """Run the last, cancel what still runs, and end the loop and its thread; done once.

        Raises:
            Exception: What the last raised.
        """
        with self._lock:
            if self.closed:
                return
            self.closed = True
            self._loop.call_soon_threadsafe(self._end.set)
        if threading.current_thread() is not self._thread:
            self._thread.join()
            self._over.result()

    def close_at_exit(self) -> None:
        """Close it when the threads that use it have ended; they outlive the main thread."""
        for user in tuple(self._users):
            # The threads of a pool end only when their pool does.
            if not user.daemon and user not in _pooled() and user is not threading.current_thread():
                user.join()
        self.close()

    def _live(self) -> None:
        # Leaving the runner cancels what still runs, so that nobody waits for ever.
        try:
            with asyncio.Runner() as runner:
                runner.run(self._until_over(runner.get_loop()))
        except BaseException as error:  # noqa: BLE001 - the thread's edge: `close` raises it
            self._over.set_exception(error)
        else:
            self._over.set_result(None)

    async def _until_over(self, loop: asyncio.AbstractEventLoop) -> None:
        end = asyncio.Event()
        self._started.set_result((loop, end))
        await end.wait()
        # From the outermost inwards; the loop itself would close all generators at once.
        for items in tuple(self._iterated):
            with suppress(RuntimeError):  # another thread waits for its next item
                await items.aclose()
        await self._last()

    def _start(self, work: Coroutine[object, object, T], future: Future[T]) -> None:
        task = self._loop.create_task(work)
        self._tasks[future] = task

        def over(task: asyncio.Task[T]) -> None:
            del self._tasks[future]
            error = asyncio.CancelledError() if task.cancelled() else task.exception()
            if error is None:
                future.set_result(task.result())
            elif self.closed and not isinstance(error, StopAsyncIteration):
                cut = RuntimeError("the client was closed while this ran")
                cut.__cause__ = error
                future.set_exception(cut)
            else:
                future.set_exception(error)

        task.add_done_callback(over)

    def _cancel(self, future: Future[Any]) -> None:
        if (task := self._tasks.get(future)) is not None:
            task.cancel()

    def _give_up(self, close: Callable[[], Coroutine[object, object, object]]) -> None:
        """Have it closed soon.

        It neither waits nor locks: the garbage collector may call it at any time, in any thread,
        also in one that holds the lock.
        """
        with suppress(RuntimeError):  # a closed loop has closed it, too
            self._loop.call_soon_threadsafe(self._close_soon, close)

    def _close_soon(self, close: Callable[[], Coroutine[object, object, object]]) -> None:
        task = self._loop.create_task(_quietly(close()))
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)


class Life:
    """From the first use of something asynchronous to its end, on a loop of its own.

    Args:
        served: Opened at the first use.
    """

    def __init__(self, served: AbstractAsyncContextManager[object, None]) -> None:
        self._served = served
        self._lock = threading.Lock()
        self._loop: LoopThread | None = None
        self._over = False

    def loop(self) -> LoopThread:
        """The loop on which it is open.

        Raises:
            RuntimeError: It was closed.
            Exception: It cannot be opened.
        """
        with self._lock:
            if self._over:
                raise RuntimeError("the client is closed")
            if self._loop is None:
                loop = LoopThread(partial(self._served.__aexit__, None, None, None))
                try:
                    loop.run(self._served.__aenter__())
                except BaseException:
                    loop.close()
                    raise
                self._loop = loop
            return self._loop

    def end(self) -> None:
        """Close it, if it was opened, and never open it again."""
        with self._lock:
            loop, self._over = self._loop, True
        if loop is not None:
            loop.close()

    def run_unless_over(self, work: Coroutine[Any, Any, object]) -> None:
        """Run what closing it does as well."""
        if self._loop is None:
            work.close()
        else:
            self._loop.run_unless_closed(work)


async def _next(items: AsyncIterator[T]) -> T:
    return await anext(items)


async def _quietly(work: Coroutine[object, object, object]) -> None:
    # Nobody is left to be told.
    with suppress(Exception):
        await work


_living: weakref.WeakSet[LoopThread] = weakref.WeakSet()


def _pooled() -> set[threading.Thread]:
    return set(cast("dict[threading.Thread, object]", vars(pools)["_threads_queues"]))


def _close_all() -> None:
    for each in tuple(_living):
        with suppress(Exception):  # the program ends; a client has logged what it left
            each.close_at_exit()


# What `atexit` calls comes after all thread pools were shut down, and nothing can be resolved or
# connected without one. These are called before, the last one first: hence the import of the pools.
cast("Callable[[Callable[[], None]], None]", vars(threading)["_register_atexit"])(_close_all)
