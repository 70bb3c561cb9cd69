"""A batch job straight at orchestrators, while its answer is open."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

from livepeer.client._answers.answer import Answer
from livepeer.client.errors import (
    CapabilityUnavailable,
    ClientError,
    InvalidAnswer,
    NodeUnreachable,
    OrchestratorError,
    PaymentRequiredError,
    RunnerError,
    SignerError,
)

from .node import GRACE_S
from .purse import Purse

if TYPE_CHECKING:
    import aiohttp

    from livepeer.client._body.body import Body
    from livepeer.client._net.http import HTTP
    from livepeer.client._pay.payments import PaymentProvider
    from livepeer.client._wire.jobs import Job
    from livepeer.client._wire.tokens import JobToken

    from .failover import Failover
    from .node import Node


class DirectCall(AbstractAsyncContextManager[Answer]):
    """Has a batch job done by the first orchestrator that takes it.

    A class, as every call has one: a generator would cost more than the rest of a call's way.

    Args:
        http: The connections.
        failover: The orchestrators.
        payments: What pays where there is a price.
        job: The job.
        body: Its body.
        path: The path at the orchestrator.
        at_most_once: Never send it again once it may have begun; see `may_have_begun`.
    """

    __slots__ = (
        "_at_most_once",
        "_body",
        "_failover",
        "_http",
        "_job",
        "_path",
        "_payments",
        "_purses",
        "_response",
    )

    def __init__(
        self,
        http: HTTP,
        failover: Failover,
        payments: PaymentProvider,
        job: Job,
        body: Body,
        path: str,
        *,
        at_most_once: bool,
    ) -> None:
        self._http = http
        self._failover = failover
        self._payments = payments
        self._job = job
        self._body = body
        self._path = path
        self._at_most_once = at_most_once
        self._purses: list[Purse] = []
        self._response: aiohttp.ClientResponse | None = None

    async def __aenter__(self) -> Answer:
        within_s = self._job.timeout_s + GRACE_S
        url, response = await self._failover.first(
            self._job.capability, self._attempt, attempt_s=within_s
        )
        self._response = response
        return Answer(
            self._http,
            response,
            orchestrator_url=url,
            timeout_s=within_s,
            through_gateway=False,
            # At those that failed as well: what was sent to them is in their hands.
            paid=sum(purse.paid for purse in self._purses),
        )

    async def __aexit__(self, *_: object) -> None:
        if self._response is not None:
            self._response.close()

    async def _attempt(self, node: Node, token: JobToken) -> tuple[str, aiohttp.ClientResponse]:
        job = self._job
        purse = Purse(self._payments, job, node.url, node.terms, token, seconds=job.timeout_s)
        self._purses.append(purse)
        try:
            sending = node.send(
                self._path, job, self._body, purse, cut_refuses=not self._at_most_once
            )
            return node.url, await sending
        except ClientError as error:
            if self._at_most_once and may_have_begun(error):
                error.elsewhere = False
            raise


def may_have_begun(error: ClientError) -> bool:
    """Whether a batch job that ended so may have reached the runner all the same.

    Of the answers with 503 two are certainly from before the work: the orchestrator's own, which
    it gives for want of the capability before it asks a runner (go-livepeer
    `byoc/job_orchestrator.go`), and a runner's that says when to come again. Any other may have
    come from within the work, or from a proxy that lost the connection over it.
    """
    match error:
        # These come of signing, of paying, and of what an orchestrator checks first.
        case CapabilityUnavailable() | InvalidAnswer() | PaymentRequiredError() | SignerError():
            return False
        case NodeUnreachable():
            return error.connected
        case RunnerError():
            no_room = error.status == 503 and error.retry_after is not None
            return error.status != 429 and not no_room
        case OrchestratorError():
            return error.status is None or error.status >= 500
        case _:
            return True
