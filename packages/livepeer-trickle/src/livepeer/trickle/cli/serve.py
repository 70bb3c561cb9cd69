"""`livepeer trickle serve`: a server of its own."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from ._options import failed


def serve(
    host: Annotated[
        str, typer.Option(help="The address to listen on; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 8888,
    path: Annotated[str, typer.Option(help="Where the channels are, such as /ai/trickle.")] = "/",
    autocreate: Annotated[
        bool,
        typer.Option(
            "--autocreate/--no-autocreate", help="Whether a channel's first segment creates it."
        ),
    ] = True,
    idle_timeout: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="S", help="Close a channel that nobody wrote to for so long."
        ),
    ] = 300.0,
    changefeed: Annotated[
        bool,
        typer.Option("--changefeed", help="Tell on _changes which channels come and go."),
    ] = False,
) -> None:
    """Serve channels until Ctrl-C, and print the base URL.

    The wire has no authentication: whoever reaches the server can publish, read and close.
    """
    if not re.fullmatch(r"[\w./~-]*", path, re.ASCII):
        raise failed(ValueError(f"--path is a plain path such as /ai/trickle, not {path!r}"), 2)

    from ._run import run  # lazy: asyncio
    from ._serve import serve as work  # lazy: aiohttp

    run(
        work(
            host,
            port,
            path,
            autocreate=autocreate,
            idle_timeout_s=idle_timeout,
            changefeed=changefeed,
        )
    )
