"""An orchestrator and a gateway on loopback, for as long as a context lasts."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from aiohttp import web

from livepeer.trickle.loopback import is_loopback

from .calls import MAX_HEADER_BYTES
from .errors import AddressUnavailable, PortInUse, RemoteBindRefused
from .front import FrontSite
from .gateway import make_gateway
from .grpc_server import GrpcServer
from .keys import AnySignature, EthereumVerifier, NoKey, ThrowAwayKey
from .money.till import make_till
from .orchestrator import NODE, make_orchestrator
from .settings import LocalSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .keys import Signer, Verifier

# Callers and runners keep connections; upstream's idle ones live 60 s.
_KEEPALIVE_S = 75.0
_BACKLOG = 128


class LocalNetwork:
    """Starts an orchestrator and a gateway that know it. An async context manager.

    For development and tests: in memory, and by default free of charge and without any check of
    signatures, like a go-livepeer node that runs off-chain.

    Args:
        host: Where both listen; only loopback, unless `allow_remote`.
        orchestrator_port: The orchestrator's port, 0 for a free one.
        gateway_port: The gateway's port, 0 for a free one.
        secret: What runners must send to register; None asks for nothing.
        verify: Check signatures, and let the gateway sign with a throw-away key.
        charge: Ask for what capabilities registered as their price, and check the tickets that pay
            it, as an on-chain node; the gateway pays with its key. Nothing is ever redeemed, and
            every sender counts as rich. It implies `verify`.
        allow_remote: Listen on an address that other machines can reach.
        settings: Intervals and limits.
        other_orchestrators: URLs of more orchestrators that the gateway knows, without a trailing
            slash.

    Raises:
        RemoteBindRefused: `host` is not loopback.
        VerifyUnavailable: `verify` or `charge` without the extra `verify`.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        orchestrator_port: int = 0,
        gateway_port: int = 0,
        secret: str | None = None,
        verify: bool = False,
        charge: bool = False,
        allow_remote: bool = False,
        settings: LocalSettings | None = None,
        other_orchestrators: Sequence[str] = (),
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise RemoteBindRefused(host)
        given = settings or LocalSettings()
        self._settings = given if secret is None else replace(given, secret=secret)
        signed = verify or charge
        self._verifier: Verifier = EthereumVerifier() if signed else AnySignature()
        self._signer: Signer = ThrowAwayKey() if signed else NoKey()
        self._till = make_till(self._settings) if charge else None
        self._host = host
        self._ports = (orchestrator_port, gateway_port)
        self._others = tuple(other_orchestrators)
        self._stack = AsyncExitStack()
        self._orchestrator_url = ""
        self._gateway_url = ""

    @property
    def orchestrator_url(self) -> str:
        """Where the orchestrator is, without a trailing slash; "" before the start."""
        return self._orchestrator_url

    @property
    def gateway_url(self) -> str:
        """Where the gateway is, without a trailing slash; "" before the start."""
        return self._gateway_url

    async def __aenter__(self) -> Self:
        """Bind both ports, then serve.

        Raises:
            PortInUse: Another program listens on one of the ports.
            AddressUnavailable: The host cannot be bound.
        """
        async with AsyncExitStack() as stack:
            sockets = [stack.enter_context(_listen(self._host, port)) for port in self._ports]
            self._orchestrator_url, self._gateway_url = (_url(bound) for bound in sockets)
            orchestrator = make_orchestrator(
                self._orchestrator_url, self._verifier, self._till, self._settings
            )
            known = [self._orchestrator_url, *self._others]
            gateway = make_gateway(known, self._signer, self._settings)
            backend = GrpcServer(orchestrator[NODE])
            await self._serve(stack, orchestrator, sockets[0], backend)
            await self._serve(stack, gateway, sockets[1], None)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _serve(
        self,
        stack: AsyncExitStack,
        app: web.Application,
        bound: socket.socket,
        backend: GrpcServer | None,
    ) -> None:
        runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=_KEEPALIVE_S,
            shutdown_timeout=self._settings.shutdown_timeout_s,
            max_field_size=MAX_HEADER_BYTES,
            # Bodies go on byte for byte, packed or not.
            auto_decompress=False,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        if backend is None:
            await web.SockSite(runner, bound, backlog=_BACKLOG).start()
        else:
            await FrontSite(runner, bound, backend, backlog=_BACKLOG).start()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnavailable(host, port, error.strerror or str(error)) from None
    try:
        if os.name == "posix":
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from None
        raise AddressUnavailable(host, port, error.strerror or str(error)) from None
    return listening


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
