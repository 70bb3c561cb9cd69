"""`livepeer dev`: a pipeline behind a network of its own, on this machine."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import Annotated

import typer


def dev(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH",
            help="A folder with a pipeline.py, or a Python file; :Class chooses among several.",
        ),
    ],
    input: Annotated[
        Path | None,
        typer.Option("--input", help="Stream this media file in, and end.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="Record what comes out, or write the answer, to this file.",
            show_default=False,
        ),
    ] = None,
    params: Annotated[
        str, typer.Option(metavar="JSON", help="The stream's parameters: JSON or @FILE.")
    ] = "{}",
    fast: Annotated[
        bool, typer.Option("--fast", help="As fast as it goes, not at the file's own pace.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="As a camera: drop what the pipeline is too slow for.")
    ] = False,
    call: Annotated[
        str | None,
        typer.Option(
            metavar="JSON",
            help="Call the pipeline with this, print the answer, and end.",
            show_default=False,
        ),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check signatures, as an on-chain node does.")
    ] = False,
    price: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10**18 - 1,
            metavar="WEI",
            help="Charge so many wei per second, in tickets that are checked and never redeemed.",
            show_default=False,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="The runner's port (5000; a free one with --input or --call)."
        ),
    ] = None,
    orchestrator_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The orchestrator's port (8935; likewise)."),
    ] = None,
    gateway_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="The gateway's port (9935; likewise).")
    ] = None,
) -> None:
    """Serve the pipeline in PATH behind a local orchestrator and gateway, and register it there.

    Without --input and --call it runs until Ctrl-C and prints calls to paste. Everything listens
    on loopback. The exit status is 0 when all went well, 1 when something failed, 2 for a mistake
    in the command, 130 when --input or --call was interrupted.
    """
    from ._run import Request, run_dev  # lazy: the server and the local network

    request = Request(
        path=path,
        input=input,
        output=output,
        params=params,
        fast=fast,
        live=live,
        call=call,
        verify=verify,
        price=price,
        ports=(port, orchestrator_port, gateway_port),
    )
    raise typer.Exit(run_dev(request))
