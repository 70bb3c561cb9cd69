"""The options that several commands have, written once."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

ACCESS_TOKEN_VARIABLE = "LIVEPEER_ACCESS_TOKEN"


@dataclass(frozen=True, kw_only=True, repr=False)
class DirectOptions:
    """Which orchestrators are asked, and as whom. Some of it is secret: it has no representation.

    The attributes are the options; their helps say what they are.
    """

    orchestrator: Annotated[
        list[str] | None,
        typer.Option(
            help="URL of an orchestrator; give several to ask several.", show_default=False
        ),
    ] = None
    discovery: Annotated[
        str | None,
        typer.Option(help="URL of a discovery service or webhook.", show_default=False),
    ] = None
    discovery_header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE",
            help="Sent to the discovery service; give several for several.",
            show_default=False,
        ),
    ] = None
    signer: Annotated[
        str | None, typer.Option(help="URL of a remote signer.", show_default=False)
    ] = None
    signer_header: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME:VALUE",
            help="Sent to the signer; give several for several.",
            show_default=False,
        ),
    ] = None
    access_token: Annotated[
        str | None,
        typer.Option(
            metavar="TOKEN",
            help="An access token, which holds all of the above.",
            envvar=ACCESS_TOKEN_VARIABLE,
            show_default=False,
        ),
    ] = None
    key_file: Annotated[
        Path | None,
        typer.Option(
            help="A file with the private key that asks, in hexadecimal; a random one by default.",
            show_default=False,
        ),
    ] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Accept any TLS certificate.")] = (
        False
    )
    no_tofu: Annotated[
        bool, typer.Option("--no-tofu", help="Accept no certificate that no authority vouches for.")
    ] = False
    repin: Annotated[
        bool, typer.Option("--repin", help="Accept the changed certificates of orchestrators.")
    ] = False


@dataclass(frozen=True, kw_only=True, repr=False)
class _GatewayOption:
    gateway: Annotated[
        str | None,
        typer.Option(
            help="URL of a gateway, which finds orchestrators, signs and pays.", show_default=False
        ),
    ] = None


# The base that stands last comes first in --help.
@dataclass(frozen=True, kw_only=True, repr=False)
class WayOptions(DirectOptions, _GatewayOption):
    """Which way a call goes, through a gateway or directly, and what it may cost."""

    max_price: Annotated[
        int | None,
        typer.Option(min=0, help="The most to pay, in wei a second.", show_default=False),
    ] = None
    max_spend: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="The most to pay in all, in wei; the key of --key-file pays nothing without it.",
            show_default=False,
        ),
    ] = None


Timeout: TypeAlias = Annotated[
    float, typer.Option(min=0.1, help="Seconds that each orchestrator has to answer.")
]
AsJSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a dataclass as a parameter: each field is an option of its own."""
    typed: list[inspect.Parameter] = []
    groups: dict[str, type] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        kind = parameter.annotation
        if isinstance(kind, type) and is_dataclass(kind):
            groups[parameter.name] = kind
            typed += inspect.signature(kind).parameters.values()
        else:
            typed.append(parameter)

    @wraps(command)
    def run(**values: object) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{each.name: values.pop(each.name) for each in fields(kind)})
        command(**values)

    # By name, so that an option with a default may stand before one without.
    by_name = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in typed]
    run.__signature__ = inspect.Signature(by_name)  # type: ignore[attr-defined]  # Typer reads it
    return run
