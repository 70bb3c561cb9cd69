"""What signals do to `livepeer stream`."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP")
# Not each on each platform.
_NUMBERS: Final = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class Signals:
    """The first signal ends what has no end, and any other one the task, which tidies up."""

    def __init__(self, task: asyncio.Task[object]) -> None:
        self.number: int | None = None
        self._task = task
        self._gently: Callable[[], None] | None = None

    def on_first(self, end: Callable[[], None]) -> None:
        """Have the first signal do this alone."""
        self._gently = end

    def take(self, number: int) -> None:
        """Take a signal."""
        gently, self._gently = self._gently, None
        if gently is not None:
            gently()
            return
        self.number = self.number or number
        self._task.cancel()


@contextmanager
def signals_taken(last_words: str) -> Generator[Signals]:
    """Have signals end the task that enters this; what they cancelled ends the command then.

    Args:
        last_words: Said on standard error when it does.

    Raises:
        typer.Exit: With 128 and the signal's number.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    signals = Signals(task)
    # Not on Windows, where Ctrl-C still ends the loop with KeyboardInterrupt.
    with suppress(NotImplementedError):
        for number in _NUMBERS:
            loop.add_signal_handler(number, signals.take, number)
    try:
        yield signals
    except asyncio.CancelledError:
        if signals.number is None:
            raise
        typer.echo(last_words, err=True)
        raise typer.Exit(128 + signals.number) from None
    finally:
        with suppress(NotImplementedError):
            for number in _NUMBERS:
                loop.remove_signal_handler(number)
