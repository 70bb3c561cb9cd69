"""Run a command's work to its end: warnings as lines, signals as exit statuses."""

from __future__ import annotations

import asyncio
import logging
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from livepeer.trickle.errors import TrickleError

from ._options import failed

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Incomplete(TrickleError):
    """The command came to its end, but not everything came through."""


def run(work: Coroutine[None, None, None]) -> None:
    """Run `work`, and leave by an exit status: 1 failed, 130 interrupted, 143 told to end."""
    _show_warnings()
    try:
        asyncio.run(_until_told_to_end(work))
    except (TrickleError, OSError) as error:
        raise failed(error, 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    except asyncio.CancelledError:
        raise typer.Exit(128 + signal.SIGTERM) from None


async def _until_told_to_end(work: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    # Not on Windows, which has no such signal to handle.
    with suppress(NotImplementedError):
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await work


class _Lines(logging.Handler):
    """Shows the library's warnings, of which each trouble causes one."""

    def emit(self, record: logging.LogRecord) -> None:
        # Looked up at each line: a progress bar has standard error while it is shown.
        text = " ".join(record.getMessage().split())
        typer.echo(f"{record.levelname.lower()}: {text}", err=True)


def _show_warnings() -> None:
    log = logging.getLogger("livepeer.trickle")
    log.addHandler(_Lines(logging.WARNING))
    log.propagate = False
