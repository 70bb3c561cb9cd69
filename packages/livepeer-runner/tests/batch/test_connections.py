"""Requests as they come over a connection: heads without an end, wishes for another protocol."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from livepeer.runner import Pipeline
from livepeer.runner.testing import serve

BODY = b'{"text":"a"}'
HEAD = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"Content-Length: %d\r\n" % len(BODY)
MOST = 8 * 1024 * 1024


class Echo(Pipeline):
    def predict(self, text: str) -> str:
        return text


class Connection:
    """A connection to the runner that is served."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)

    async def __aenter__(self) -> Connection:
        self.reader, self.writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def go_on(self, piece: bytes) -> None:
        """Send a piece again and again, as long as it is taken, and no longer than to `MOST`."""
        for _ in range(MOST // len(piece)):
            self.writer.write(piece)
            await self.writer.drain()

    async def answer(self) -> tuple[bytes, bytes]:
        """The first line of an answer, and its body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        fields = dict(
            line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line
        )
        return head.split(b"\r\n")[0], await self.reader.readexactly(int(fields[b"content-length"]))


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (HEAD, b"X-More: " + b"a" * 1000 + b"\r\n"),
        (HEAD + b"X-More: ", b"a" * 1000),
        (b"POST /", b"a" * 1000),
        (CHUNKED + b"c\r\n" + BODY + b"\r\n0\r\n", b"X-More: " + b"a" * 1000 + b"\r\n"),
        (CHUNKED + b"c;", b"a" * 1000),
    ],
    ids=["headers", "one header", "path", "trailers", "extension of a chunk"],
)
async def test_what_has_no_end_is_cut(start: bytes, more: bytes):
    async with serve(Echo()) as server, Connection(server.url) as caller:
        caller.writer.write(start)
        with pytest.raises(ConnectionError):
            await caller.go_on(more)


@pytest.mark.parametrize("begun", [b"", b"POST", HEAD, HEAD + b"X-Mo"])
async def test_a_head_that_does_not_come_ends_the_connection(begun: bytes):
    async with serve(Echo(), body_timeout_s=0.3) as server, Connection(server.url) as caller:
        if begun:
            # Also on a connection that has answered before.
            caller.writer.write(HEAD + LENGTH + b"\r\n" + BODY)
            assert await caller.answer() == (b"HTTP/1.1 200 OK", b'"a"')
        caller.writer.write(begun)
        assert await asyncio.wait_for(caller.reader.read(), 20) == b""


async def test_a_wish_for_another_protocol_is_passed_over():
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUPGRADE: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    request = HEAD + wish + LENGTH + b"\r\n" + BODY
    async with serve(Echo()) as server, Connection(server.url) as caller:
        for _ in range(3):
            caller.writer.write(request)
            assert await caller.answer() == (b"HTTP/1.1 200 OK", b'"a"')


async def test_a_body_that_looks_like_a_head_stays_as_it_is():
    text = b"a\r\nupgrade: b\r\n\r\nc" * 10_000
    body = b'{"text":"' + text.replace(b"\r\n", b"\\r\\n") + b'"}'
    async with serve(Echo()) as server, Connection(server.url) as caller:
        caller.writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        assert (await caller.answer())[1] == body[8:-1]


async def test_zeros_before_a_length_hide_none_of_it():
    async with serve(Echo()) as server, Connection(server.url) as caller:
        caller.writer.write(HEAD + b"Content-Length: 00000000000900000000\r\n\r\n")
        status, _ = await caller.answer()
        assert status.startswith(b"HTTP/1.1 413 ")
