"""Whose certificate is whose: ordinary verification first, then trust on first use.

One rule for HTTP, trickle and gRPC of an orchestrator: a certificate that an authority vouches for
is verified as ever; one that nobody vouches for is remembered when it is first seen and has to stay
the same; a host that once had an authority's may not come back with its own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, TypeVar, cast
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import CertificateChanged, ConfigError, NodeUnreachable

from .trust import Trusted, TrustStore, host_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_T = TypeVar("_T")

_log = logging.getLogger(__name__)

LOOK_TIMEOUT_S: Final = 10.0

# OpenSSL's codes for a certificate that nobody known vouches for. Whatever else is wrong with one
# (another name, out of date, revoked) is no reason to trust it.
_UNVOUCHED: Final = frozenset({18, 19, 20, 21})

# How OpenSSL calls an answer that is no TLS, by its version.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"})

AUTHORITY: Final = Trusted()


class Certificates:
    """What the certificates of orchestrators have to be, for one event loop.

    Args:
        store: What is remembered; None for the user's own store.
        context: Verifies as usual; None for the system's authorities.
    """

    def __init__(
        self, store: TrustStore | None = None, *, context: ssl.SSLContext | None = None
    ) -> None:
        self._store = store
        self._context = context
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def known(self, url: str) -> Trusted:
        """What is known by now, without a look; ordinary verification for a host never met."""
        if self._store is None:
            return AUTHORITY
        return self._store.known(host_of(url)) or AUTHORITY

    async def expected(self, url: str) -> Trusted:
        """What the certificate of an https URL's host has to be.

        A host that is met for the first time costs one or two handshakes of its own.

        Raises:
            NodeUnreachable: There is no connection, or its certificate is no good.
            TimeoutError: There is none in time.
        """
        store = self._opened()
        host = host_of(url)
        known = store.known(host)
        if known is not None:
            return known
        async with self._lock(host):
            with _this_one_only(url):
                known = store.known(host) or await asyncio.to_thread(store.load, host)
                if known is None:
                    seen = await self._see(url)
                    known = await asyncio.to_thread(store.first, host, seen)
        return known

    async def renewed(self, url: str, was: Trusted) -> Trusted:
        """What it has to be from now on, after a connection that did not fit `was`.

        Raises:
            CertificateChanged: The certificate is another one, and the store does not re-pin.
            NodeUnreachable: As for `expected`.
            TimeoutError: As for `expected`.
        """
        store = self._opened()
        host = host_of(url)
        async with self._lock(host):
            known = store.known(host)
            if known is not None and known != was:
                return known
            # Another store may have forgotten it or taken another one meanwhile.
            with _this_one_only(url):
                known = await asyncio.to_thread(store.reload, host)
            if known is not None and known != was:
                return known
            seen = await self._see(url)
            if seen == was:
                return was
            if seen.certificate is not None and known is not None:
                self._judge(store, url, was, seen)
            await asyncio.to_thread(store.remember, host, seen)
        return seen

    async def authorities(self) -> bytes | None:
        """The certificates of the authorities in PEM; None where the system does not tell."""
        roots = (await self._verifying()).get_ca_certs(binary_form=True)
        return "".join(map(ssl.DER_cert_to_PEM_cert, roots)).encode() or None

    def _judge(self, store: TrustStore, url: str, was: Trusted, seen: Trusted) -> None:
        host = host_of(url)
        if store.repin:
            _log.warning(
                "THE CERTIFICATE OF %s CHANGED: %s, not %s; taken as the store was told to",
                host,
                seen,
                was,
            )
            return
        file = store.file(host)
        where = "" if file is None else f" (or delete {file})"
        raise CertificateChanged(
            f"the certificate of {host} changed: it is {seen}, and {was} is remembered. An"
            " orchestrator makes a new one at each start, and so would somebody in between. To"
            f" trust it, call TrustStore.forget({host!r}){where}, or use"
            " TrustStore(..., repin=True)",
            url=redact(url),
        )

    def _opened(self) -> TrustStore:
        if self._store is None:
            self._store = TrustStore.for_user()
        return self._store

    def _lock(self, host: str) -> asyncio.Lock:
        # Held by whoever uses it, and gone with the last of them.
        return self._locks.setdefault(host, asyncio.Lock())

    async def _verifying(self) -> ssl.SSLContext:
        if self._context is None:
            # In a thread: it reads the system's authorities.
            self._context = await asyncio.to_thread(ssl.create_default_context)
        return self._context

    async def _see(self, url: str) -> Trusted:
        try:
            await look(url, await self._verifying(), lambda _: None)
        except ssl.SSLCertVerificationError as error:
            if error.verify_code not in _UNVOUCHED:
                raise NodeUnreachable(
                    f"its certificate is not valid: {error.verify_message}; verify_tls=False"
                    " accepts any",
                    url=redact(url),
                    retryable=False,
                ) from error
            return await see_unverified(url)
        return AUTHORITY


@contextmanager
def _this_one_only(url: str) -> Generator[None]:
    """What cannot be read of one host is no reason to leave the others."""
    try:
        yield
    except ConfigError as error:
        raise NodeUnreachable(str(error), url=redact(url), retryable=False) from error


async def see_unverified(url: str) -> Trusted:
    """The certificate that a host shows now, and a name that it is for, trusting nobody.

    Raises:
        NodeUnreachable: It shows none, or there is no connection.
        TimeoutError: There is none in time.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    certificate = await look(url, context, lambda tls: tls.getpeercert(binary_form=True))
    if certificate is None:
        raise NodeUnreachable("it shows no certificate", url=redact(url))
    context.load_verify_locations(cadata=certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    # The names are only told of a certificate that was verified: by itself, here.
    with suppress(ssl.SSLCertVerificationError):
        return Trusted(certificate=certificate, name=await look(url, context, _first_name))
    return Trusted(certificate=certificate)


async def look(url: str, context: ssl.SSLContext, read: Callable[[ssl.SSLObject], _T]) -> _T:
    """Shake hands, and give what `read` makes of the connection.

    Raises:
        ssl.SSLCertVerificationError: `context` does not take its certificate.
        NodeUnreachable: There is no connection.
        TimeoutError: There is none in time.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or 443, ssl=context, server_hostname=parts.hostname
            )
    except (ssl.SSLCertVerificationError, TimeoutError):
        raise
    except OSError as error:
        raise NodeUnreachable(f"no connection: {reason_of(error)}", url=redact(url)) from error
    try:
        return read(writer.get_extra_info("ssl_object"))
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


def reason_of(error: OSError) -> str:
    """Why there is no connection: by the system's own words, where it has any."""
    if isinstance(error, ssl.SSLError):
        # Its number is OpenSSL's, and not the system's. What is no TLS is read as a strange version
        # of it.
        if error.reason in _NO_TLS:
            return "it speaks no TLS; try http://"
        return error.reason or str(error)
    number = error.errno or 0
    return os.strerror(number) if number > 0 else error.strerror or str(error)


def _first_name(tls: ssl.SSLObject) -> str:
    peer = tls.getpeercert() or {}
    names = cast("tuple[tuple[str, str], ...]", peer.get("subjectAltName", ()))
    return next((value for kind, value in names if kind == "DNS"), "")
