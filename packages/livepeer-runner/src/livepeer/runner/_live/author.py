"""The author's thread: every hook of a pipeline runs on it, one at a time and in order."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from concurrent.futures import Future
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from livepeer.runner._stream import CURRENT
from livepeer.runner.errors import describe
from livepeer.trickle.media import AudioFrame, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.stage import Answer
    from livepeer.runner._stream import Stream

_ROOM_POLL_S = 0.002


class HookRaised(Exception):
    """What a hook raised, whatever it was: an exit or a cancellation of the author's is no order
    to us.

    Attributes:
        error: As it was raised.
    """

    def __init__(self, error: BaseException) -> None:
        super().__init__(describe(error))
        self.error = error


@dataclass(frozen=True, slots=True)
class FrameCall:
    """One frame on its way through a hook.

    Attributes:
        context: A copy of that of `context_of` the stream, in which the hook runs.
        hook: Gets the answer's source.
        answer: Once it is finished the hook is not called, and a generator is closed.
        deliver: Called on the author's thread with what the hook returned, or with each item that
            it yielded; what it raises ends the hook as if that had raised.
        finish: Called on the author's thread when the hook is done, with what it raised.
        limit_s: After so long the thread is `overdue`.
    """

    context: Context
    hook: Callable[..., Any]
    answer: Answer
    deliver: Callable[[object], None]
    finish: Callable[[BaseException | None], None]
    limit_s: float

    def deliver_each(self, items: Iterator[object]) -> None:
        """Of a generator; not faster than they are taken, and no more once nobody wants them."""
        for item in items:
            if self.answer.done:
                break
            self.deliver(item)
            self.answer.flush()
            while self.answer.full and not self.answer.done:
                time.sleep(_ROOM_POLL_S)
        if inspect.isgenerator(items):
            items.close()

    async def deliver_later(self, result: Any) -> None:
        """Of a coroutine, or of an async generator."""
        if inspect.isawaitable(result):
            result = await result
        if isinstance(result, AsyncIterator):
            items = cast("AsyncIterator[object]", result)
            try:
                async for item in items:
                    self.deliver(item)
                    self.answer.flush()
                    while self.answer.full:  # noqa: ASYNC110 - a thread takes them
                        await asyncio.sleep(_ROOM_POLL_S)
            finally:
                if inspect.isasyncgen(items):
                    await items.aclose()
        elif isinstance(result, Iterator):
            self.deliver_each(cast("Iterator[object]", result))
        else:
            self.deliver(result)


class AuthorThread:
    """An event loop of the author's own, on a thread of its own.

    A hook that blocks holds up the author's other hooks and nothing else. What an async hook
    leaves behind (a client, a lock) belongs to this loop and is there for the next one.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._closing = False
        self._due: float | None = None
        # A daemon: a hook that never returns must not keep the process.
        self._thread = threading.Thread(target=self._run, name=f"author {name}", daemon=True)
        self._thread.start()

    @property
    def overdue(self) -> bool:
        """Whether a hook that is not async holds the thread beyond its limit."""
        due = self._due
        return due is not None and time.monotonic() > due

    def submit(
        self,
        stream: Stream | None,
        hook: Callable[..., Any],
        *args: object,
        limit_s: float | None = None,
    ) -> Future[Any]:
        """Run a hook after those before it; safe from any thread.

        The future has what the hook returned, or `HookRaised`; cancelling it does not stop a hook
        that began.

        Args:
            stream: For which it runs.
            hook: Any callable.
            args: What it gets.
            limit_s: After so long it is `overdue`.
        """
        future: Future[Any] = Future()
        context = context_of(stream)
        try:
            self._loop.call_soon_threadsafe(self._begin, context, future, hook, args, limit_s)
        except RuntimeError:  # the loop is closed
            future.set_exception(RuntimeError("the pipeline was closed"))
        return future

    async def call(
        self,
        stream: Stream | None,
        hook: Callable[..., Any],
        *args: object,
        limit_s: float | None = None,
    ) -> Any:
        """Run a hook and wait for it from another loop."""
        return await asyncio.wrap_future(self.submit(stream, hook, *args, limit_s=limit_s))

    def ask(self, call: FrameCall) -> None:
        """Run a frame hook after those before it; safe from any thread."""
        try:
            self._loop.call_soon_threadsafe(self._ask, call)
        except RuntimeError:  # the loop is closed
            call.finish(RuntimeError("the pipeline was closed"))

    def close(self, timeout_s: float) -> bool:
        """End the loop and wait for the thread; False when a hook holds it beyond the time."""
        self._closing = True
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            while not self._closing:  # a hook may have stopped the loop
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
        self,
        context: Context,
        future: Future[Any],
        hook: Callable[..., Any],
        args: tuple[Any, ...],
        limit_s: float | None,
    ) -> None:
        if not future.set_running_or_notify_cancel():
            return
        try:
            self._due = None if limit_s is None else time.monotonic() + limit_s
            result = context.run(hook, *args)
        except BaseException as error:  # noqa: BLE001 - the author's hook: reported to who waits
            future.set_exception(HookRaised(error))
            return
        finally:
            self._due = None
        if not inspect.isawaitable(result):
            future.set_result(result)
            return
        task = self._loop.create_task(_settled(result), context=context)
        task.add_done_callback(lambda done: _transfer(done, future))

    def _ask(self, call: FrameCall) -> None:
        if call.answer.done:
            return
        try:
            self._due = time.monotonic() + call.limit_s
            result = call.context.run(call.hook, call.answer.source)
            if result is None or isinstance(result, (VideoFrame, AudioFrame)):
                call.deliver(result)  # first, because the tests for interfaces below are slow
            elif isinstance(result, Iterator):
                call.context.run(call.deliver_each, cast("Iterator[object]", result))
            elif isinstance(result, (Awaitable, AsyncIterator)):
                self._await(call, cast("object", result))
                return
            else:
                call.deliver(result)
        except BaseException as error:  # noqa: BLE001 - the author's hook: reported to who waits
            call.finish(error)
        else:
            call.finish(None)
        finally:
            self._due = None

    def _await(self, call: FrameCall, result: object) -> None:
        task = self._loop.create_task(_caught(call.deliver_later(result)), context=call.context)
        task.add_done_callback(lambda done: call.finish(_failure(done)))

        def give_up() -> None:
            if not task.done() and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(task.cancel)

        call.answer.add_done_callback(give_up)


def context_of(stream: Stream | None) -> Context:
    """The caller's context, in which hooks run for this stream."""
    context = copy_context()
    context.run(CURRENT.set, stream)
    return context


async def _settled(awaitable: Any) -> Any:
    return await _caught(awaitable)


async def _caught(awaitable: Any) -> Any:
    """The result; what an exit or a cancellation of the author's own would do to the loop, and what
    no future can hold, becomes `HookRaised`."""
    try:
        return await awaitable
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise HookRaised(error) from error
    except BaseException as error:
        raise HookRaised(error) from error


def _failure(task: asyncio.Task[Any]) -> BaseException | None:
    if task.cancelled():
        return RuntimeError("the hook was cancelled")
    error = task.exception()
    return error.error if isinstance(error, HookRaised) else error


def _transfer(task: asyncio.Task[Any], future: Future[Any]) -> None:
    if (error := _failure(task)) is not None:
        future.set_exception(HookRaised(error))
    else:
        future.set_result(task.result())
