"""HTTP for the transports: sessions, deadlines and limits; the only place that imports aiohttp."""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Self, TypeGuard

import aiohttp
from yarl import URL

from livepeer.client._body.progress import HookFailed
from livepeer.client._wire.encoding import MAX_ANSWER_BYTES, redact
from livepeer.client.errors import ClientError, InvalidAnswer, JobTimeout, NodeUnreachable

from .certificates import Certificates, reason_of
from .deadlines import Deadline, Deadlines

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Mapping

    from multidict import CIMultiDictProxy

    from livepeer.client._body.body import Body

    from .trust import Trusted, TrustStore

CONNECT_TIMEOUT_S = 10.0
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
        verify_tls: Check certificates; False accepts any.
        max_answer_bytes: The largest answer that is read.
        use_tofu: Where no authority vouches for a certificate, trust the first one that a host
            shows, and no other later. For orchestrators, which sign their own; whatever else is
            called needs False.
        trust: Remembers those certificates; by default in the user's data directory.
    """

    def __init__(
        self,
        *,
        verify_tls: bool = True,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        use_tofu: bool = True,
        trust: TrustStore | None = None,
    ) -> None:
        self.max_answer_bytes = max_answer_bytes
        self._verify_tls = verify_tls
        self._certificates = Certificates(trust) if verify_tls and use_tofu else None
        self._deadlines = Deadlines()
        self._session: aiohttp.ClientSession | None = None
        self._trickle: dict[bytes | None, aiohttp.ClientSession] = {}
        self._pins: dict[bytes, aiohttp.Fingerprint] = {}

    async def __aenter__(self) -> Self:
        self._session = self._new_session(self._verify_tls, auto_decompress=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        sessions = [*self._trickle.values()]
        if self._session is not None:
            sessions.append(self._session)
        self._trickle.clear()
        self._session = None
        for session in sessions:
            await session.close()

    def trickle_session(self, url: str) -> aiohttp.ClientSession:
        """The session for trickle channels of a host; waiting is normal there: no deadline.

        There is one for each pinned certificate, and one for all other hosts.

        Args:
            url: A URL of a host that a request was sent to before, which is what pinned it.
        """
        _opened(self._session)
        trusted = None
        if self._certificates is not None and _is_secured(url):
            trusted = self._certificates.known(url)
        pin = None if trusted is None else trusted.fingerprint
        session = self._trickle.get(pin)
        if session is None:
            session = self._new_session(self._check(trusted), auto_decompress=False)
            self._trickle[pin] = session
        return session

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        timeout_s: float | None,
    ) -> aiohttp.ClientResponse:
        """Send a request and give the response as soon as its headers are here.

        The caller closes it: not releases, for what is left of a body may be an endless flood of
        newlines. A connection whose body was read to its end is kept all the same.

        Args:
            method: The HTTP method.
            url: Encoded as it is to be sent.
            headers: Request headers.
            body: Request body; `headers` must say what a `Body` says of itself.
            timeout_s: For connecting, sending and the headers of the answer together, None for
                as long as it takes. The body has its own deadline, `read`'s or `chunks`'.

        Raises:
            NodeUnreachable: There is no connection, or it was cut.
            JobTimeout: The time passed.
            CertificateChanged: The host is known by another certificate.
        """
        with _Translated(url, timeout_s), Deadline(self._deadlines, timeout_s):
            certificates = self._certificates
            if certificates is None or not _is_secured(url):
                return await self._request(method, url, headers, body, None)
            trusted = await certificates.expected(url)
            try:
                return await self._request(method, url, headers, body, trusted)
            except (aiohttp.ServerFingerprintMismatch, aiohttp.ClientConnectorCertificateError):
                # Nothing was sent yet: both are raised by the handshake.
                renewed = await certificates.renewed(url, trusted)
                return await self._request(method, url, headers, body, renewed)

    @asynccontextmanager
    async def open(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Body | bytes | None = None,
        timeout_s: float | None,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """As `send`, and the connection is closed on leaving, unless the body was read whole."""
        response = await self.send(method, url, headers=headers, body=body, timeout_s=timeout_s)
        try:
            yield response
        finally:
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
        if response.content.is_eof() and response.content.exception() is None:
            # A small answer comes with its headers: no timer for what is here.
            data = response.content.read_nowait()
            _check_size(data, limit, response)
            return data
        body = bytearray()
        with _Translated(str(response.url), timeout_s):
            async with asyncio.timeout(timeout_s):
                async for chunk in response.content.iter_any():
                    body += chunk
                    _check_size(body, limit, response)
        return bytes(body)

    async def beginning(
        self, response: aiohttp.ClientResponse, *, timeout_s: float, limit: int
    ) -> bytes:
        """Read a body, and no more than `limit` bytes of it.

        Raises:
            JobTimeout: The time passed.
            NodeUnreachable: The connection was cut.
        """
        body = bytearray()
        with _Translated(str(response.url), timeout_s):
            async with asyncio.timeout(timeout_s):
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) >= limit:
                        break
        return bytes(body[:limit])

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
            with _Translated(where, timeout_s):
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

    def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        body: Body | bytes | None,
        trusted: Trusted | None,
    ) -> Awaitable[aiohttp.ClientResponse]:
        return _opened(self._session).request(
            method,
            URL(url, encoded=True),
            headers=headers,
            # In pieces: aiohttp warns of large bytes, which it writes at one go.
            data=_data(body),
            # Go redirects what it takes for an unclean path, and a redirected POST would arrive
            # as a GET.
            allow_redirects=False,
            ssl=self._check(trusted),
        )

    def _check(self, trusted: Trusted | None) -> bool | aiohttp.Fingerprint:
        pin = None if trusted is None else trusted.fingerprint
        if pin is None:
            return self._verify_tls
        # One object for each pin: pooled connections are found by it, and it compares by identity.
        return self._pins.setdefault(pin, aiohttp.Fingerprint(pin))

    def _new_session(
        self, check: bool | aiohttp.Fingerprint, *, auto_decompress: bool
    ) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            # No limit of connections: whoever waits for one would use up the job's timeout, and
            # channels hold theirs open.
            connector=aiohttp.TCPConnector(limit=0, ssl=check),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            headers={"User-Agent": _user_agent()},
            auto_decompress=auto_decompress,
        )


_NEVER_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)


def _data(body: Body | bytes | None) -> bytes | io.BytesIO | AsyncGenerator[bytes] | None:
    if body is None or isinstance(body, bytes):
        return io.BytesIO(body) if body else body
    return body.data()


def _check_size(body: bytes | bytearray, limit: int, response: aiohttp.ClientResponse) -> None:
    if len(body) > limit:
        url = redact(str(response.url))
        raise InvalidAnswer(f"the answer is larger than {limit} bytes", url=url)


@cache
def _user_agent() -> str:
    return f"livepeer-client/{version('livepeer-client')}"


def _is_secured(url: str) -> bool:
    return url[:6].lower() == "https:"


def _opened(session: aiohttp.ClientSession | None) -> aiohttp.ClientSession:
    if session is None:
        raise RuntimeError("the client is not open; use it as `async with Client(...) as client:`")
    return session


class _Translated:
    """Turns what HTTP raises into errors of ours."""

    __slots__ = ("_timeout_s", "_url")

    def __init__(self, url: str, timeout_s: float | None) -> None:
        self._url = url
        self._timeout_s = timeout_s

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if error is None:
            return
        if type(error) is aiohttp.ClientConnectionError and _is_ours(error.__cause__):
            # What made the body failed, which aiohttp takes for a failed connection.
            raise _as_raised(error.__cause__) from None
        if (ours := self._ours(error)) is not None:
            raise ours from error

    def _ours(self, error: BaseException) -> ClientError | None:
        url = redact(self._url)
        match error:
            # Ours already; some inherit from OSError and TimeoutError.
            case ClientError():
                return None
            case aiohttp.ClientConnectorCertificateError():
                return NodeUnreachable(
                    "its certificate is not trusted; use_tofu=True takes an orchestrator's own",
                    url=url,
                    retryable=False,
                )
            case aiohttp.ServerFingerprintMismatch():
                # Nothing was sent.
                return NodeUnreachable("its certificate changes all the time", url=url)
            case aiohttp.ClientPayloadError():
                # Its text is about aiohttp's parser.
                return NodeUnreachable("the connection was cut", url=url, connected=True)
            # Before OSError and TimeoutError, from which some of aiohttp's errors inherit too.
            case aiohttp.ClientError():
                # Whoever was connected may have taken the request, and with it a payment.
                connected = not isinstance(error, _NEVER_CONNECTED)
                what = "the connection was cut" if connected else "no connection"
                return NodeUnreachable(f"{what}: {_reason(error)}", url=url, connected=connected)
            case TimeoutError():
                seconds = self._timeout_s
                within = "in time" if seconds is None else f"within {seconds:g} s"
                return JobTimeout(f"no answer {within}", url=url)
            case OSError():
                return NodeUnreachable(f"no connection: {error}", url=url)
            case _:
                return None


def _is_ours(cause: BaseException | None) -> TypeGuard[Exception]:
    return isinstance(cause, Exception) and not isinstance(cause, OSError | aiohttp.ClientError)


def _as_raised(cause: Exception) -> Exception:
    return cause.error if isinstance(cause, HookFailed) else cause


def _reason(error: aiohttp.ClientError) -> str:
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return f"none within {CONNECT_TIMEOUT_S:g} s"
    # The system's own words; aiohttp's have the state of its TLS options in them.
    if isinstance(error, aiohttp.ClientConnectorError):
        return reason_of(error.os_error)
    return str(error) or type(error).__name__
