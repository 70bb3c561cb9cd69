"""Progress on standard error, for somebody who watches."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Self

import typer

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def count(number: int, what: str) -> str:
    """So many of something, in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"


class Display:
    """Shows how many bytes went through; nothing unless standard error is a terminal.

    Args:
        what: The word before the bar.
        total: How many bytes are expected; None where nobody knows.
        wanted: False shows nothing, as where the bytes go to the terminal themselves.
    """

    def __init__(self, what: str, total: int | None = None, *, wanted: bool = True) -> None:
        self._what = what
        self._total = total
        # Absent where it was closed.
        terminal = sys.__stderr__ is not None and sys.__stderr__.isatty()
        self._wanted = wanted and terminal
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, size: int) -> None:
        """So many bytes more went through."""
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, size)

    def say(self, text: str) -> None:
        """A line for who watches."""
        if self._wanted:
            typer.echo(text, err=True)

    def __enter__(self) -> Self:
        if self._wanted:
            from rich.console import Console  # lazy: not every run has a terminal
            from rich.progress import (
                BarColumn,
                DownloadColumn,
                FileSizeColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TransferSpeedColumn,
            )

            self._bar = Progress(
                TextColumn("{task.description}"),
                *((FileSizeColumn(),) if self._total is None else (BarColumn(), DownloadColumn())),
                TransferSpeedColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
