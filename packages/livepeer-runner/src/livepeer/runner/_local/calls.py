"""Calls to other nodes and to runners, with the headers and the manners of Go's client."""

from __future__ import annotations

import asyncio
import io
import os
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

# go-livepeer closes a connection to a runner that was idle for so long (`byoc/types.go`).
IDLE_CONNECTION_S = 60.0
MAX_CONNECTIONS = 1024
# Go's server takes headers of 1 MiB; aiohttp's default of 8 KiB is less than a job may need.
MAX_HEADER_BYTES = 1024 * 1024
_GO_HEADERS = {"User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")


class CallError(Exception):
    """A call that got no answer; the message is what Go's client would say."""


class BadURL(CallError, ValueError):
    """The registered URL cannot be parsed."""


class Unreachable(CallError, ConnectionError):
    """No connection, or it broke before the answer's headers."""


class Expired(CallError, TimeoutError):
    """The answer's headers did not come in time."""


def new_session() -> aiohttp.ClientSession:
    """A session for calls to other nodes; each call brings its own time limit.

    Certificates are not checked, as upstream: nodes make their own.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_CONNECTION_S, ssl=False
        ),
        timeout=aiohttp.ClientTimeout(total=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        max_field_size=MAX_HEADER_BYTES,
    )


def bearer(token: str) -> dict[str, str]:
    """The header that shows a runner its own token, if it registered one."""
    return {"Authorization": f"Bearer {token}"} if token else {}


@asynccontextmanager
async def send(
    session: aiohttp.ClientSession,
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    timeout_s: float,
    *,
    method: str = "POST",
) -> AsyncGenerator[aiohttp.ClientResponse]:
    """Send, and give the response once its headers are there, for as long as the context lasts.

    Only `headers` and what Go's client adds are sent. Redirects are followed as Go does.

    Raises:
        BadURL: `url` cannot be parsed.
        Unreachable: No connection, a broken one, or a scheme other than http and https.
        Expired: No headers within `timeout_s`, which is at once for a negative one.
    """
    attempt = f'{method.capitalize()} "{url}":'
    target = _target(url, attempt)
    try:
        async with asyncio.timeout(timeout_s):
            response = await session.request(
                method,
                target,
                # In pieces: aiohttp warns of large bytes, which it writes at one go.
                data=io.BytesIO(body) if body else body,
                headers={**_GO_HEADERS, **headers},
                skip_auto_headers=("Accept", "Content-Type"),
            )
    except TimeoutError:
        raise Expired(f"{attempt} context canceled") from None
    except aiohttp.ClientConnectorError as error:
        code = error.os_error.errno
        reason = os.strerror(code).lower() if code and code > 0 else str(error.os_error)
        at = f"{error.host}:{error.port}"
        raise Unreachable(f"{attempt} dial tcp {at}: connect: {reason}") from None
    except (aiohttp.ClientError, OSError):
        raise Unreachable(f"{attempt} EOF") from None
    try:
        yield response
    finally:
        response.close() if not response.content.at_eof() else response.release()


async def read_answer(response: aiohttp.ClientResponse, limit: int, timeout_s: float) -> bytes:
    """Read a whole answer.

    Raises:
        CallError: It broke off, is longer than `limit`, or took longer than `timeout_s`.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(timeout_s):
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > limit:
                    raise CallError(f"answer longer than {limit} bytes")
    except TimeoutError:
        raise Expired("context deadline exceeded") from None
    except (aiohttp.ClientError, OSError):
        raise Unreachable("unexpected EOF") from None
    return bytes(body)


def _target(url: str, attempt: str) -> URL:
    """The URL as Go would send it: percent escapes are kept, the rest is escaped where it must."""
    scheme = _SCHEME.match(url)
    if scheme is None and ":" in url.partition("/")[0]:
        raise BadURL(f'parse "{url}": first path segment in URL cannot contain colon')
    name = scheme[1].lower() if scheme else ""
    if name not in ("http", "https"):
        raise Unreachable(f'{attempt} unsupported protocol scheme "{name}"')
    try:
        target = URL(quote(url, safe=":/?#[]@!$&'()*+,;=%~"), encoded=True)
        if not target.host:
            raise Unreachable(f"{attempt} http: no Host in request URL")
    except ValueError as error:
        raise BadURL(f'parse "{url}": {error}') from None
    return target
