"""`livepeer call`: one batch job from the shell."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path  # noqa: TC003 - Typer reads the annotations
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from . import _network as options  # noqa: TC001 - likewise
from ._call_output import Printer
from ._client import Gateway, MaxPrice, MaxSpend, client_of
from ._common import quiet_end
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
    gateway: Gateway = None,
    orchestrator: options.Orchestrators = None,
    discovery: options.Discovery = None,
    discovery_header: options.DiscoveryHeaders = None,
    signer: options.SignerURL = None,
    signer_header: options.SignerHeaders = None,
    access_token: options.Token = None,
    key_file: options.KeyFile = None,
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
    max_price: MaxPrice = None,
    max_spend: MaxSpend = None,
    insecure: options.Insecure = False,
    no_tofu: options.NoTofu = False,
    repin: options.Repin = False,
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
    from livepeer.client import ClientError, ConfigError, InvalidJob, InvalidKey  # lazy: aiohttp

    from ._call_input import read_input

    printer = Printer(as_json=as_json, output=output)
    try:
        client = client_of(
            gateway=gateway,
            orchestrator=orchestrator,
            discovery=discovery,
            discovery_header=discovery_header,
            signer=signer,
            signer_header=signer_header,
            access_token=access_token,
            key_file=key_file,
            max_price=max_price,
            max_spend=max_spend,
            insecure=insecure,
            no_tofu=no_tofu,
            repin=repin,
        )
        given = read_input(payload, form, body, content_type)
        asyncio.run(_call(client, capability, given, route, timeout, printer))
    except (ConfigError, InvalidJob, InvalidKey) as error:
        raise printer.failed(error, 2) from None
    except ClientError as error:
        raise printer.failed(error, 1) from None
    except BrokenPipeError:
        # Whoever read has enough.
        raise quiet_end() from None
    except OSError as error:
        raise printer.failed(error, 1 if error.filename is None else 2) from None
    except ValueError as error:
        raise printer.failed(error, 2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


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
