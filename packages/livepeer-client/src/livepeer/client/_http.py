"""HTTP for the transports: sessions, deadlines and limits; the only place that imports aiohttp."""

from __future__ import annotations

import asyncio
import io
import os
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from ._wire import redact
from .errors import InvalidAnswer, JobTimeout, NodeUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator, Mapping

    from multidict import CIMultiDictProxy

CONNECT_TIMEOUT_S = 10.0
MAX_ANSWER_BYTES = 64 * 1024 * 1024
MAX_REFUSAL_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer that was read whole."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class HTTP:
    """The connections of one client, as an async context manager.

    Args:
        verify_tls: Check certificates. Orchestrators have self-signed ones unless somebody put
            another in front of them.
        max_answer_bytes: The largest answer that is read.

    Attributes:
        trickle: The session for trickle channels: waiting is normal there, so it has no deadline.
    """

    def __init__(
        self, *, verify_tls: bool = True, max_answer_bytes: int = MAX_ANSWER_BYTES
    ) -> None:
        self.max_answer_bytes = max_answer_bytes
        self._verify_tls = verify_tls
        self._session: aiohttp.ClientSession | None = None
        self._trickle: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = self._new_session(auto_decompress=True)
        self._trickle = self._new_session(auto_decompress=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._session, self._trickle):
            if session is not None:
                await session.close()
        self._session = self._trickle = None

    @property
    def trickle(self) -> aiohttp.ClientSession:
        """The session for trickle channels."""
        return _opened(self._trickle)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float | None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Send a request and give the response as soon as its headers are here.

        The connection is closed on leaving, unless the body was read to its end.

        Args:
            method: The HTTP method.
            url: Encoded as it is to be sent.
            headers: Request headers.
            body: Request body.
            timeout_s: For connecting, sending and the headers of the answer together, None for
                as long as it takes. The body has its own deadline, `read`'s or `chunks`'.

        Raises:
            NodeUnreachable: There is no connection, or it was cut.
            JobTimeout: The time passed.
        """
        session = _opened(self._session)
        where = redact(url)
        with _translated(where, timeout_s):
            async with asyncio.timeout(timeout_s):
                response = await session.request(
                    method,
                    URL(url, encoded=True),
                    headers=headers,
                    # In pieces: aiohttp warns of large bytes, which it writes at one go.
                    data=io.BytesIO(body) if body else body,
                    # Go redirects what it takes for an unclean path, and a redirected POST would
                    # arrive as a GET.
                    allow_redirects=False,
                )
        try:
            yield response
        finally:
            # Closed, not released: what is left of a body may be an endless flood of newlines.
            response.close()

    async def read(
        self, response: aiohttp.ClientResponse, *, timeout_s: float, limit: int | None = None
    ) -> bytes:
        """Read a body to its end.

        Raises:
            InvalidAnswer: It is larger than `limit`, by default `max_answer_bytes`.
            JobTimeout: The time passed.
            NodeUnreachable: The connection was cut.
        """
        limit = self.max_answer_bytes if limit is None else limit
        where = redact(str(response.url))
        body = bytearray()
        with _translated(where, timeout_s):
            async with asyncio.timeout(timeout_s):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > limit:
                        raise InvalidAnswer(f"the answer is larger than {limit} bytes", url=where)
        return bytes(body)

    async def chunks(
        self, response: aiohttp.ClientResponse, *, timeout_s: float | None
    ) -> AsyncGenerator[bytes]:
        """The body as it comes; `timeout_s` is for all of it, None for no deadline.

        Raises:
            JobTimeout: The time passed.
            NodeUnreachable: The connection was cut.
        """
        where = redact(str(response.url))
        deadline = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        while True:
            with _translated(where, timeout_s):
                async with asyncio.timeout_at(deadline):
                    chunk = await response.content.readany()
            if not chunk:
                return
            yield chunk

    async def exchange(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        timeout_s: float,
    ) -> Reply:
        """Send a request and read the answer whole.

        Raises:
            NodeUnreachable: There is no connection, or it was cut.
            JobTimeout: The time passed, for the headers or for the body.
            InvalidAnswer: The answer is larger than `max_answer_bytes`.
        """
        async with self.open(
            method, url, headers=headers, body=body, timeout_s=timeout_s
        ) as response:
            data = await self.read(response, timeout_s=timeout_s)
            return Reply(status=response.status, headers=response.headers, body=data)

    def _new_session(self, *, auto_decompress: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limit of connections: whoever waits for one would use up the job's timeout, and
            # channels hold theirs open.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._verify_tls),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            auto_decompress=auto_decompress,
        )


def _opened(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise RuntimeError("the client is not open; use it as `async with Client(...) as client:`")
    return session


@contextmanager
def _translated(url: str, timeout_s: float | None) -> Generator[None]:
    """Turn what HTTP raises into errors of ours."""
    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise NodeUnreachable(
            "its certificate is not trusted; verify_tls=False accepts a self-signed one",
            url=url,
            retryable=False,
        ) from error
    # Before OSError and TimeoutError, from which some of aiohttp's errors inherit too.
    except aiohttp.ClientError as error:
        raise NodeUnreachable(f"no connection: {_reason(error)}", url=url) from error
    except TimeoutError as error:
        within = "in time" if timeout_s is None else f"within {timeout_s:g} s"
        raise JobTimeout(f"no answer {within}", url=url) from error
    except OSError as error:
        raise NodeUnreachable(f"no connection: {error}", url=url) from error


def _reason(error: aiohttp.ClientError) -> str:
    # The system's own words; aiohttp's have the state of its TLS options in them.
    if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno is not None:
        if error.os_error.errno > 0:
            return os.strerror(error.os_error.errno)
        return str(error.os_error.strerror)
    return str(error) or type(error).__name__
