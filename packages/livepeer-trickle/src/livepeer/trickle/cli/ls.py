"""`livepeer trickle ls`: which channels there are."""

from __future__ import annotations

from typing import Annotated

import typer

from ._options import check_url, failed


def ls(
    url: Annotated[
        str, typer.Argument(metavar="URL", help="A server's base URL, or a channel's URL.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any TLS certificate.")
    ] = False,
) -> None:
    """List a server's channels, or tell where one channel is: its next segment's number.

    Servers list their channels when they were told to, as `livepeer trickle serve` is;
    go-livepeer's do not, and can be asked for one channel only.
    """
    try:
        check_url(url, channel=False)
    except ValueError as error:
        raise failed(error, 2) from None

    from ._list import show  # lazy: aiohttp
    from ._run import run  # lazy: asyncio

    run(show(url, as_json=as_json, verify_tls=not insecure))
