"""The first order to stop is obeyed in good order, the second one at once."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stop_signals(at_once: Callable[[], None]) -> Generator[asyncio.Event, None, None]:
    """Give an event that the first SIGINT or SIGTERM sets; the second ends the process.

    The handlers are the interpreter's, not the loop's, so that a loop which the author's code
    blocks is no shelter from the second. It ends the process itself, since the kernel ignores a
    signal's default effect on a container's first process. Outside of the main thread no signal is
    heard.

    Args:
        at_once: What must not be left behind, and can be cleared in no time.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    told = False

    def stop(number: int, _frame: FrameType | None) -> None:
        nonlocal told
        if told:
            try:
                at_once()
            finally:
                # Not by the log, which the interrupted code may be writing.
                os.write(2, b"a second signal: ending at once\n")
                os._exit(128 + number)
        told = True
        loop.call_soon_threadsafe(stopped.set)

    if threading.current_thread() is not threading.main_thread():
        yield stopped
        return
    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
