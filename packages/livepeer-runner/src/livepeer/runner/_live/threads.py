"""Threads whose end a coroutine can wait for."""

from __future__ import annotations

import asyncio
import threading
from contextvars import copy_context
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def run_in_thread(function: Callable[[], None], name: str) -> asyncio.Future[None]:
    """Run a function on a thread of its own, in the caller's context; the future ends with it.

    Not the loop's executor: its few threads would be taken by the first sessions. A daemon, so
    that a codec or a hook that never returns does not keep the process.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()

    def settle(error: BaseException | None) -> None:
        if future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def run() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as raised:  # noqa: BLE001 - a supervisor: handed to who waits
            error = raised
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=copy_context().run, args=(run,), name=name, daemon=True).start()
    return future
