"""One port for HTTP/1.1 and gRPC, clear or TLS, that can be killed and opened again."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from livepeer.trickle.aio import cancel_and_wait

from ._certificate import server_context, use_certificate

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from typing import Any

_PREFACE: Final = b"PRI * HTTP/2.0"
_HOST: Final = "127.0.0.1"


class _Door(asyncio.Protocol):
    """Looks at the first bytes of a connection and hands it to HTTP/1.1 or to gRPC."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport | None = None
        self._first = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._host.add(self._transport)

    def data_received(self, data: bytes) -> None:
        self._first += data
        if self._transport is None:
            return
        if self._first.startswith(_PREFACE):
            self._host.hand_to_grpc(self._transport, self._first)
        elif not _PREFACE.startswith(self._first):
            self._host.hand_to_http(self._transport, self._first)


class _Pipe(asyncio.Protocol):
    """Writes what one connection brings to another, and closes it when the one ends."""

    def __init__(self, to: asyncio.Transport | None = None, waiting: bytes = b"") -> None:
        self._to = to
        self._waiting = waiting
        self._lost = False

    def join(self, to: asyncio.Transport) -> None:
        """Begin to write, with what came before."""
        self._to = to
        to.write(self._waiting)
        if self._lost:
            to.close()

    def data_received(self, data: bytes) -> None:
        if self._to is None:
            self._waiting += data
        else:
            self._to.write(data)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._lost = True
        if self._to is not None:
            self._to.close()


class Host:
    """Serves applications, one after the other, on one port of loopback.

    Attributes:
        url: Where it listens, from the first `open` on.
        grpc_port: Where connections of HTTP/2 go; None resets them.
    """

    def __init__(self, *, tls_name: str | None) -> None:
        """`tls_name`: the one name in its certificates; None serves clear text."""
        self.url = ""
        self.grpc_port: int | None = None
        self._tls_name = tls_name
        self._port: int = 0
        self._context: ssl.SSLContext | None = None
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._transports: list[asyncio.Transport] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def bind(self) -> None:
        """Take the port, so that the URL is known; connections wait for `open`."""
        if self._tls_name is not None:
            self._context = server_context(self._tls_name)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: _Door(self), _HOST, self._port, ssl=self._context, start_serving=False
        )
        self._port = int(self._server.sockets[0].getsockname()[1])
        self.url = f"{'http' if self._context is None else 'https'}://{_HOST}:{self._port}"

    async def open(self, app: web.Application) -> None:
        """Serve `app` on the port that `bind` took."""
        self._runner = web.AppRunner(
            app,
            access_log=None,
            handler_cancellation=True,
            keepalive_timeout=75.0,
            lingering_time=2.0,
            shutdown_timeout=1.0,
        )
        await self._runner.setup()
        if self._server is not None:
            await self._server.start_serving()

    def renew_certificate(self, name: str | None = None) -> None:
        """A new certificate for connections to come; open ones are reset.

        Args:
            name: Its one name; by default the one that it had.
        """
        if self._context is None or self._tls_name is None:
            raise ValueError("this fake serves no TLS; give it tls=True")
        self._tls_name = name or self._tls_name
        use_certificate(self._context, self._tls_name)
        self._reset()

    async def close(self) -> None:
        """Refuse connections, and reset those that are open."""
        server, self._server = self._server, None
        runner, self._runner = self._runner, None
        if server is not None:
            server.close()
        self._reset()
        await cancel_and_wait(*self._tasks)
        if runner is not None:
            await runner.cleanup()

    def add(self, transport: asyncio.Transport) -> None:
        """Remember a connection, to reset it later."""
        self._transports = [one for one in self._transports if not one.is_closing()]
        self._transports.append(transport)

    def hand_to_http(self, transport: asyncio.Transport, first: bytes) -> None:
        """Let aiohttp have a connection that began with `first`."""
        server = None if self._runner is None else self._runner.server
        if server is None:
            transport.abort()
            return
        protocol = cast("Callable[[], asyncio.Protocol]", server)()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(first)

    def hand_to_grpc(self, transport: asyncio.Transport, first: bytes) -> None:
        """Let the gRPC server have a connection that began with `first`."""
        near = _Pipe(waiting=first)
        transport.set_protocol(near)
        self._spawn(self._join(transport, near))

    async def _join(self, transport: asyncio.Transport, near: _Pipe) -> None:
        if self.grpc_port is None:
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        try:
            far, _ = await loop.create_connection(lambda: _Pipe(transport), _HOST, self.grpc_port)
        except OSError:
            transport.abort()
            return
        self.add(far)
        near.join(far)

    def _reset(self) -> None:
        for transport in self._transports:
            transport.abort()
        self._transports.clear()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@asynccontextmanager
async def hosted(app: web.Application, *, tls: bool) -> AsyncGenerator[str]:
    """Serve one application on a free port; yields its URL. With TLS, nobody vouches for it."""
    host = Host(tls_name=_HOST if tls else None)
    await host.bind()
    await host.open(app)
    try:
        yield host.url
    finally:
        await host.close()
