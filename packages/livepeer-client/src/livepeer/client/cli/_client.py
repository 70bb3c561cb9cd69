"""A client from a command's options."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ._network import headers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from livepeer.client import Client, LocalSigner, PaymentProvider

Gateway: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="URL of a gateway, which finds orchestrators, signs and pays.", show_default=False
    ),
]
MaxPrice: TypeAlias = Annotated[
    int | None, typer.Option(min=0, help="The most to pay, in wei a second.", show_default=False)
]
MaxSpend: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="The most to pay in all, in wei; the key of --key-file pays nothing without it.",
        show_default=False,
    ),
]

_TOKEN_VARIABLE = "LIVEPEER_ACCESS_TOKEN"


def client_of(
    *,
    gateway: str | None,
    orchestrator: Sequence[str] | None,
    discovery: str | None,
    discovery_header: Sequence[str] | None,
    signer: str | None,
    signer_header: Sequence[str] | None,
    access_token: str | None,
    key_file: Path | None = None,
    max_price: int | None = None,
    max_spend: int | None = None,
    insecure: bool,
    no_tofu: bool,
    repin: bool = False,
) -> Client:
    """The client that the options of a command describe, by the names that they have there.

    Raises:
        ConfigError: One is wrong, they do not go together, or nothing names anybody to call.
        InvalidKey: The key file holds no key.
        MissingExtra: A key needs the extra `eth`.
        OSError: The key file cannot be read.
    """
    from livepeer.client import Client, ConfigError, LocalSigner, TrustStore  # lazy: aiohttp

    if gateway is not None and access_token == os.environ.get(_TOKEN_VARIABLE):
        # From the environment: what was typed comes first.
        access_token = None
    direct: dict[str, object] = {
        "--orchestrator": orchestrator,
        "--discovery": discovery,
        "--access-token": access_token,
        "--signer": signer,
        "--key-file": key_file,
        "--max-price": max_price,
        "--max-spend": max_spend,
    }
    given = [name for name, value in direct.items() if value not in (None, [], ())]
    if gateway is not None and given:
        raise ConfigError(
            f"--gateway and {given[0]} exclude each other: a gateway itself finds orchestrators,"
            " signs and pays"
        )
    if gateway is None and not set(given) & {*list(direct)[:4]}:
        raise ConfigError(
            "nobody to call: give --gateway URL; or --orchestrator URL (or --discovery, --signer,"
            " --access-token) to call orchestrators directly"
        )
    if insecure and repin:
        raise ConfigError("--insecure and --repin exclude each other: with --insecure none is kept")
    if key_file is not None and signer is not None:
        raise ConfigError("--key-file and --signer exclude each other: one of them signs")
    key = None if key_file is None else LocalSigner.from_file(key_file)
    return Client(
        gateway=gateway,
        orchestrators=orchestrator or (),
        discovery=discovery,
        discovery_headers=headers(discovery_header, "--discovery-header"),
        signer=key or signer,
        signer_headers=headers(signer_header, "--signer-header"),
        access_token=access_token,
        payments=None if key is None or max_spend is None else _paying(key),
        max_price_per_s=max_price,
        max_spend=max_spend,
        verify_tls=not insecure,
        use_tofu=not no_tofu,
        trust=TrustStore.for_user(repin=True) if repin else None,
    )


def _paying(key: LocalSigner) -> PaymentProvider:
    from livepeer.client import TicketPayments

    return TicketPayments(key)
