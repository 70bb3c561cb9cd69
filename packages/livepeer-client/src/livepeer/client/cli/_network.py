"""From a command's options to a client, or to whom it asks and as whom."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypedDict

from livepeer.client.errors import ConfigError

from ._options import ACCESS_TOKEN_VARIABLE, WayOptions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from livepeer.client import (
        Client,
        LocalSigner,
        OrchestratorSource,
        PaymentProvider,
        RemoteSigner,
        TrustStore,
    )

    from ._options import DirectOptions

_NOBODY_TO_ASK: Final = (
    "nothing names an orchestrator; give --orchestrator, --discovery, --signer or --access-token"
)
_NOBODY_TO_CALL: Final = (
    "nobody to call: give --gateway URL; or --orchestrator URL (or --discovery, --signer,"
    " --access-token) to call orchestrators directly"
)


class TrustOptions(TypedDict):
    """Which certificates are taken, as `Client` and its like are told it."""

    verify_tls: bool
    use_tofu: bool
    trust: TrustStore


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a command asks, and as whom.

    Attributes:
        source: Who lists the orchestrators.
        trust: Which of their certificates are taken.
        remote: The remote signer; None for a local one.
        key_file: The key of a local one; None for a random key.
    """

    source: OrchestratorSource
    trust: TrustOptions
    remote: RemoteSigner | None
    key_file: Path | None

    async def signer(self) -> LocalSigner | RemoteSigner:
        """Who asks.

        Raises:
            ClientError: The key is none, or a local one needs the extra `eth`.
            OSError: Its file cannot be read.
        """
        from livepeer.client import LocalSigner  # lazy: aiohttp

        if self.remote is not None:
            return self.remote
        if self.key_file is None:
            return await asyncio.to_thread(LocalSigner.ephemeral)
        return await asyncio.to_thread(LocalSigner.from_file, self.key_file)

    async def aclose(self) -> None:
        """Close the connections to the remote signer."""
        if self.remote is not None:
            await self.remote.aclose()


def client_of(options: WayOptions) -> Client:
    """The client that the options describe.

    Raises:
        ConfigError: One is wrong, they do not go together, or nothing names anybody to call.
        InvalidKey: The key file holds no key.
        MissingExtra: A key needs the extra `eth`.
        OSError: The key file cannot be read.
    """
    from livepeer.client import Client, LocalSigner  # lazy: aiohttp

    if options.gateway is not None:
        _check_gateway(options)
        return Client(gateway=options.gateway, **_trust(options))
    network = network_of(options, nobody=_NOBODY_TO_CALL)
    _check_limits(options, network)
    key = None if options.key_file is None else LocalSigner.from_file(options.key_file)
    return Client(
        discovery=network.source,
        signer=network.remote or key,
        payments=None if key is None or options.max_spend is None else _paying(key),
        max_price_per_s=options.max_price,
        max_spend=options.max_spend,
        **network.trust,
    )


def network_of(options: DirectOptions, *, nobody: str = _NOBODY_TO_ASK) -> Network:
    """What the options describe, of a command that asks orchestrators itself.

    Args:
        options: The options.
        nobody: Said where they name no orchestrator.

    Raises:
        ConfigError: One is wrong, they do not go together, or nothing names an orchestrator.
    """
    from livepeer.client import RemoteSigner, parse_access_token
    from livepeer.client._find.access import AccessToken, choose_source
    from livepeer.client._wire.encoding import redact

    if options.key_file is not None and options.signer is not None:
        raise ConfigError("--key-file and --signer exclude each other: one of them signs")
    given = _access_token(options)
    token = AccessToken() if given is None else parse_access_token(given)
    if options.key_file is not None and token.signer is not None:
        raise ConfigError(
            f"--key-file {options.key_file} and {redact(token.signer)}, the signer of the access"
            " token, exclude each other: one of them signs and pays; leave --key-file out, or take"
            " a token without a signer"
        )
    signer_headers = _headers(options.signer_header, "--signer-header")
    remote = None
    if token.signer is not None:
        remote = RemoteSigner(token.signer, headers=token.signer_headers)
    elif options.signer is not None:
        remote = RemoteSigner(options.signer, headers=signer_headers)
    elif signer_headers:
        raise ConfigError("--signer-header goes with --signer")
    source = choose_source(
        token=token,
        orchestrators=options.orchestrator or (),
        discovery=options.discovery,
        discovery_headers=_headers(options.discovery_header, "--discovery-header"),
        signer=remote,
    )
    if source is None:
        raise ConfigError(nobody)
    return Network(
        source=source,
        trust=_trust(options),
        remote=remote,
        key_file=options.key_file,
    )


def _access_token(options: DirectOptions) -> str | None:
    """The token. Of the environment, only where nothing that was typed says where a job goes."""
    token = options.access_token
    gateway = options.gateway if isinstance(options, WayOptions) else None
    typed = gateway or options.orchestrator or options.discovery or options.signer
    return None if typed and token == os.environ.get(ACCESS_TOKEN_VARIABLE) else token


def _check_limits(options: WayOptions, network: Network) -> None:
    if options.max_spend is None and options.max_price is not None and network.key_file is not None:
        raise ConfigError(
            "add --max-spend WEI, the most to pay in all: without it the key of --key-file pays"
            " nothing, and --max-price has nothing to limit"
        )
    if options.max_spend is not None and network.key_file is None and network.remote is None:
        raise ConfigError("--max-spend goes with what pays: --key-file, or --signer")


def _check_gateway(options: WayOptions) -> None:
    direct: dict[str, object] = {
        "--orchestrator": options.orchestrator,
        "--discovery": options.discovery,
        "--access-token": _access_token(options),
        "--signer": options.signer,
        "--key-file": options.key_file,
        "--max-price": options.max_price,
        "--max-spend": options.max_spend,
    }
    for name, value in direct.items():
        if value not in (None, [], ()):
            raise ConfigError(
                f"--gateway and {name} exclude each other: a gateway itself finds orchestrators,"
                " signs and pays"
            )


def _trust(options: DirectOptions) -> TrustOptions:
    from livepeer.client import TrustStore

    if options.insecure and options.repin:
        raise ConfigError("--insecure and --repin exclude each other: with --insecure none is kept")
    return TrustOptions(
        verify_tls=not options.insecure,
        use_tofu=not options.no_tofu,
        trust=TrustStore.for_user(repin=options.repin),
    )


def _headers(lines: Sequence[str] | None, option: str) -> dict[str, str]:
    """Headers from what was typed for `option`.

    Raises:
        ConfigError: One is not NAME:VALUE.
    """
    found: dict[str, str] = {}
    for line in lines or ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            # What was given may be a secret.
            raise ConfigError(f"{option} must be NAME:VALUE")
        found[name.strip()] = value.strip()
    return found


def _paying(key: LocalSigner) -> PaymentProvider:
    from livepeer.client import TicketPayments

    return TicketPayments(key)
