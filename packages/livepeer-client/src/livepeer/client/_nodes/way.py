"""From the options of a client to the transport that carries its jobs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from livepeer.client._pay.payments import payer_of
from livepeer.client._pay.spending import SpendingLimits
from livepeer.client._wire.encoding import MAX_ANSWER_BYTES, base_url, redact
from livepeer.client.errors import ConfigError

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from typing import Unpack

    from livepeer.client._find.access import AccessToken
    from livepeer.client._find.discovery import OrchestratorSource
    from livepeer.client._net.http import HTTP
    from livepeer.client._pay.payments import PaymentProvider
    from livepeer.client._sign.remote import RemoteSigner
    from livepeer.client._sign.signing import Signer
    from livepeer.client.options import ClientOptions

    from .transport import JobTransport

_NOBODY = (
    "nobody to call: give `gateway='http://…'`; or, to call orchestrators directly,"
    " `orchestrators=['https://…']`, `discovery=`, `access_token=`, or the URL of a remote signer"
    " as `signer=`"
)
_DIRECT_ONLY = (
    "orchestrators",
    "discovery",
    "access_token",
    "signer",
    "payments",
    "max_price_per_s",
    "max_spend",
    "selection",
)


class Way:
    """Which way jobs take, as the options of a `Client` say it.

    Raises:
        ConfigError: They do not go together, or one is wrong.
    """

    def __init__(self, **options: Unpack[ClientOptions]) -> None:
        self._options = options
        self._gateway: str | None = None
        self._source: OrchestratorSource | None = None
        self._signer: Signer | None = None
        self._limits = SpendingLimits(
            max_price_per_s=options.get("max_price_per_s"), max_spend=options.get("max_spend")
        )
        gateway = options.get("gateway")
        if gateway is not None:
            _check_gateway(options)
            self._gateway = base_url(gateway, "gateway")
            return
        token = _access(options)
        signer, payments = _signer(options, token), options.get("payments")
        if payments is None:
            payments = default_payments(options, signer)
        else:
            signer = _signer_of(payments, signer)
        self._signer = signer
        self._source = _source(options, token, signer)
        self._payments = self._limits.applied_to(payments)

    @property
    def spent(self) -> int:
        """What has left as payments, in wei."""
        return self._limits.spent

    async def open(self, stack: AsyncExitStack) -> tuple[HTTP, JobTransport]:
        """The connections and the transport; `stack` closes what was opened."""
        from livepeer.client._net.http import HTTP  # lazy: aiohttp

        options = self._options
        http = HTTP(
            verify_tls=options.get("verify_tls", True),
            max_answer_bytes=options.get("max_answer_bytes", MAX_ANSWER_BYTES),
            # Orchestrators sign their own certificates; a gateway is verified as anybody else.
            use_tofu=self._gateway is None and options.get("use_tofu", True),
            trust=options.get("trust"),
        )
        await stack.enter_async_context(http)
        if self._gateway is None:
            return http, await self._direct(http, stack)
        from .gateway import GatewayTransport  # lazy: aiohttp

        return http, GatewayTransport(http, self._gateway)

    async def _direct(self, http: HTTP, stack: AsyncExitStack) -> JobTransport:
        from livepeer.client._find.finder import Finder
        from livepeer.client._sign.signing import LocalSigner

        from .direct import OrchestratorTransport  # lazy: aiohttp

        assert self._source is not None
        signer = self._signer
        if signer is None:
            # In a thread: the Ethereum library takes most of a second to import.
            signer = await asyncio.to_thread(LocalSigner.ephemeral)
        elif (remote := _as_remote(signer)) is not None:
            stack.push_async_callback(remote.aclose)
        finder = Finder(self._source, policy=self._options.get("selection"))
        return OrchestratorTransport(http, finder, signer=signer, payments=self._payments)

    def __str__(self) -> str:
        return repr(self._source) if self._gateway is None else redact(self._gateway)


def _check_gateway(options: ClientOptions) -> None:
    for name in _DIRECT_ONLY:
        if options.get(name) not in (None, (), [], ""):
            raise ConfigError(
                f"`gateway` and `{name}` exclude each other: a gateway itself finds orchestrators,"
                " signs and pays"
            )


def _access(options: ClientOptions) -> AccessToken | None:
    text = options.get("access_token")
    if text is None:
        return None
    from livepeer.client._find.access import AccessToken, parse_access_token

    return text if isinstance(text, AccessToken) else parse_access_token(text)


def _signer(options: ClientOptions, token: AccessToken | None) -> Signer | None:
    given, headers = options.get("signer"), options.get("signer_headers")
    if token is not None and token.signer is not None:
        given, headers = token.signer, token.signer_headers
    if isinstance(given, str):
        from livepeer.client._sign.remote import RemoteSigner

        return RemoteSigner(given, headers=headers)
    if headers:
        raise ConfigError("`signer_headers` goes with the URL of a remote signer as `signer`")
    return given


def _source(
    options: ClientOptions, token: AccessToken | None, signer: Signer | None
) -> OrchestratorSource:
    from livepeer.client._find.access import choose_source

    source = choose_source(
        token=token,
        orchestrators=options.get("orchestrators") or (),
        discovery=options.get("discovery"),
        discovery_headers=options.get("discovery_headers"),
        signer=None if signer is None else _as_remote(signer),
    )
    if source is None:
        raise ConfigError(_NOBODY)
    return source


def _signer_of(payments: PaymentProvider, signer: Signer | None) -> Signer | None:
    """Who signs what is paid so: who pays, also where no signer was given.

    Raises:
        ConfigError: Another pays than signs, and would pay in vain.
    """
    from livepeer.client._sign.signing import Signer

    payer = payer_of(payments)
    if signer is None and isinstance(payer, Signer):
        return payer
    pays, signs = _name_of(payer), _name_of(signer)
    if pays is None or (signs is None and signer is not None):
        return signer
    if signs is None:
        raise ConfigError(f"`payments` pays as {pays}, and nothing signs as that; give `signer=`")
    if pays.lower() != signs.lower():
        raise ConfigError(
            f"`payments` pays as {pays}, but `signer` (or the access token) signs as {signs}: what"
            " is paid would be no credit of who signs; leave one of them out, or let both be the"
            " same"
        )
    return signer


def _name_of(signer: object) -> str | None:
    """What tells a signer from others; None where nothing does."""
    from livepeer.client._sign.remote import RemoteSigner

    if isinstance(signer, RemoteSigner):
        return redact(signer.url)
    address = getattr(signer, "address", None)
    return address if isinstance(address, str) else None


def default_payments(options: ClientOptions, signer: Signer | None) -> PaymentProvider:
    """What pays where the caller names nothing: the remote signer, else nobody."""
    remote = None if signer is None else _as_remote(signer)
    if remote is None:
        from livepeer.client._pay.payments import FreeOnly

        return FreeOnly()
    from livepeer.client._pay.byoc import RemotePayments

    return RemotePayments(
        remote,
        use_tofu=options.get("use_tofu", True),
        verify_tls=options.get("verify_tls", True),
        trust=options.get("trust"),
    )


def _as_remote(signer: Signer) -> RemoteSigner | None:
    from livepeer.client._sign.remote import RemoteSigner

    return signer if isinstance(signer, RemoteSigner) else None
