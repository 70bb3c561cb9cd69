"""`livepeer stub`: typed models of a capability, from what its runner says of itself."""

from __future__ import annotations

import asyncio
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, cast
from urllib.parse import urlsplit

import typer

from livepeer.client._answers.new_file import named

from ._endings import failed, outcome
from ._network import client_of
from ._options import WayOptions, with_option_groups
from ._stub_schema import plan_stub

if TYPE_CHECKING:
    from livepeer.client import Client

    from ._stub_schema import Schema

_MAX_BYTES: Final = 16 * 1024 * 1024


@with_option_groups
def stub(
    capability: Annotated[
        str | None,
        typer.Argument(
            help="The capability's registered name; from a file or URL, the runner's own by"
            " default.",
            show_default=False,
        ),
    ] = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Read this file, or ask the runner at this URL, instead of the network.",
            show_default=False,
        ),
    ] = None,
    *,
    where: WayOptions,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="The module to write; printed by default.", show_default=False
        ),
    ] = None,
    timeout: Annotated[int, typer.Option(min=1, help="Seconds that the runner has.")] = 10,
) -> None:
    """Write Pydantic models of what a capability takes and gives, and constants to call it with.

    Of a live one it is a model of the stream's parameters alone, and nothing where it takes none.
    The schema is asked for through the network, or is a runner's own: a file with what its
    /schema answers, or its URL. The exit status is 0 when the module was written, 1 when something
    failed or there is nothing to write, 2 for a mistake in the command.
    """
    with outcome():
        if schema is not None:
            described, told_by = _from_place(schema, timeout), _shown(schema)
        else:
            if capability is None:
                raise ValueError("give the capability's name, or --schema FILE or URL")
            described = asyncio.run(_from_network(client_of(where), capability, timeout))
            told_by = "the network"
        _write(described, capability, told_by, output)


def _write(described: Schema, capability: str | None, told_by: str, output: Path | None) -> None:
    from ._stub_code import write_stub  # lazy: aiohttp

    plan = plan_stub(described, capability)
    if not plan.schemas and not plan.endpoints:
        text = f"{plan.capability} is live and takes no parameters: there is nothing to write"
        raise failed(LookupError(text), 1)
    text = write_stub(plan, told_by)
    if output is None:
        typer.echo(text, nl=False)
        return
    with named(output):
        output.write_text(text, encoding="utf-8")
    typer.echo(f"wrote {output}", err=True)


async def _from_network(client: Client, capability: str, timeout: int) -> Schema:
    async with client:
        return cast("Schema", await client.schema(capability, timeout_s=timeout))


def _from_place(place: str, timeout: int) -> Schema:
    from livepeer.client._wire.encoding import load_json

    text = _asked(place, timeout) if urlsplit(place).scheme in ("http", "https") else _read(place)
    try:
        value: object = load_json(text)
    except ValueError as error:
        raise ValueError(f"{place} is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"{place} is no JSON object")
    return cast("Schema", value)


def _shown(place: str) -> str:
    """The place without what is secret, or only true on this machine."""
    from livepeer.client._wire.encoding import redact

    return redact(place) if "://" in place else Path(place).name


def _read(place: str) -> bytes:
    return sys.stdin.buffer.read() if place == "-" else Path(place).read_bytes()


def _asked(url: str, timeout: int) -> bytes:
    from livepeer.client import NodeUnreachable
    from livepeer.client._net.certificates import reason_of

    whole = url if urlsplit(url).path.strip("/") else f"{url.rstrip('/')}/schema"
    try:
        with urllib.request.urlopen(whole, timeout=timeout) as answer:
            found: bytes = answer.read(_MAX_BYTES + 1)
    except OSError as error:
        cause = getattr(error, "reason", None)
        reason = reason_of(cause if isinstance(cause, OSError) else error)
        raise NodeUnreachable(f"the runner gives no schema: {reason}", url=_shown(url)) from error
    if len(found) > _MAX_BYTES:
        raise ValueError(f"{url} answers more than {_MAX_BYTES} bytes")
    return found
