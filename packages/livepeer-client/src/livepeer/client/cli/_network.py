"""Where the network is, from a command's options; and how such a command ends."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from ._common import failed

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from livepeer.client import LocalSigner, OrchestratorSource, RemoteSigner, TrustStore

Orchestrators: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--orchestrator",
        help="URL of an orchestrator; give several to ask several.",
        show_default=False,
    ),
]
Discovery: TypeAlias = Annotated[
    str | None,
    typer.Option(help="URL of a discovery service or webhook.", show_default=False),
]
DiscoveryHeaders: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--discovery-header",
        metavar="NAME:VALUE",
        help="Sent to the discovery service; give several for several.",
        show_default=False,
    ),
]
SignerURL: TypeAlias = Annotated[
    str | None, typer.Option("--signer", help="URL of a remote signer.", show_default=False)
]
SignerHeaders: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--signer-header",
        metavar="NAME:VALUE",
        help="Sent to the signer; give several for several.",
        show_default=False,
    ),
]
Token: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--access-token",
        metavar="TOKEN",
        help="An access token, which holds all of the above.",
        envvar="LIVEPEER_ACCESS_TOKEN",
        show_default=False,
    ),
]
KeyFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="A file with the private key that asks, in hexadecimal; a random one by default.",
        show_default=False,
    ),
]
Insecure: TypeAlias = Annotated[
    bool, typer.Option("--insecure", help="Accept any TLS certificate.")
]
NoTofu: TypeAlias = Annotated[
    bool, typer.Option("--no-tofu", help="Accept no certificate that no authority vouches for.")
]
Repin: TypeAlias = Annotated[
    bool,
    typer.Option("--repin", help="Accept the changed certificates of orchestrators."),
]
Timeout: TypeAlias = Annotated[
    float, typer.Option(min=0.1, help="Seconds that each orchestrator has to answer.")
]
AsJSON: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]


@dataclass(frozen=True, kw_only=True)
class Network:
    """What a command asks, and as whom.

    Attributes:
        source: Who lists the orchestrators.
        trust: Remembers their certificates.
        verify_tls: Check certificates at all.
        use_tofu: Take self-signed ones at first sight.
        remote: The remote signer; None for a local one.
        key_file: The key of a local one; None for a random key.
    """

    source: OrchestratorSource
    trust: TrustStore
    verify_tls: bool
    use_tofu: bool
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


@contextmanager
def outcome() -> Generator[None]:
    """End the command with one line for an error: 2 for a mistake in it, 1 for a failure."""
    from livepeer.client import ClientError, ConfigError, InvalidKey  # lazy: aiohttp

    try:
        yield
    except (ConfigError, InvalidKey) as error:
        raise failed(error, 2) from None
    except ClientError as error:
        raise failed(error, 1) from None
    except OSError as error:
        raise failed(error, 2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def read_network(
    *,
    orchestrators: Sequence[str] | None,
    discovery: str | None,
    discovery_headers: Sequence[str] | None,
    signer: str | None,
    signer_headers: Sequence[str] | None,
    access_token: str | None,
    key_file: Path | None,
    insecure: bool,
    no_tofu: bool,
    repin: bool,
) -> Network:
    """Make sense of a command's options.

    Raises:
        ConfigError: One is wrong, or nothing names an orchestrator.
    """
    from livepeer.client import ConfigError, RemoteSigner, TrustStore, parse_access_token
    from livepeer.client._find.access import AccessToken, choose_source

    if key_file is not None and signer is not None:
        raise ConfigError("--key-file and --signer exclude each other: one of them signs")
    token = AccessToken() if access_token is None else parse_access_token(access_token)
    given = headers(signer_headers, "--signer-header")
    remote = None
    if token.signer is not None:
        remote = RemoteSigner(token.signer, headers=token.signer_headers)
    elif signer is not None:
        remote = RemoteSigner(signer, headers=given)
    source = choose_source(
        token=token,
        orchestrators=orchestrators or (),
        discovery=discovery,
        discovery_headers=headers(discovery_headers, "--discovery-header"),
        signer=remote,
    )
    if source is None:
        raise ConfigError(
            "nothing names an orchestrator; give --orchestrator, --discovery, --signer or"
            " --access-token"
        )
    return Network(
        source=source,
        trust=TrustStore.for_user(repin=repin),
        verify_tls=not insecure,
        use_tofu=not no_tofu,
        remote=remote,
        key_file=key_file,
    )


def headers(lines: Sequence[str] | None, option: str) -> dict[str, str]:
    """Headers from what was typed for `option`.

    Raises:
        ConfigError: One is not NAME:VALUE.
    """
    from livepeer.client import ConfigError

    found: dict[str, str] = {}
    for line in lines or ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            # What was given may be a secret.
            raise ConfigError(f"{option} must be NAME:VALUE")
        found[name.strip()] = value.strip()
    return found
