"""One gRPC call to an orchestrator, in clear text or by a pinned certificate.

With the synchronous library's futures: its asyncio side polls with one thread for all loops of a
process, and is noisy where there are several. The only module that imports grpc.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import grpc

from livepeer.client._wire.encoding import redact
from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    JobTimeout,
    NodeUnreachable,
    OrchestratorError,
)

from .certificates import AUTHORITY, see_unverified

if TYPE_CHECKING:
    from .certificates import Certificates
    from .trust import Trusted

METHOD: Final = "/net.Orchestrator/GetOrchestrator"
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
_MAX_REASON: Final = 500

# What OpenSSL's verification leaves in the text of a failed connection.
_UNVERIFIED: Final = "CERTIFICATE_VERIFY_FAILED"


# What the library says of an answer that is no HTTP/2.
_NO_HTTP2: Final = "Failed parsing HTTP/2"


class _Failed(Exception):
    """A call that ended with another code than OK."""

    def __init__(self, code: grpc.StatusCode, text: str) -> None:
        super().__init__(text or code.name)
        self.code = code
        self.text = text


async def get_orchestrator(
    url: str,
    request: bytes,
    *,
    certificates: Certificates | None,
    verify_tls: bool = True,
    timeout_s: float,
) -> bytes:
    """Send a serialized `OrchestratorRequest` and give the `OrchestratorInfo` as it came.

    Args:
        url: The orchestrator; http is clear-text HTTP/2.
        request: Sent as it is.
        certificates: Pins; None for ordinary verification.
        verify_tls: False takes any certificate.
        timeout_s: For all of it.

    Raises:
        NodeUnreachable: There is no connection.
        CertificateChanged: The host is known by another certificate.
        CapabilityUnavailable: Every slot is taken.
        OrchestratorError: It refuses.
        JobTimeout: The time passed.
    """
    caller = _Caller(url, request, timeout_s)
    try:
        async with asyncio.timeout(timeout_s):
            if urlsplit(url).scheme != "https":
                return await caller.call(None)
            if certificates is None:
                return await caller.call(AUTHORITY if verify_tls else await see_unverified(url))
            return await _pinned(caller, certificates)
    except _Failed as failed:
        raise _failure(failed, redact(url)) from failed
    except TimeoutError as error:
        raise JobTimeout(f"no answer within {timeout_s:g} s", url=redact(url)) from error


async def _pinned(caller: _Caller, certificates: Certificates) -> bytes:
    trusted = await certificates.expected(caller.url)
    try:
        return await caller.call(trusted, await _roots(certificates, trusted))
    except _Failed as failed:
        if _UNVERIFIED not in failed.text:
            raise
        # The handshake failed, so that nothing was sent.
        renewed = await certificates.renewed(caller.url, trusted)
        if renewed == trusted:
            raise
    return await caller.call(renewed, await _roots(certificates, renewed))


async def _roots(certificates: Certificates, trusted: Trusted) -> bytes | None:
    # The library has authorities of its own, which need not be the system's.
    return await certificates.authorities() if trusted.certificate is None else None


@dataclass(frozen=True)
class _Caller:
    """One call, each time on a connection of its own."""

    url: str
    request: bytes
    timeout_s: float

    async def call(self, trusted: Trusted | None, roots: bytes | None = None) -> bytes:
        """Make the call; `trusted` is None for clear text, `roots` are authorities in PEM."""
        with self._channel(trusted, roots) as channel:
            method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
            call = method.future(self.request)
            loop = asyncio.get_running_loop()
            answered = asyncio.Event()

            def tell(_: object) -> None:
                # The loop may be closed by the time a cancelled call ends.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(answered.set)

            call.add_done_callback(tell)
            try:
                await answered.wait()
            finally:
                call.cancel()
            code = call.code()
            if code is not grpc.StatusCode.OK:
                raise _Failed(code, (call.details() or "")[:_MAX_REASON])
            return call.result()

    def _channel(self, trusted: Trusted | None, roots: bytes | None) -> grpc.Channel:
        parts = urlsplit(self.url)
        port = parts.port or (80 if trusted is None else 443)
        host = parts.hostname or ""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        options: list[tuple[str, str | int]] = [
            # As for HTTP.
            ("grpc.enable_http_proxy", 0),
            ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
            # Nothing is shared with a call before, neither its connection nor its failure.
            ("grpc.use_local_subchannel_pool", 1),
            # Also the time for a connection, which would go on when its channel is closed.
            ("grpc.min_reconnect_backoff_ms", max(100, int(self.timeout_s * 1000))),
        ]
        if trusted is None:
            return grpc.insecure_channel(target, options=options)
        if trusted.certificate is not None:
            roots = ssl.DER_cert_to_PEM_cert(trusted.certificate).encode()
        if trusted.name:
            # What the certificate is for need not be what was dialled, and an address in it is
            # not written as one.
            options.append(("grpc.ssl_target_name_override", trusted.name))
        return grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), options=options)


def _failure(failed: _Failed, url: str) -> ClientError:
    """What a failed call stands for. The orchestrator's own errors have one code for all."""
    code, text = failed.code, failed.text
    if code is grpc.StatusCode.UNAVAILABLE:
        if _UNVERIFIED in text:
            return NodeUnreachable(
                "its certificate is not trusted; use_tofu=True accepts one that is self-signed",
                url=url,
                retryable=False,
            )
        if _NO_HTTP2 in text:
            return OrchestratorError(
                "it speaks no gRPC; is it an orchestrator? Not a gateway, or a runner", url=url
            )
        # What comes before is the library's own way there.
        reason = text.rpartition("last error: ")[2].removeprefix("UNKNOWN: ")
        return NodeUnreachable(f"no connection: {reason}", url=url)
    if "OrchestratorCapped" in text:
        return CapabilityUnavailable(f"every slot is taken: {text}", url=url)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        text = f"it does not speak this gRPC service; is it an orchestrator? {text}"
    return OrchestratorError(text or code.name, url=url)
