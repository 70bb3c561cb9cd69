"""Payments for BYOC jobs by a remote signer.

Source: go-livepeer `server/remote_signer.go` of its branch `feat/remote-signer-byoc`; released
signers know no such payments, and say so.
"""

from __future__ import annotations

import base64
import json
import math
import time
from typing import TYPE_CHECKING

from livepeer.client._wire.encoding import PAYMENT
from livepeer.client._wire.tokens import JobToken
from livepeer.client.errors import ConfigError, InvalidJob

from .info import byoc_capability, info_of_token, read_info
from .ledger import Ledger, LedgerSession
from .payments import ADMITTED_S, ARREARS_S, Payment
from .signer_account import SignerAccount
from .tickets import in_tickets, payment_value, ticket_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.client._net.trust import TrustStore
    from livepeer.client._proto.livepeer_pb2 import OrchestratorInfo
    from livepeer.client._sign.remote import RemoteSigner
    from livepeer.client._wire.jobs import Job

    from .signer_account import PaymentSigner


class RemotePayments:
    """Has a remote signer pay for jobs.

    Args:
        signer: The service; the same that signs the jobs, as credit belongs to its address.
        use_tofu: For asking an orchestrator by gRPC, where no token is at hand: trust the first
            certificate that it shows.
        verify_tls: Likewise; False takes any certificate.
        trust: Remembers certificates; by default in the user's data directory.

    Attributes:
        payer: The service.
    """

    def __init__(
        self,
        signer: RemoteSigner,
        *,
        use_tofu: bool = True,
        verify_tls: bool = True,
        trust: TrustStore | None = None,
    ) -> None:
        self.payer = signer
        self._use_tofu = use_tofu
        self._verify_tls = verify_tls
        self._trust = trust

    def session(
        self,
        job: Job,
        node_url: str,
        *,
        refresh: Callable[[], Awaitable[JobToken]] | None = None,
    ) -> BYOCPaymentSession:
        """What pays for one job at one orchestrator; of a stream, for all of its time."""
        return BYOCPaymentSession(
            self.payer,
            capability=job.capability,
            manifest_id=job.id or _stream_id(job),
            node_url=node_url,
            refresh=refresh,
            use_tofu=self._use_tofu,
            verify_tls=self._verify_tls,
            trust=self._trust,
        )

    def __repr__(self) -> str:
        return f"RemotePayments({self.payer!r})"


class BYOCPaymentSession(LedgerSession):
    """The payments of one BYOC job at one orchestrator, made by a remote signer.

    The first pays in advance, each later one for the time since the one before. Usable alone, on a
    plain timer:

    ```python
    session = BYOCPaymentSession(signer, capability="hello", manifest_id=job.id, refresh=token)
    while running:
        payment = await session.payment(await token(), seconds=60)
        if payment is not None:
            await post("/ai/stream/payment", payment.headers)
            session.accepted(payment, balance=None)
        await asyncio.sleep(20)
    ```

    A payment that was given out and neither accepted nor refused is given again, as it was, before
    the signer is asked for a new one. Calls may come at the same time; they go one after the
    other.

    Args:
        signer: The service that pays.
        capability: The registered name.
        manifest_id: The job's id.
        node_url: The orchestrator, for asking it by gRPC.
        refresh: Fetches its terms anew: a token, or a serialized `OrchestratorInfo` whose price is
            the capability's. Without it the orchestrator is asked by gRPC, where released ones know
            no price of BYOC capabilities.
        preload_seconds: What the first payment pays for, at least; 60 is the least that there is.
        use_tofu: Trust the first certificate that the orchestrator shows by gRPC.
        verify_tls: False takes any certificate there.
        trust: Remembers certificates; by default in the user's data directory.
        clock: Seconds.
    """

    def __init__(
        self,
        signer: PaymentSigner,
        *,
        capability: str,
        manifest_id: str,
        node_url: str = "",
        refresh: Callable[[], Awaitable[JobToken | bytes]] | None = None,
        preload_seconds: int = ADMITTED_S,
        use_tofu: bool = True,
        verify_tls: bool = True,
        trust: TrustStore | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(Ledger(clock))
        self._account = SignerAccount(signer, "byoc", clock=clock)
        self._signer = signer
        self._capability = capability
        self._manifest_id = manifest_id
        self._node_url = node_url
        self._refresh = refresh
        self._preload_seconds = max(ADMITTED_S, preload_seconds)
        self._use_tofu = use_tofu
        self._verify_tls = verify_tls
        self._trust = trust
        self._recipient = b""

    async def payment(
        self, terms: JobToken | bytes | None = None, *, seconds: int = ADMITTED_S
    ) -> Payment | None:
        """What has to go with the next request, or None when nothing is owed.

        Args:
            terms: The orchestrator's, fetched for this payment: its token, or a serialized
                `OrchestratorInfo` whose price is the capability's. None to have them fetched.
            seconds: What the first payment pays for, if that is more than `preload_seconds`.

        Raises:
            InvalidJob: The job's id is missing.
            PriceTooHigh: The price is above a ceiling of the signer, or more was paid already than
                the price comes to; the signer is not asked again.
            PaymentRequiredError: The orchestrator refused two payments, or the signer took no
                terms for fresh enough.
            SignerError: The signer did not pay; perhaps it makes no payments for BYOC.
            InvalidAnswer: The terms are not what an orchestrator sends.
        """
        if terms is None:
            terms = await self._fetch()
        token = terms if isinstance(terms, JobToken) else None
        given = terms
        return await self._ledger.payment(token, lambda: self._make(given, seconds))

    def __repr__(self) -> str:
        return (
            f"BYOCPaymentSession(capability={self._capability!r},"
            f" manifest_id={self._manifest_id!r})"
        )

    async def _make(self, terms: JobToken | bytes, seconds: int) -> Payment | None:
        if not self._manifest_id:
            raise InvalidJob("`manifest_id` must be the job's id: a payment belongs to a job")
        info = self._message(terms)
        offered = read_info(info)
        if offered.price_info.pricePerUnit <= 0:
            return None
        token = terms if isinstance(terms, JobToken) else None
        if offered.address != self._recipient or not self._suffices(token):
            self._account.begin_anew()
            self._recipient = offered.address
        lead_s = max(self._preload_seconds, seconds)
        preload_s = None if self._account.begun else lead_s + _arrears_s(token)
        if token is not None and not self._allowed(token, offered, preload_s, lead_s):
            return None
        fields: dict[str, object] = {
            "ManifestID": self._manifest_id,
            "capabilities": base64.b64encode(byoc_capability(self._capability)).decode(),
        }
        if preload_s is not None:
            fields["preloadSeconds"] = preload_s
        paid = await self._account.pay(info, fields, self._fetch_message)
        if paid is None:
            return None
        return Payment(headers={PAYMENT: paid.payment}, value=payment_value(paid.payment))

    def _suffices(self, token: JobToken | None) -> bool:
        """Whether a payment for the time since the last one lets the orchestrator go on.

        It does not after one that never arrived, or after the orchestrator's restart: the signer
        believes that time to be paid.
        """
        if token is None or not self._account.begun:
            return True
        due = math.ceil(max(1.0, self._account.elapsed_s)) * token.price_per_s
        return token.balance + due >= ADMITTED_S * token.price_per_s

    def _allowed(
        self, token: JobToken, offered: OrchestratorInfo, preload_s: int | None, lead_s: int
    ) -> bool:
        value = ticket_value(offered.ticket_params)
        paid_s = math.ceil(max(1.0, self._account.elapsed_s)) if preload_s is None else preload_s
        return self._ledger.allows(
            token,
            cost=in_tickets(paid_s * token.price_per_s, value),
            lead=in_tickets(lead_s * token.price_per_s, value),
        )

    def _message(self, terms: JobToken | bytes) -> bytes:
        if isinstance(terms, bytes):
            return terms
        return info_of_token(terms, session_id=self._manifest_id)

    async def _fetch_message(self) -> bytes:
        return self._message(await self._fetch())

    async def _fetch(self) -> JobToken | bytes:
        if self._refresh is not None:
            return await self._refresh()
        if not self._node_url:
            raise ConfigError("give the session `terms`, or `refresh` or `node_url` to fetch them")
        from livepeer.client._find.orchestrator_info import ask_orchestrator  # lazy: grpc

        # Tickets are bound to the price that they were offered at: it has to be the capability's.
        info = await ask_orchestrator(
            self._node_url,
            signer=self._signer,
            capabilities=(f"byoc/{self._capability}",),
            use_tofu=self._use_tofu,
            verify_tls=self._verify_tls,
            trust=self._trust,
        )
        return info.raw


def _stream_id(job: Job) -> str:
    """The stream that a job is about which has no id of its own."""
    return str(json.loads(job.request).get("stream_id", ""))


def _arrears_s(token: JobToken | None) -> int:
    """Seconds that are owed already, rounded up, as far as they are paid at once."""
    if token is None or token.balance >= 0:
        return 0
    return min(ARREARS_S, -(token.balance // token.price_per_s))
