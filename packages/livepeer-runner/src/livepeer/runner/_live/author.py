"""The author's thread: every hook of a pipeline runs on it, one at a time and in order."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, cast

from livepeer.runner._stream import CURRENT
from livepeer.trickle.media import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.stage import Answer
    from livepeer.runner._stream import Stream


class AuthorThread:
    """An event loop of the author's own, on a thread of its own.

    A hook that blocks holds up the author's other hooks and nothing else. What an async hook
    leaves behind (a client, a lock) belongs to this loop and is there for the next one.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        # A daemon: a hook that never returns must not keep the process.
        self._thread = threading.Thread(target=self._run, name=f"author {name}", daemon=True)
        self._thread.start()

    def submit(self, stream: Stream | None, hook: Callable[..., Any], *args: object) -> Future[Any]:
        """Run a hook after those before it; safe from any thread.

        The future has what the hook returned or raised; cancelling it does not stop a hook that
        began.
        """
        future: Future[Any] = Future()
        try:
            self._loop.call_soon_threadsafe(self._begin, context_of(stream), future, hook, args)
        except RuntimeError:  # the loop is closed
            future.set_exception(RuntimeError("the pipeline was closed"))
        return future

    async def call(self, stream: Stream | None, hook: Callable[..., Any], *args: object) -> Any:
        """Run a hook and wait for it from another loop."""
        return await asyncio.wrap_future(self.submit(stream, hook, *args))

    def ask(
        self,
        context: Context,
        hook: Callable[..., Any],
        answer: Answer,
        deliver: Callable[[object], None],
        finish: Callable[[BaseException | None], None],
    ) -> None:
        """Run a frame hook after those before it; safe from any thread.

        Args:
            context: That of `context_of` the stream; the hook runs in a copy.
            hook: Gets the answer's source.
            answer: When it is finished before the hook began, the hook is not called.
            deliver: Called on the author's thread with what the hook returned, or with each item
                that it yielded; what it raises ends the hook as if that had raised.
            finish: Called on the author's thread when the hook is done, with what it raised.
        """
        try:
            self._loop.call_soon_threadsafe(
                self._ask, context.copy(), hook, answer, deliver, finish
            )
        except RuntimeError:  # the loop is closed
            finish(RuntimeError("the pipeline was closed"))

    def close(self, timeout_s: float) -> bool:
        """End the loop and wait for the thread; False when a hook holds it beyond the time."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            left = asyncio.all_tasks(self._loop)
            for task in left:
                task.cancel()
            if left:
                self._loop.run_until_complete(asyncio.wait(left, timeout=1.0))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    def _begin(
        self, context: Context, future: Future[Any], hook: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = context.run(hook, *args)
        except BaseException as error:  # noqa: BLE001 - the author's hook: reported to who waits
            future.set_exception(error)
            return
        if not inspect.isawaitable(result):
            future.set_result(result)
            return
        task = self._loop.create_task(_settled(result), context=context)
        task.add_done_callback(lambda done: _transfer(done, future))

    def _ask(
        self,
        context: Context,
        hook: Callable[..., Any],
        answer: Answer,
        deliver: Callable[[object], None],
        finish: Callable[[BaseException | None], None],
    ) -> None:
        if answer.done:
            return
        try:
            result = context.run(hook, answer.source)
            if result is None or isinstance(result, (VideoFrame, AudioFrame)):
                deliver(result)  # first, because the tests for interfaces below are slow
            elif isinstance(result, Iterator):
                context.run(_deliver_each, cast("Iterator[object]", result), deliver)
            elif isinstance(result, (Awaitable, AsyncIterator)):
                task = self._loop.create_task(_delivered(result, deliver), context=context)
                task.add_done_callback(lambda done: finish(_failure(done)))
                return
            else:
                deliver(result)
        except BaseException as error:  # noqa: BLE001 - the author's hook: reported to who waits
            finish(error)
        else:
            finish(None)


def context_of(stream: Stream | None) -> Context:
    """The caller's context, in which hooks run for this stream."""
    context = copy_context()
    context.run(CURRENT.set, stream)
    return context


def _deliver_each(items: Iterator[object], deliver: Callable[[object], None]) -> None:
    for item in items:
        deliver(item)


async def _delivered(result: Any, deliver: Callable[[object], None]) -> None:
    if inspect.isawaitable(result):
        result = await result
    if isinstance(result, AsyncIterator):
        async for item in cast("AsyncIterator[object]", result):
            deliver(item)
    elif isinstance(result, Iterator):
        _deliver_each(cast("Iterator[object]", result), deliver)
    else:
        deliver(result)


async def _settled(awaitable: Any) -> Any:
    return await awaitable


def _failure(task: asyncio.Task[Any]) -> BaseException | None:
    return RuntimeError("the hook was cancelled") if task.cancelled() else task.exception()


def _transfer(task: asyncio.Task[Any], future: Future[Any]) -> None:
    if (error := _failure(task)) is not None:
        future.set_exception(error)
    else:
        future.set_result(task.result())
