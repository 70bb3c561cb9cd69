"""One port for two protocols: HTTP/1.1 for everything, HTTP/2 in clear text for gRPC.

go-livepeer serves both on its one address. A connection that begins with HTTP/2's preface is
relayed, byte for byte, to a gRPC server on another port of loopback; any other is handed to the
HTTP server after its first bytes, and costs nothing from then on.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, Protocol, cast

from aiohttp import web

from livepeer.trickle.aio import cancel_and_wait

from .errors import VerifyUnavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

logger = logging.getLogger("livepeer.runner.local")

_PREFACE: Final = b"PRI "


class Backend(Protocol):
    """Who serves HTTP/2."""

    async def port(self) -> int:
        """Its port on loopback; the first call starts it.

        Raises:
            VerifyUnavailable: A library is missing.
        """
        ...

    async def close(self) -> None:
        """Stop, if it was started."""
        ...


class FrontSite(web.BaseSite):
    """Accepts connections for an application and for a gRPC server.

    Args:
        runner: The application's, set up.
        bound: The listening socket.
        backend: Started with the first HTTP/2 connection.
        backlog: Connections that wait to be accepted.
    """

    def __init__(
        self, runner: web.AppRunner, bound: socket.socket, backend: Backend, *, backlog: int
    ) -> None:
        super().__init__(runner, backlog=backlog)
        self._bound = bound
        self._backend = backend
        self._http = cast("Callable[[], asyncio.Protocol]", runner.server)
        self._undecided: set[asyncio.Transport] = set()
        self._relays: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Where it listens."""
        host, port = self._bound.getsockname()[:2]
        return f"http://{host}:{port}"

    async def start(self) -> None:
        """Begin to accept."""
        await super().start()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Undecided(self), sock=self._bound, backlog=self._backlog
        )

    async def stop(self) -> None:
        """Accept no more, and end what is not the application's."""
        await super().stop()
        for transport in self._undecided:
            transport.close()
        await cancel_and_wait(*self._relays)
        await self._backend.close()

    def wait(self, transport: asyncio.Transport) -> None:
        """A connection that has not said anything yet."""
        self._undecided.add(transport)

    def forget(self, transport: asyncio.Transport) -> None:
        """It ended, or has been decided about."""
        self._undecided.discard(transport)

    def hand_over(self, transport: asyncio.Transport, head: bytes) -> None:
        """Give a connection to the HTTP server."""
        protocol = self._http()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        protocol.data_received(head)

    def relay(self, transport: asyncio.Transport, head: bytes) -> None:
        """Give a connection to the gRPC server."""
        transport.pause_reading()
        task = asyncio.create_task(self._relay(transport, head))
        self._relays.add(task)
        task.add_done_callback(self._relays.discard)

    async def _relay(self, transport: asyncio.Transport, head: bytes) -> None:
        ended = asyncio.Event()
        try:
            loop, port = asyncio.get_running_loop(), await self._backend.port()
            inner, _ = await loop.create_connection(
                lambda: _Relay(transport, ended), "127.0.0.1", port
            )
            try:
                if transport.is_closing():
                    return
                transport.set_protocol(_Relay(inner, ended))
                inner.write(head)
                transport.resume_reading()
                await ended.wait()
            finally:
                inner.close()
        except VerifyUnavailable as reason:
            logger.error("a gRPC call is refused: %s", reason)
        except OSError as reason:
            logger.warning("a gRPC connection broke: %s", reason)
        finally:
            transport.close()


class _Undecided(asyncio.Protocol):
    """A connection whose first bytes are not there."""

    def __init__(self, site: FrontSite) -> None:
        self._site = site
        self._head = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._site.wait(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._site.forget(self._transport)

    def data_received(self, data: bytes) -> None:
        self._head += data
        if len(self._head) < len(_PREFACE) and _PREFACE.startswith(self._head):
            return
        self._site.forget(self._transport)
        if self._head.startswith(_PREFACE):
            self._site.relay(self._transport, self._head)
        else:
            self._site.hand_over(self._transport, self._head)


class _Relay(asyncio.Protocol):
    """One end of a relayed connection: what comes in goes out at the other."""

    def __init__(self, other: asyncio.Transport, ended: asyncio.Event) -> None:
        self._other = other
        self._ended = ended

    def data_received(self, data: bytes) -> None:
        self._other.write(data)

    def pause_writing(self) -> None:
        self._other.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.is_closing():
            self._other.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._ended.set()
