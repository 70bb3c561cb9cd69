"""Tasks that are held, and ended together; what the other two distributions use as well."""

from __future__ import annotations

import asyncio
from typing import Any


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
