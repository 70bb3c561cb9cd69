"""One connection of HTTP/1.1: uvicorn's, strict with heads, and an answer with one write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from livepeer.runner._server.stalled import StallWatch
from livepeer.runner._server.writing import Gathering

if TYPE_CHECKING:
    import asyncio

_MOST_LOOSE: Final = 64 * 1024
_MAX_LENGTH_DIGITS: Final = 20
_UPGRADE: Final = re.compile(rb"\nupgrade:", re.IGNORECASE)


class _Parser(Protocol):
    """What of the parser is asked here."""

    def get_http_version(self) -> str: ...


class Connection(HttpToolsProtocol):
    """Uvicorn's, which gives an answer with one write, and is strict with heads.

    The parser knows no largest head, and lets pass what senders read in different ways.
    """

    _loose = 0
    """Bytes that came in since the last piece of a body or the end of a head or a message."""
    _in_body = False
    """Whether the head of a request has ended, and its message has not."""
    _awaited: asyncio.TimerHandle | None = None
    """When the head that comes in has to be there."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        self._gathering = Gathering(transport)
        self._stall = StallWatch(transport, cast("Config", self.config).write_timeout_s)
        super().connection_made(self._gathering)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._await_none()
        self._stall.end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        self._stall.begin()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stall.end()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        self._loose += len(data)
        if self._loose == len(data) and not self._in_body:
            data = without_upgrade(data)
        super().data_received(data)
        if self._loose and not self.transport.is_closing():
            if self._loose > _MOST_LOOSE:
                self.send_400_response("The head of the request is too large.")
            elif not self._in_body and self._awaited is None:
                self._await_head()

    def on_headers_complete(self) -> None:
        self._loose = 0
        self._in_body = True
        self._await_none()
        # Uvicorn does not say what it is.
        parser = cast("_Parser", self.parser)  # pyright: ignore[reportUnknownMemberType]
        if not is_sound(self.headers, parser.get_http_version()):
            raise ValueError  # to the parser, which has uvicorn answer 400
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._loose = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._loose = 0
        self._in_body = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if len(self.tasks) == 1:
            # Nothing else goes out in this turn, and this caller waits.
            self._gathering.flush()
        super().on_response_complete()

    def _await_head(self) -> None:
        timeout_s = cast("Config", self.config).head_timeout_s
        self._awaited = self.loop.call_later(timeout_s, self.transport.close)

    def _await_none(self) -> None:
        if self._awaited is not None:
            self._awaited.cancel()
            self._awaited = None


class Config(uvicorn.Config):
    """Uvicorn's, of a server whose connections are those of this module.

    Args:
        app: As uvicorn's.
        head_timeout_s: How long the head of a request may take to come in.
        write_timeout_s: How long a caller may take nothing of what waits for him.
        options: Others of uvicorn's.
    """

    def __init__(
        self, app: Any, *, head_timeout_s: float, write_timeout_s: float, **options: Any
    ) -> None:
        super().__init__(app, http=Connection, **options)
        self.head_timeout_s = head_timeout_s
        self.write_timeout_s = write_timeout_s


def is_sound(headers: list[tuple[bytes, bytes]], version: str) -> bool:
    """Whether a request says once whom it is for, and in one way how long it is.

    Args:
        headers: Its own, the names in lower case.
        version: Of HTTP; `1.0` had no `Host`.
    """
    hosts = 0
    for key, value in headers:
        if key == b"host":
            hosts += 1
        elif key == b"content-length":
            if len(value) > _MAX_LENGTH_DIGITS:
                return False
        elif key == b"transfer-encoding" and value.strip().lower() != b"chunked":
            return False
    return hosts == 1 or (not hosts and version == "1.0")


def without_upgrade(data: bytes) -> bytes:
    """A request, of which the head begins here, without its wish for another protocol.

    Nothing else is spoken here, and the parser would not read the body of such a request, as it is
    with Java's client, which wishes for HTTP/2 wherever it comes.
    """
    end = data.find(b"\r\n\r\n")
    head = data if end < 0 else data[:end]
    if b"\nupgrade:" not in head.lower():
        return data
    return _UPGRADE.sub(b"\nx-upgrade:", head) + data[len(head) :]
