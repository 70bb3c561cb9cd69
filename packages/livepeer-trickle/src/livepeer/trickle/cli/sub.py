"""`livepeer trickle sub`: bytes out of a channel."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from ._options import check_url, failed


def sub(
    url: Annotated[str, typer.Argument(metavar="URL", help="The channel's URL.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="Where the bytes go; standard output for - or nothing.",
            show_default=False,
        ),
    ] = None,
    start: Annotated[
        int,
        typer.Option(
            min=-2, help="The first segment: a number, -1 for the next one, -2 for the current one."
        ),
    ] = -2,
    max_segments: Annotated[
        int | None, typer.Option(min=1, help="End after so many segments.", show_default=False)
    ] = None,
    lines: Annotated[
        bool, typer.Option("--lines", help="End each segment with a line break: JSON messages.")
    ] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="Wait so long for the channel to be there."),
    ] = 0.0,
    retry: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="Ask a failing server again for so long."),
    ] = 10.0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any TLS certificate.")
    ] = False,
) -> None:
    """Write what a channel carries to a file, or to standard output, until it ends.

    To miss nothing, begin with --start 0, and before the publisher does: --wait 60.

    The exit status is 0 when everything from the first segment on came through, 1 when something
    was missed or failed, 2 for a mistake in the command.
    """
    try:
        check_url(url, channel=True)
        target = None if file is None or str(file) == "-" else file
        if target is not None and (target.is_dir() or not target.parent.is_dir()):
            raise ValueError(f"there can be no file {target}")
    except (OSError, ValueError) as error:
        raise failed(error, 2) from None

    from ._run import run  # lazy: asyncio
    from ._subscribe import Subscribing, subscribe  # lazy: aiohttp

    options = Subscribing(
        file=target,
        start=start,
        max_segments=max_segments,
        lines=lines,
        wait_s=wait,
        retry_s=retry,
        verify_tls=not insecure,
    )
    run(subscribe(url, options))
