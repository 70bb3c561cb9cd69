"""Media over RTMP: how a gateway takes it in and gives it out. By libav, in a process."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import urlsplit

from livepeer.client.errors import StreamLost

from ._rtmp import STUCK, URL

if TYPE_CHECKING:
    from livepeer.trickle.media import Piece

END_S: Final = 10.0
"""How long it has to take the rest at the end."""

PATIENCE_S: Final = 30.0
"""For how long a stream that nobody publishes yet is asked for."""

_READ_BYTES: Final = 64 * 1024


class ServerSilent(StreamLost):
    """A media server is there, and takes nothing: it will not do so any more."""


class RTMPPush:
    """Pushes MPEG-TS, as it comes, to an RTMP server; H.264 and AAC are passed on as they are.

    Args:
        url: Where to; it may hold a key, and is in no message.
        take_s: For how long the server may take nothing.
    """

    def __init__(self, url: str, *, take_s: float) -> None:
        self._url = url
        self._take_s = take_s
        self._process: Process | None = None

    async def put(self, piece: Piece) -> bool:
        """Write a piece.

        Raises:
            ServerSilent: The server takes nothing any more.
            StreamLost: It is not there, or refused.
        """
        if self._process is None:
            limit = str(self._take_s)
            self._process = await _start(self._url, "push", limit, stdin=PIPE, stdout=DEVNULL)
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(piece.data)
            async with asyncio.timeout(self._take_s):
                await self._process.stdin.drain()
        except TimeoutError:
            raise self._lost("") from None
        except (BrokenPipeError, ConnectionResetError):
            raise self._lost(await _words(self._process)) from None
        return True

    async def end_segment(self) -> None:
        """Nothing: the server knows no segments."""

    async def close(self, *, whole: bool) -> None:
        """End the push, with `whole` when everything has gone out.

        Raises:
            StreamLost: With `whole`: not everything did.
        """
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        try:
            process.stdin.close()
            if whole:
                await self._finish(process)
        finally:
            await _end(process)

    async def _finish(self, process: Process) -> None:
        try:
            async with asyncio.timeout(END_S):
                words = await _words(process)
        except TimeoutError:
            raise self._lost(f"it did not take the rest within {END_S:g} s") from None
        if process.returncode:
            raise self._lost(words)

    def _lost(self, words: str) -> StreamLost:
        kind = StreamLost if words else ServerSilent
        why = words or f"it took nothing for {self._take_s:g} s"
        return kind(
            f"the gateway's media server does not take the stream: {why}", url=_host(self._url)
        )


class RTMPPull:
    """What an RTMP server gives out, as chunks of MPEG-TS, until it ends. An async iterator.

    Args:
        url: Where from; it may hold a key, and is in no message.
        patience_s: For how long it is asked again while nobody publishes there.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self._url = url
        self._patience_s = patience_s
        self._process: Process | None = None
        self._closed = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """The next chunk.

        Raises:
            StreamLost: Nothing came.
        """
        if self._process is None and not self._closed:
            self._process = await _start(
                # Nothing is written to it: it ends with us, and tells the process that we ended.
                self._url,
                "pull",
                str(self._patience_s),
                stdin=PIPE,
                stdout=PIPE,
            )
        if self._process is None:
            raise StopAsyncIteration
        assert self._process.stdout is not None
        if data := await self._process.stdout.read(_READ_BYTES):
            return data
        words = await _words(self._process)
        if self._process.returncode and not self._closed:
            raise StreamLost(
                f"the gateway's media server gives no stream: {words}", url=_host(self._url)
            )
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Ask for no more. Idempotent."""
        self._closed = True
        if self._process is not None:
            await _end(self._process)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def _host(url: str) -> str:
    """The server alone: a path often ends with a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


async def _start(url: str, *arguments: str, stdin: int, stdout: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        # Without its own folder in the path: the names there are for this package.
        "-P",
        str(Path(__file__).with_name("_rtmp.py")),
        *arguments,
        stdin=stdin,
        stdout=stdout,
        stderr=PIPE,
        env={**os.environ, URL: url},
    )


async def _words(process: Process) -> str:
    """Wait for the end of a process; what it said, nothing where the server was silent."""
    assert process.stderr is not None
    said = await process.stderr.read(_READ_BYTES)
    await process.wait()
    words = said.decode(errors="replace").strip()
    if not words and process.returncode != STUCK:
        return f"it ended with status {process.returncode}"
    return words


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
    await process.wait()
    if process.stdin is not None:
        process.stdin.close()
