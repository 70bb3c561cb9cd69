"""What `livepeer stream` shows: how far it is, and what it came to."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Self

import typer

from ._stream_ends import say

if TYPE_CHECKING:
    from rich.progress import Progress as ProgressBar, TaskID

    from livepeer.client import Reconnected
    from livepeer.client.media import Progress, Summary


class Display:
    """Progress on standard error: a bar on a terminal, now and then a plain line elsewhere.

    Args:
        duration_s: How long it will be, None where that is not known.
    """

    _PLAIN_EVERY_S = 5.0

    def __init__(self, duration_s: float | None) -> None:
        self._duration_s = duration_s
        self._next_line = time.monotonic() + self._PLAIN_EVERY_S
        self._bar: ProgressBar | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            from rich.console import Console  # lazy: not every run has a terminal
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("streaming", total=self._duration_s)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Take a transfer's progress."""
        text = f"{progress.frames_in} frames in, {progress.frames_out} out"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.sent_s, description=text)
        elif time.monotonic() >= self._next_line:
            self._next_line += self._PLAIN_EVERY_S
            of = f" of {self._duration_s:.0f} s" if self._duration_s else " s"
            say(f"{progress.sent_s:.0f}{of}: {text}")

    def reconnected(self, told: Reconnected) -> None:
        """Tell of a stream that goes on elsewhere."""
        say(f"reconnected to {told.to_url} after {told.gap_s:.1f} s: {told.end.text}")


def report(summary: Summary, *, file: str | None, recorded: bool, paid: int, as_json: bool) -> int:
    """Print what it came to; the exit status.

    Args:
        summary: What the transfer came to.
        file: Where it was to be recorded; None for nowhere.
        recorded: Whether it was.
        paid: What it cost, in wei.
        as_json: One JSON object on standard output, too.
    """
    latency = "unknown"
    if summary.latency_ms is not None:
        latency = "median {:.1f} ms, 99th percentile {:.1f} ms".format(*summary.latency_ms)
    say(
        f"{summary.frames_in} frames in, {summary.frames_out} out, {summary.dropped} dropped"
        f" in {summary.seconds:.1f} s ({summary.rate:.1f} frames per second)\nlatency: {latency}"
    )
    errors = list(summary.errors)
    if summary.frames_in and not summary.frames_out:
        say("no frame came out: a hook that returns nothing drops its frame")
    if recorded:
        say(f"recorded: {file}")
    elif file is not None:
        errors.append(f"nothing came out, so {file} was not written")
    for error in errors:
        say(f"error: {error}")
    if as_json:
        told = {
            **summary.to_dict(),
            "errors": errors,
            "recorded": file if recorded else None,
            "paid": paid,
        }
        typer.echo(json.dumps(told))
    return 1 if errors else 0
