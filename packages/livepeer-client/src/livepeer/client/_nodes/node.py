"""One orchestrator as jobs meet it: what it asks for, and signed and paid requests to it.

Source: go-livepeer `byoc/job_orchestrator.go`, `byoc/stream_orchestrator.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from livepeer.client._answers.refusals import Refusal, read_refusal
from livepeer.client._net.http import MAX_REFUSAL_BYTES, Reply
from livepeer.client._wire.encoding import redact
from livepeer.client.errors import ClientError, OrchestratorError, SpendLimit

from .exchange import Exchange, Success
from .terms import TERMS_TTL_S, Terms

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import aiohttp

    from livepeer.client._body.body import Body
    from livepeer.client._net.http import HTTP
    from livepeer.client._sign.signing import Signer
    from livepeer.client._wire.jobs import Job, Scheme, SignedJob

    from .exchange import A
    from .purse import Purse

GRACE_S: Final = 5.0
"""Added to a job's timeout, as go-livepeer's gateway does: the answer that tells of a timeout
needs time to arrive, too."""

PAYMENT_PATH: Final = "/ai/stream/payment"
"""The one route for jobs that no runner hears of."""

_JSON: Final = {"Content-Type": "application/json"}


class Node:
    """One orchestrator, for one signer.

    The URL that was given is the base of every request: the orchestrator's own idea of its address
    may not be reachable from here.

    Args:
        http: The connections.
        url: The orchestrator, without a trailing slash.
        signer: Who answers for the jobs.
        terms_ttl_s: For how many seconds the terms of a free capability are used again.

    Attributes:
        url: The orchestrator.
        terms: What it asks for.
    """

    def __init__(
        self, http: HTTP, url: str, *, signer: Signer, terms_ttl_s: float = TERMS_TTL_S
    ) -> None:
        self.url = url
        self.terms = Terms(http, url, signer, ttl_s=terms_ttl_s)
        self._http = http
        self._signer = signer
        self._scheme: Scheme = signer.schemes[0]

    async def sign(self, job: Job) -> SignedJob:
        """Sign a job by the scheme that this orchestrator takes, as far as that is known.

        Raises:
            SignerError: A remote signer did not sign.
        """
        return await self._signer.sign_job(job, self._scheme)

    async def send(
        self, path: str, job: Job, body: Body, purse: Purse, *, cut_refuses: bool = True
    ) -> aiohttp.ClientResponse:
        """Send a job, signed and paid, and give the answer when its headers are here.

        The caller closes it. `cut_refuses` is as for `post`.

        Raises:
            ClientError: The answer is no success, and no move mended that.
        """
        # Signed first: nothing is paid for what cannot be signed.
        signed = await self.sign(job)
        if purse.priced:
            try:
                await purse.fill()
            except SpendLimit:
                # Other calls may have paid since the terms were told, and their credit suffices.
                await purse.fill(anew=True)

        async def send(headers: dict[str, str]) -> Success[aiohttp.ClientResponse] | Refusal:
            headers.update(body.headers())
            response = await self._http.send(
                "POST",
                self.url + path,
                headers=headers,
                body=body,
                timeout_s=job.timeout_s + GRACE_S,
            )
            if response.status == 200:
                return Success(response, response.headers)
            try:
                return await self._refused(path, response)
            finally:
                response.close()

        return await self._exchange(signed, purse, send, cut_refuses=cut_refuses)

    async def post(
        self,
        path: str,
        signed: SignedJob,
        body: bytes,
        purse: Purse | None = None,
        *,
        timeout_s: float | None = None,
        cut_refuses: bool = True,
        whole: bool = True,
    ) -> Reply:
        """Send a job with what its purse holds, and give the answer.

        Args:
            path: The path at the orchestrator.
            signed: The job.
            body: Its body, JSON.
            purse: What pays for it; None for a job that carries no payment.
            timeout_s: Seconds for the answer; by default the job's own and a grace.
            cut_refuses: A connection that is cut before the answer means that the payment was
                refused, if it did not raise the credit, and another one is made. Else that is
                left to the caller.
            whole: Read the body of a success as well; else it is given empty.

        Raises:
            ClientError: The answer is no success, and no move mended that.
        """

        async def send(headers: dict[str, str]) -> Success[Reply] | Refusal:
            headers.update(_JSON)
            limit_s = signed.job.timeout_s + GRACE_S if timeout_s is None else timeout_s
            async with self._http.open(
                "POST", self.url + path, headers=headers, body=body, timeout_s=limit_s
            ) as response:
                # The status decides, although a failed start may carry channel URLs as well.
                if not 200 <= response.status < 300:
                    return await self._refused(path, response)
                data = await self._http.read(response, timeout_s=limit_s) if whole else b""
                reply = Reply(status=response.status, headers=response.headers, body=data)
            return Success(reply, reply.headers)

        return await self._exchange(signed, purse, send, cut_refuses=cut_refuses)

    def __repr__(self) -> str:
        return f"<Node {redact(self.url)}>"

    async def _refused(self, path: str, response: aiohttp.ClientResponse) -> Refusal:
        body = await self._http.beginning(response, timeout_s=GRACE_S, limit=MAX_REFUSAL_BYTES)
        return read_refusal(
            response.status,
            body,
            url=redact(self.url + path),
            node=OrchestratorError,
            headers=response.headers,
            runner=path != PAYMENT_PATH,
        )

    async def _exchange(
        self,
        signed: SignedJob,
        purse: Purse | None,
        send: Callable[[dict[str, str]], Awaitable[Success[A] | Refusal]],
        *,
        cut_refuses: bool = True,
    ) -> A:
        exchange = Exchange(
            signed,
            signer=self._signer,
            purse=purse,
            send=send,
            cut_refuses=cut_refuses,
        )
        try:
            answer = await exchange.run()
        except ClientError as error:
            if error.elsewhere:
                self.terms.forget(signed.job.capability)
            raise
        finally:
            if exchange.learnt is not None:
                self._scheme = exchange.learnt
        return answer
