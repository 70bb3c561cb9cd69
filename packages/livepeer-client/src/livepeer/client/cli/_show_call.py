"""What is seen of a call while it runs: a line that moves on a terminal, now and then one else."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Self

import typer

from livepeer.trickle.aio import cancel_and_wait

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from livepeer.client import CallProgress

_MOVING_EVERY_S = 0.2
_PLAIN_EVERY_S = 5.0
_MEGABYTE = 1_000_000


class CallDisplay:
    """Progress on standard error. An async context manager."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._text = "connecting"
        self._share: tuple[int, int | None] = (0, None)
        self._bar: Progress | None = None
        self._row: TaskID | None = None
        self._ticker: asyncio.Task[None] | None = None

    def show(self, progress: CallProgress) -> None:
        """Take the progress of a call."""
        self._share = (progress.bytes, progress.total)
        amount = "" if progress.phase == "waiting" else f" {_amount(progress)}"
        self._text = f"{progress.phase}{amount}"

    async def __aenter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar, self._row = _new_bar()
            self._bar.start()
        self._ticker = asyncio.create_task(self._tick(), name="progress")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._ticker is not None:
            await cancel_and_wait(self._ticker)
        self.hide()

    def hide(self) -> None:
        """Take the moving line away, before something else is printed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(_PLAIN_EVERY_S if self._bar is None else _MOVING_EVERY_S)
            if self._bar is not None and self._row is not None:
                done, total = self._share
                self._bar.update(
                    self._row, description=self._text, completed=done, total=total or None
                )
            elif not sys.stderr.isatty():
                typer.echo(f"{self._text}, {time.monotonic() - self._began:.0f} s", err=True)


def _new_bar() -> tuple[Progress, TaskID]:
    from rich.console import Console  # lazy: not every run has a terminal
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    return bar, bar.add_task("connecting", total=None)


def _amount(progress: CallProgress) -> str:
    done = progress.bytes / _MEGABYTE
    if progress.total is None:
        return f"{done:.1f} MB"
    return f"{done:.1f} of {progress.total / _MEGABYTE:.1f} MB"
