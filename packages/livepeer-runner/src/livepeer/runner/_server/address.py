"""Where a server listens: an address taken, and what a person is told of it."""

from __future__ import annotations

import errno
import socket
from typing import Final

from livepeer.runner.errors import PortInUse, SettingsError

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""The addresses that mean all interfaces, and the loopback address among those."""


def bind(host: str, port: int) -> socket.socket:
    """Take an address to listen on.

    Raises:
        PortInUse: Somebody else has it.
        SettingsError: It is none of this machine's.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as exc:
        raise _not_ours(host, port, exc) from exc
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as exc:
        sock.close()
        if exc.errno in (errno.EADDRINUSE, errno.EACCES):
            raise PortInUse(host, port) from exc
        raise _not_ours(host, port, exc) from exc
    return sock


def url_of(host: str, port: int) -> str:
    """The base URL of an address; the loopback address's where it means all interfaces."""
    host = _ANY.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def where(host: str, port: int) -> str:
    """What a person is told of an address that is listened on: a URL first, which opens here."""
    url = url_of(host, port)
    on = f"on all interfaces, {host}; " if host in _ANY else ""
    return f"{url} ({on}documents: {url}/docs)"


def _not_ours(host: str, port: int, error: OSError | UnicodeError) -> SettingsError:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return SettingsError(
        f"cannot listen on {host}:{port}: {why}; set LIVEPEER_HOST to an address of this machine,"
        " such as 127.0.0.1, or 0.0.0.0 for all that it has"
    )
