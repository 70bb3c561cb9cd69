"""`livepeer stream`: a media file through a live capability, from the shell."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Self, cast

import typer

from ._common import failed, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.progress import Progress as ProgressBar, TaskID

    from livepeer.client.media import MediaSource, Progress, Summary


@dataclass(frozen=True, kw_only=True)
class _Options:
    params: Mapping[str, object]
    fast: bool
    live: bool
    insecure: bool


def stream(
    capability: Annotated[str, typer.Argument(help="The capability's registered name.")],
    orchestrator: Annotated[
        list[str],
        typer.Option(help="URL of an orchestrator; give several to try in order."),
    ],
    input: Annotated[Path, typer.Option("--input", help="The media file that goes in.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", help="The file that what comes out is recorded to.", show_default=False
        ),
    ] = None,
    params: Annotated[
        str, typer.Option(metavar="JSON", help="The stream's parameters: JSON, @FILE or -.")
    ] = "{}",
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as it goes, not at the file's own pace.")
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="As a camera: do not wait for a runner that is too slow."),
    ] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any TLS certificate.")
    ] = False,
) -> None:
    """Stream a media file through a live capability and record what comes out.

    The file goes in at its own pace, and waits for a slow runner, so that no frame is lost. The
    exit status is 0 when all of it came through, 1 when something failed, 2 for a mistake in the
    command.
    """
    try:
        options = _options(params, fast, live, insecure)
        if output is not None and output.resolve() == input.resolve():
            raise ValueError("--output must not be the input file")
    except (OSError, ValueError) as error:
        raise failed(error, 2) from None
    try:
        summary, recorded = _run(input, capability, orchestrator, output, options)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(_report(summary, output, recorded))


def _options(params: str, fast: bool, live: bool, insecure: bool) -> _Options:
    if fast and live:
        raise ValueError("--fast and --live exclude each other: a live stream has its own pace")
    chosen = read_json(params, "--params")
    if not isinstance(chosen, dict):
        raise ValueError(f"--params must be a JSON object, not {params}")
    named = {str(name): value for name, value in cast("dict[object, object]", chosen).items()}
    return _Options(params=named, fast=fast, live=live, insecure=insecure)


def _run(
    path: Path,
    capability: str,
    orchestrators: Sequence[str],
    output: Path | None,
    options: _Options,
) -> tuple[Summary, bool]:
    try:
        from livepeer.client import ClientError  # lazy: aiohttp
        from livepeer.client.media import MediaSource  # lazy: PyAV
        from livepeer.trickle.errors import TrickleError
    except ModuleNotFoundError as error:
        if error.name not in ("av", "numpy"):
            raise
        text = f"media files need {error.name}: pip install 'livepeer-client[media]'"
        raise failed(ModuleNotFoundError(text), 1) from None
    try:
        with MediaSource(path) as source:
            return asyncio.run(_transfer(source, capability, orchestrators, output, options))
    except (ClientError, TrickleError, OSError) as error:
        raise failed(error, 1) from None


async def _transfer(
    source: MediaSource,
    capability: str,
    orchestrators: Sequence[str],
    output: Path | None,
    options: _Options,
) -> tuple[Summary, bool]:
    """Do it; what it came to, and whether there was anything to record."""
    from livepeer.client import Client
    from livepeer.client.media import Recorder, Transfer

    async with Client(orchestrators=orchestrators, verify_tls=not options.insecure) as client:
        with _Display(source.duration_s) as display, Recorder(output) as recorder:
            job = await client.start_stream(capability, params=options.params)
            async with job:
                transfer = Transfer(
                    job,
                    source,
                    fast=options.fast,
                    live=options.live,
                    on_progress=display.show,
                )
                summary = await transfer.run(recorder)
            return summary, recorder.finish()


class _Display:
    """Progress on standard error: a bar on a terminal, now and then a plain line elsewhere."""

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
            typer.echo(f"{progress.sent_s:.0f}{of}: {text}", err=True)


def _report(summary: Summary, output: Path | None, recorded: bool) -> int:
    """Print the summary; the exit status."""
    latency = "unknown"
    if summary.latency_ms is not None:
        latency = "median {:.1f} ms, 99th percentile {:.1f} ms".format(*summary.latency_ms)
    typer.echo(
        f"{summary.frames_in} frames in, {summary.frames_out} out, {summary.dropped} dropped"
        f" in {summary.seconds:.1f} s ({summary.rate:.1f} frames per second)\nlatency: {latency}",
        err=True,
    )
    errors = list(summary.errors)
    if summary.frames_in and not summary.frames_out:
        typer.echo("no frame came out: a hook that returns nothing drops its frame", err=True)
    if recorded:
        typer.echo(f"recorded: {output}", err=True)
    elif output is not None:
        errors.append(f"nothing came out, so {output.name} was not written")
    for error in errors:
        typer.echo(f"error: {error}", err=True)
    return 1 if errors else 0
