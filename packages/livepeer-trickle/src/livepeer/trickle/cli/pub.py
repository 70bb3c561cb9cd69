"""`livepeer trickle pub`: bytes into a channel."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer

from ._options import check_url, failed, read_bytes


def pub(
    url: Annotated[str, typer.Argument(metavar="URL", help="The channel's URL.")],
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE",
            help="What to publish; standard input for - or nothing.",
            show_default=False,
        ),
    ] = None,
    segment_bytes: Annotated[
        str, typer.Option(metavar="BYTES", help="Begin a new segment after so many bytes, or")
    ] = "4M",
    segment_seconds: Annotated[
        float,
        typer.Option(min=0.001, metavar="S", help="after so many seconds, whichever comes first."),
    ] = 1.0,
    lines: Annotated[
        bool,
        typer.Option("--lines", help="Publish each line as a segment of its own: JSON messages."),
    ] = False,
    content_type: Annotated[
        str | None,
        typer.Option(
            help="The channel's media type, if this creates it: application/octet-stream, or "
            "application/json with --lines.",
            show_default=False,
        ),
    ] = None,
    rate: Annotated[
        str,
        typer.Option(metavar="BYTES", help="Publish no more than so much a second; 0 is no limit."),
    ] = "64M",
    lead: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="Wait so long before the first byte, for sub --wait to join."
        ),
    ] = 0.5,
    linger: Annotated[
        float,
        typer.Option(
            min=0, metavar="S", help="Close the channel so long after the end, for slow readers."
        ),
    ] = 5.0,
    keep: Annotated[
        bool, typer.Option("--keep", help="Do not close the channel at the end.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on behind the segments that the channel has.")
    ] = False,
    retry: Annotated[
        float,
        typer.Option(min=0, metavar="S", help="Try a failing server again for so long."),
    ] = 10.0,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any TLS certificate.")
    ] = False,
) -> None:
    """Publish a file, or standard input, on a channel.

    Bytes go out as they come. The server keeps the last 5 segments and lets the rest go: a reader
    that is slower than that misses some, and says so. Give such readers time with --rate.

    The exit status is 0 when the server has all of it, 1 when something was lost or failed, 2 for a
    mistake in the command.
    """
    try:
        check_url(url, channel=True)
        size, pace = read_bytes(segment_bytes, "--segment-bytes"), read_bytes(rate, "--rate")
        if not size:
            raise ValueError("--segment-bytes must be more than 0")
        source = None if file is None or str(file) == "-" else file
        if source is not None and (source.is_dir() or not source.exists()):
            raise ValueError(f"there is no file {source}")
    except (OSError, ValueError) as error:
        raise failed(error, 2) from None

    from ._publish import Publishing, publish  # lazy: aiohttp
    from ._run import run  # lazy: asyncio

    options = Publishing(
        file=source,
        segment_bytes=size,
        segment_s=segment_seconds,
        lines=lines,
        content_type=content_type or ("application/json" if lines else "application/octet-stream"),
        bytes_per_s=pace,
        lead_s=lead,
        linger_s=linger,
        keep=keep,
        resume=resume,
        retry_s=retry,
        verify_tls=not insecure,
    )
    run(publish(url, options))
