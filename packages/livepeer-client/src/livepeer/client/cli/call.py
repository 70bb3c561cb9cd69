"""`livepeer call`: one batch job from the shell."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from ._common import failed, read_json

if TYPE_CHECKING:
    from livepeer.client import Client


def call(
    capability: Annotated[str, typer.Argument(help="The capability's registered name.")],
    payload: Annotated[
        str,
        typer.Argument(metavar="JSON", help="JSON text, @FILE, or - for standard input."),
    ],
    gateway: Annotated[
        str | None, typer.Option(help="URL of a gateway.", show_default=False)
    ] = None,
    orchestrator: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of an orchestrator to call directly; give several to try in order.",
            show_default=False,
        ),
    ] = None,
    route: Annotated[str, typer.Option(help="The runner's path.")] = "predict",
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that the runner has.")] = 60,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Accept any TLS certificate.")
    ] = False,
) -> None:
    """Call a capability and print its answer as one JSON line, or one line for each item.

    The exit status is 0 when the call succeeded, 1 when it failed, 2 for a mistake in the command.
    """
    from livepeer.client import Client, ClientError, ConfigError, InvalidJob  # lazy: aiohttp

    try:
        body = read_json(payload, "the JSON argument")
        client = Client(gateway=gateway, orchestrators=orchestrator or (), verify_tls=not insecure)
    except (ConfigError, OSError, ValueError) as error:
        raise failed(error, 2) from None
    try:
        asyncio.run(_call(client, capability, body, route, timeout))
    except InvalidJob as error:
        raise failed(error, 2) from None
    except ClientError as error:
        raise failed(error, 1) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _call(client: Client, capability: str, body: object, route: str, timeout: int) -> None:
    async with client:
        async for item in client.call_events(capability, body, route=route, timeout_s=timeout):
            typer.echo(_line(item))


def _line(item: object) -> str:
    text = json.dumps(item, ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        # The terminal cannot show it, or half of a surrogate pair is in it.
        return json.dumps(item)
    return text
