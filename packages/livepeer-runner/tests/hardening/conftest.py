"""What the tests of hostile requests share: a server in the background, and plain sockets to it."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import pytest

from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextlib import AbstractContextManager

    from livepeer.runner import Pipeline

LONGEST_S = 20.0


class Reply(NamedTuple):
    """An answer as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Wire:
    """One connection to a server, on which anything can be sent."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LONGEST_S)
        self._reader = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send; a server that has answered and closed may have done so before the end."""
        try:
            self._socket.sendall(data)
        except ConnectionError:
            return

    def end(self) -> None:
        """Say that nothing more comes."""
        self._socket.shutdown(socket.SHUT_WR)

    def reply(self, *, head: bool = False) -> Reply:
        """The next answer; of one to `HEAD` there is no body."""
        status = int(self._reader.readline().split()[1])
        headers: dict[str, str] = {}
        while (line := self._reader.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        if head or status < 200:
            return Reply(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, b"".join(self._chunks()))
        if "content-length" in headers:
            return Reply(status, headers, self._reader.read(int(headers["content-length"])))
        return Reply(status, headers, self._reader.read())

    def _chunks(self) -> Generator[bytes, None, None]:
        while size := int(self._reader.readline(), 16):
            yield self._reader.read(size)
            self._reader.readline()
        self._reader.readline()

    def is_closed(self) -> bool:
        """Whether the server closes it, without another word."""
        try:
            return self._reader.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._reader.close()
        self._socket.close()


class Served:
    """A pipeline that is served on a thread of its own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._port = urlsplit(url).port or 0

    @contextmanager
    def wire(self) -> Generator[Wire, None, None]:
        wire = Wire(self._port)
        try:
            yield wire
        finally:
            wire.close()

    def ask(self, request: bytes) -> Reply:
        """Send a request on a connection of its own, and read the answer."""
        with self.wire() as wire:
            wire.send(request)
            return wire.reply(head=request.startswith(b"HEAD "))

    def post(self, path: str, body: bytes, kind: str = "application/json", more: str = "") -> Reply:
        return self.ask(request(path, body, kind, more))


def request(path: str, body: bytes, kind: str = "application/json", more: str = "") -> bytes:
    """A POST in good form, with further header lines."""
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: {kind}\r\n{more}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode("latin-1") + body


class ServeThread(Protocol):
    def __call__(self, pipeline: Pipeline, **options: Any) -> AbstractContextManager[Served]: ...


@contextmanager
def _serve(pipeline: Pipeline, **options: Any) -> Generator[Served, None, None]:
    started: Future[tuple[str, Callable[[], object]]] = Future()

    async def run() -> None:
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with serve(pipeline, drain_timeout_s=1, **options) as server:
            started.set_result((server.url, lambda: loop.call_soon_threadsafe(over.set)))
            await over.wait()

    def work() -> None:
        try:
            asyncio.run(run())
        except Exception as exc:  # noqa: BLE001 - told to who waits for it
            started.set_exception(exc)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    url, stop = started.result(LONGEST_S)
    try:
        yield Served(url)
    finally:
        stop()
        thread.join(LONGEST_S)
        assert not thread.is_alive()


@pytest.fixture(scope="session")
def serve_thread() -> ServeThread:
    """Serves a pipeline on a thread, for tests that block."""
    return _serve


@pytest.fixture(scope="session")
def make_request() -> Callable[..., bytes]:
    """Makes a POST in good form."""
    return request
