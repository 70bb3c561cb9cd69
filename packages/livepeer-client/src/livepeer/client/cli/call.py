"""`livepeer call`: one batch job from the shell."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ._call_output import Printer
from ._endings import outcome
from ._network import client_of
from ._options import WayOptions, with_option_groups
from ._show_call import CallDisplay

if TYPE_CHECKING:
    from livepeer.client import Client

    from ._call_input import CallInput

Fields: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--form",
        "-f",
        metavar="NAME=@FILE",
        help="Send a form with this file, or with NAME=TEXT; give several for several.",
        show_default=False,
    ),
]


@with_option_groups
def call(
    capability: Annotated[str, typer.Argument(help="The capability's registered name.")],
    payload: Annotated[
        str | None,
        typer.Argument(
            metavar="JSON",
            help="JSON text, @FILE, or - for standard input; {} by default. With --form, an object"
            " of its other fields.",
            show_default=False,
        ),
    ] = None,
    *,
    where: WayOptions,
    route: Annotated[str, typer.Option(help="The runner's path.")] = "predict",
    form: Fields = None,
    body: Annotated[
        Path | None,
        typer.Option(help="Send this file as it is, instead of JSON.", show_default=False),
    ] = None,
    content_type: Annotated[
        str | None, typer.Option(help="Of --body; guessed from its name.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(help="Write the answer to this file, as it comes.", show_default=False),
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that the runner has.")] = 60,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print JSON objects: the answer with who gave it, and errors as well.",
        ),
    ] = False,
) -> None:
    """Call a capability and print its answer as one JSON line, or one line for each item.

    An answer that is no JSON goes to --output, or as it is to a pipe or a file. The exit status is
    0 when the call succeeded, 1 when it failed, 2 for a mistake in the command, 130 when it was
    interrupted.
    """
    from ._call_input import read_input

    printer = Printer(as_json=as_json, output=output)
    with outcome(printer.failed):
        client = client_of(where)
        given = read_input(payload, form, body, content_type)
        asyncio.run(_call(client, capability, given, route, timeout, printer))


async def _call(
    client: Client,
    capability: str,
    given: CallInput,
    route: str,
    timeout: int,
    printer: Printer,
) -> None:
    began = time.monotonic()
    try:
        async with (
            client,
            CallDisplay() as display,
            client.open_call(
                capability,
                given.payload,
                route=route,
                timeout_s=timeout,
                files=given.files,
                content_type=given.content_type,
                on_progress=display.show,
            ) as answer,
        ):
            await printer.print(answer, began, display)
    finally:
        # Also of a call that failed: its payment may have arrived.
        printer.tell_paid(client.spent)
