"""A remote signer: the key is with a service, which signs jobs and makes payments.

Source: go-livepeer `server/remote_signer.go`, whose errors are `{"error": {"message": ...}}`;
`/sign-byoc-job` is on its branch `feat/remote-signer-byoc` only.
"""

from __future__ import annotations

import asyncio
import os
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self

from livepeer.client._net.memo import Memo
from livepeer.client._wire.candidates import read_list, with_caps
from livepeer.client._wire.encoding import base_url, dump_json, load_json, redact, service_url
from livepeer.client._wire.jobs import SignedJob
from livepeer.client.errors import (
    ClientError,
    ConfigError,
    InvalidAnswer,
    JobTimeout,
    NodeUnreachable,
    NothingDue,
    PriceTooHigh,
    SignerRefused,
    SignerUnavailable,
    TermsExpired,
)

from .signing import KEPT_SIGNATURES, TokenCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from livepeer.client._net.http import HTTP, Reply
    from livepeer.client._wire.candidates import Candidate
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.client._wire.jobs import Job, Scheme


TIMEOUT_S: Final = 30.0
"""Go-livepeer's own callers wait 30 s, and 60 s for a payment."""

ATTEMPTS: Final = 3
PAUSE_S: Final = 0.25
MAX_ANSWER_BYTES: Final = 16 * 1024 * 1024

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_SIGNATURE = re.compile(r"0x[0-9a-fA-F]{130}")

# What stands in place of the reason of a 500 and a 503.
_MASKED: Final = ("Internal Server Error", "Service Unavailable Error")


@dataclass(frozen=True, kw_only=True)
class LivePayment:
    """What a remote signer gives to pay with. None of it is to be decoded, shown or changed.

    Attributes:
        payment: The value of `Livepeer-Payment`.
        segment: The value of `Livepeer-Segment`; BYOC has no use for it. Empty where none came.
        state: What the next request of the same session has to carry.
    """

    payment: str = field(repr=False)
    segment: str = field(repr=False)
    state: Mapping[str, JSONValue] = field(repr=False)


class RemoteSigner:
    """Signs and pays by a service that has the key. An async context manager, if one wants.

    It opens its connections at the first use and verifies certificates always, for its headers are
    secrets. A `Client` that was given one closes it. Belongs to one event loop.

    Args:
        url: The service; `host:port` means `https://host:port`.
        headers: Sent with every request to it, and to nobody else; such as an `Authorization`.
        timeout_s: Seconds for one request.
        attempts: How many times a request is made that fails with 5xx or finds no connection.
        pause_s: Seconds before the second attempt; doubles each time.

    Raises:
        ConfigError: No valid URL, or no sensible limits.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        pause_s: float = PAUSE_S,
    ) -> None:
        if os.path.isfile(url):
            raise ConfigError(
                f"`signer` is the URL of a remote signer, and {url} is a file; a key goes in by"
                " `LocalSigner.from_file` (in a shell: --key-file)"
            )
        self.url = base_url(service_url(url, "signer"), "signer")
        if timeout_s <= 0 or attempts < 1 or pause_s < 0:
            raise ConfigError(
                "`timeout_s` must be more than 0, `attempts` at least 1 and `pause_s` at least 0"
            )
        self._headers = dict(headers or {})
        self._timeout_s = timeout_s
        self._attempts = attempts
        self._pause_s = pause_s
        self._opening = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._http: HTTP | None = None
        self._credentials: Memo[str, TokenCredentials] = Memo(1)
        self._signatures: Memo[bytes, SignedJob] = Memo(KEPT_SIGNATURES)

    @property
    def schemes(self) -> tuple[Scheme, ...]:
        """V1 alone: that is what the service signs."""
        return ("v1",)

    async def token_credentials(self) -> TokenCredentials:
        """The service's address and its signature over it, asked for once.

        Raises:
            SignerError: The service does not tell.
            InvalidAnswer: It tells something else.
        """
        return await self._credentials.get("", self._ask_credentials)

    async def sign_job(self, job: Job, scheme: Scheme | None = None) -> SignedJob:
        """Have one job signed.

        Raises:
            SignerRefused: Among others, the service signs no BYOC jobs, or not by this scheme.
            SignerUnavailable: It cannot at the moment.
            InvalidAnswer: It answers something else.
        """
        if scheme not in (None, "v1"):
            raise SignerRefused(
                "a remote signer signs jobs by scheme 'v1' only, and the orchestrator wants"
                f" {scheme!r}; sign with a local key there",
                url=redact(self.url),
            )
        return await self._signatures.get(job.v1_message(), lambda: self._ask_signature(job))

    async def generate_live_payment(self, request: Mapping[str, object]) -> LivePayment:
        """Have a payment made.

        Calls of one session have to go one after the other: the state counts tickets.

        Args:
            request: The fields of `/generate-live-payment`.

        Raises:
            TermsExpired: Ask again with fresh terms and the same state (480).
            PriceTooHigh: The price is above a ceiling; do not ask again here (481).
            NothingDue: Nothing is to be paid yet (482).
            SignerRefused: The service refuses, and says why.
            SignerUnavailable: It cannot at the moment.
            InvalidAnswer: It answers something else.
        """
        path = "/generate-live-payment"
        fields = await self._post(path, request)
        payment, segment, state = (fields.get(key) for key in ("payment", "segCreds", "state"))
        if not isinstance(payment, str) or not payment or not isinstance(state, dict):
            raise _odd("payment is none", self.url + path)
        return LivePayment(
            payment=payment, segment=segment if isinstance(segment, str) else "", state=state
        )

    async def discover(self, caps: Sequence[str]) -> Sequence[Candidate]:
        """The orchestrators that the service knows, where it was started with discovery.

        Args:
            caps: Each `pipeline/model`; those that offer any of them, or all when there is none.

        Raises:
            DiscoveryError: The service gives no list.
            SignerUnavailable: There is no way to the service.
        """
        url = with_caps(f"{self.url}/discover-orchestrators", caps)
        reply = await self._exchange("GET", url, None)
        return read_list(reply.status, reply.body, url=url, caps=caps)

    async def aclose(self) -> None:
        """Close the connections; the next use opens them again."""
        await self._credentials.aclose()
        await self._signatures.aclose()
        async with self._opening:
            self._http = None
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<RemoteSigner {redact(self.url)}>"

    async def _ask_credentials(self) -> TokenCredentials:
        path = "/sign-orchestrator-info"
        fields = await self._post(path, {})
        return TokenCredentials(
            address=self._text(fields, "address", _ADDRESS, path),
            signature=self._text(fields, "signature", _SIGNATURE, path),
        )

    async def _ask_signature(self, job: Job) -> SignedJob:
        path = "/sign-byoc-job"
        try:
            fields = await self._post(
                path,
                {
                    "id": job.id,
                    "capability": job.capability,
                    "request": job.request,
                    "parameters": job.parameters,
                    "timeout_seconds": job.timeout_s,
                },
            )
        except SignerRefused as error:
            if error.status != 404:
                raise
            raise SignerRefused(
                "the signer cannot sign BYOC jobs, and unsigned ones are not sent: it has no"
                f" {path}; run one that has, or sign with a local key",
                url=error.url,
                status=404,
            ) from error
        return SignedJob(
            job=job,
            sender=self._text(fields, "sender", _ADDRESS, path),
            signature=self._text(fields, "signature", _SIGNATURE, path),
            scheme="v1",
        )

    def _text(
        self, fields: Mapping[str, JSONValue], key: str, form: re.Pattern[str], path: str
    ) -> str:
        value = fields.get(key)
        if not isinstance(value, str) or not form.fullmatch(value):
            raise _odd(f"`{key}` is none", self.url + path)
        return value

    async def _post(self, path: str, fields: Mapping[str, object]) -> dict[str, JSONValue]:
        body = dump_json(dict(fields), "request to the signer").encode()
        answer = await self._ask(path, body)
        if not isinstance(answer, dict):
            raise _odd("answer is no object", self.url + path)
        return answer

    async def _ask(self, path: str, body: bytes) -> JSONValue:
        """One request, made again when it failed for a reason that may pass."""
        pause_s = self._pause_s
        for _ in range(self._attempts - 1):
            try:
                return await self._ask_once(path, body)
            except SignerUnavailable as error:
                # One that used up its time is not waited for again.
                if isinstance(error.__cause__, JobTimeout) or not error.retryable:
                    raise
            await asyncio.sleep(pause_s)
            pause_s *= 2
        return await self._ask_once(path, body)

    async def _ask_once(self, path: str, body: bytes) -> JSONValue:
        reply = await self._exchange("POST", self.url + path, body)
        where = redact(self.url + path)
        if reply.status != 200:
            raise _refusal(reply, where)
        try:
            return load_json(reply.body)
        except ValueError as error:
            raise _odd("answer is not JSON", where) from error

    async def _exchange(self, method: str, url: str, body: bytes | None) -> Reply:
        http = await self._open()
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            return await http.exchange(
                method, url, headers=headers, body=body, timeout_s=self._timeout_s
            )
        except (NodeUnreachable, JobTimeout) as error:
            raise SignerUnavailable(
                f"no way to the signer: {error}", retryable=error.retryable
            ) from error

    async def _open(self) -> HTTP:
        async with self._opening:
            if self._http is None:
                from livepeer.client._net.http import HTTP  # lazy: aiohttp

                self._http = await self._stack.enter_async_context(
                    HTTP(max_answer_bytes=MAX_ANSWER_BYTES, use_tofu=False)
                )
            return self._http


def _odd(what: str, url: str) -> InvalidAnswer:
    # Every orchestrator would meet with the same.
    return InvalidAnswer(f"the signer's {what}", url=redact(url), elsewhere=False)


def _refusal(reply: Reply, url: str) -> ClientError:
    status, said = reply.status, _message(reply.body)
    match status:
        case 480:
            return TermsExpired(
                "the signer wants the orchestrator's terms anew",
                url=url,
                status=status,
                orchestrator_url=reply.headers.get("Livepeer-Orchestrator-URL", ""),
            )
        case 481:
            return PriceTooHigh(
                f"the signer does not pay the orchestrator's price: {said}", url=url, status=status
            )
        case 482:
            return NothingDue("nothing is due yet", url=url, status=status)
        case _ if status >= 500:
            said = "it hides the reason; see its log" if said in _MASKED or not said else said
            return SignerUnavailable(
                f"the signer failed with {status}: {said}", url=url, status=status
            )
        case _:
            return SignerRefused(
                f"the signer refused with {status}: {said}",
                url=url,
                status=status,
                retryable=status == 429,
            )


def _message(body: bytes) -> str:
    """The reason in an error's body, or all of a body that is no such object."""
    try:
        fields = load_json(body)
    except ValueError:
        return body.decode(errors="replace").strip()[:500]
    error = fields.get("error") if isinstance(fields, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return message[:500] if isinstance(message, str) else ""
