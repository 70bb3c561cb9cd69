"""Tasks that are held, and ended together; what the other two distributions use as well."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


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
