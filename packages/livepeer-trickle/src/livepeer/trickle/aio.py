"""Tasks that end together, and programs that end by a signal; for all three distributions."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


def start(coroutine: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
    """Make a task that runs up to its first wait at once, where Python can (3.12)."""
    if sys.version_info >= (3, 12):
        loop = asyncio.get_running_loop()
        return asyncio.Task(coroutine, loop=loop, name=name, eager_start=True)
    return asyncio.create_task(coroutine, name=name)


async def cancel_and_wait(*tasks: asyncio.Task[Any] | None) -> None:
    """Cancel tasks and wait until each has ended; what they raise is not ours to report.

    Safe on tasks that ended before, and itself cancellable.
    """
    live = [task for task in tasks if task is not None]
    for task in live:
        task.cancel()
    if live:
        await asyncio.wait(live)
    for task in live:
        # Retrieved, so that the loop does not report an exception nobody waits for.
        if not task.cancelled():
            task.exception()


@contextmanager
def stop_on_signal() -> Generator[asyncio.Event, None, None]:
    """Give an event that the first signal sets; the next one has its default effect again."""
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def restore() -> None:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    def stop() -> None:
        stopped.set()
        restore()

    # Not on Windows, where Ctrl-C still ends the loop with KeyboardInterrupt.
    with suppress(NotImplementedError):
        for number in _SIGNALS:
            loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        with suppress(NotImplementedError):
            restore()
