"""Payments for live video by a remote signer, and the credentials that a free job needs as well.

Sources: go-livepeer `server/remote_signer.go` (`lv2v`), `server/segment_rpc.go` (`Payment`),
`server/rpc.go` (`RefreshPayment`), `server/ai_http.go`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

from livepeer.client._wire.encoding import PAYMENT, dump_json, load_json, redact
from livepeer.client.errors import InvalidAnswer, OrchestratorError, SpendLimit

from .info import read_info, read_result
from .ledger import Ledger
from .payments import Payment
from .signer_account import SignerAccount
from .spending import SpendingLimits
from .tickets import payment_value

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from livepeer.client._net.http import HTTP

    from .signer_account import PaymentSigner

SEGMENT: Final = "Livepeer-Segment"

PIXELS_PER_S: Final = 1280 * 720 * 30
"""What a second is charged as, whatever the video's size and rate."""

REFRESH_TIMEOUT_S: Final = 10.0


class LV2VPaymentSession:
    """The payments of one live-video job at one orchestrator, made by a remote signer.

    The first goes with the start and pays for a minute in advance; each later one, for the time
    since the one before, goes to `/payment` of the orchestrator, on a timer that has nothing to do
    with media. A payment that was neither accepted nor refused is given again, as it was, before
    the signer is asked for a new one. Calls may come at the same time; they go one after the
    other.

    Args:
        signer: The service that pays.
        info: The orchestrator's terms: the message `OrchestratorInfo` as it came.
        refresh: Fetches the terms anew, by gRPC; the price may have changed then.
        refresh_pinned: Fetches terms of the running job, at the price that it began with; None
            where the orchestrator does not know the job. `pinned_info` does that.
        capabilities: The message `Capabilities` that the terms were asked for with.
        max_price: The price that was told in advance, in wei per pixel.
        limits: What may be spent.
    """

    def __init__(
        self,
        signer: PaymentSigner,
        info: bytes,
        *,
        refresh: Callable[[], Awaitable[bytes]],
        refresh_pinned: Callable[[str], Awaitable[bytes | None]] | None = None,
        capabilities: bytes = b"",
        max_price: float | None = None,
        limits: SpendingLimits | None = None,
    ) -> None:
        self._account = SignerAccount(signer, "lv2v", max_price=max_price)
        self._info = info
        self._refresh = refresh
        self._refresh_pinned = refresh_pinned
        self._capabilities = capabilities
        self._limits = limits or SpendingLimits()
        self._ledger = Ledger()
        # Of the payment that was given out: whether it may have arrived, and what takes it back.
        self._maybe_arrived = False
        self._take_back: Callable[[], None] | None = None
        self._outdated = False
        self._manifest_id = ""
        offered = read_info(info)
        self._url = redact(offered.transcoder)
        self._pinned = offered.price_info.SerializeToString()

    def started(self, manifest_id: str) -> None:
        """The job runs under this id; what is paid from now on is paid into its account."""
        self._manifest_id = manifest_id

    async def payment(self) -> Payment | None:
        """What has to go with the start, or to `/payment`; None when nothing is due.

        Raises:
            PriceTooHigh: The price is above a ceiling of the caller or the signer.
            SpendLimit: It would exceed what may be spent.
            PaymentRequiredError: The orchestrator refused two payments, or the signer took no
                terms for fresh enough.
            SignerError: The signer did not pay.
        """
        return await self._ledger.payment(None, self._make)

    def accepted(self, payment: Payment, *, result: bytes = b"") -> None:
        """The payment was taken.

        Args:
            payment: The payment.
            result: What `/payment` answered: the message `PaymentResult`, with terms for the
                payments that follow.
        """
        self._ledger.accepted(payment)
        try:
            info = read_result(result)
        except InvalidAnswer:
            # The terms at hand go on being used, until the signer takes them for outdated.
            return
        # Tickets are bound to a price, and other terms are of use only at the one that the job
        # began with.
        if info is not None and read_info(info).price_info.SerializeToString() == self._pinned:
            self._info = info

    def lost(self, payment: Payment) -> None:
        """Nobody knows whether the payment arrived; it is given again."""
        del payment
        self._maybe_arrived = True

    def refused(self, payment: Payment) -> None:
        """The orchestrator did not take the payment. It is renewed once, by fresh terms.

        The new one pays for the same time again, unless the refused one had been lost before: then
        it is refused because it had arrived.
        """
        if self._take_back is not None and not self._maybe_arrived:
            self._take_back()
        # Tickets of the same terms would have the same numbers.
        self._outdated = True
        self._ledger.refused(payment)

    def __repr__(self) -> str:
        return f"LV2VPaymentSession(manifest_id={self._manifest_id!r})"

    async def _make(self) -> Payment | None:
        if not self._checked_price(self._info):
            return None
        self._limits.check_left(url=self._url)
        if self._outdated:
            await self._fresh()
        fields: dict[str, object] = {}
        if self._manifest_id:
            fields["ManifestID"] = self._manifest_id
        if self._capabilities:
            fields["capabilities"] = base64.b64encode(self._capabilities).decode()
        self._take_back = self._account.mark()
        self._maybe_arrived = False
        paid = await self._account.pay(self._info, fields, self._fresh)
        if paid is None:
            return None
        payment = Payment(
            headers={PAYMENT: paid.payment, SEGMENT: paid.segment},
            value=payment_value(paid.payment),
        )
        try:
            self._limits.spend(payment.value, url=self._url)
        except SpendLimit:
            self._take_back()
            raise
        return payment

    async def _fresh(self) -> bytes:
        pinned = None
        if self._manifest_id and self._refresh_pinned is not None:
            pinned = await self._refresh_pinned(self._manifest_id)
        info = pinned or await self._refresh()
        self._checked_price(info)
        self._info = info
        self._outdated = False
        return info

    def _checked_price(self, info: bytes) -> int:
        """Wei per second, rounded up; 0 for what is free."""
        price = read_info(info).price_info
        if price.pricePerUnit <= 0 or price.pixelsPerUnit <= 0:
            return 0
        per_s = -(-price.pricePerUnit * PIXELS_PER_S // price.pixelsPerUnit)
        self._limits.check_price(per_s, url=self._url)
        return per_s


async def pinned_info(
    http: HTTP, transcoder: str, *, sender: str, manifest_id: str
) -> bytes | None:
    """Terms of a job that runs and was paid for once, at the price that it began with.

    Args:
        http: The connections.
        transcoder: The orchestrator.
        sender: The address that pays, `0x` and 40 hexadecimal digits.
        manifest_id: The job's.

    Returns:
        The message `OrchestratorInfo`; None where the orchestrator does not know the job: nothing
        of it was paid within ten minutes, or it has restarted.

    Raises:
        OrchestratorError: It refuses.
        NodeUnreachable: There is no connection.
        InvalidAnswer: It answers something else.
    """
    url = f"{transcoder.rstrip('/')}/refresh-payment"
    body = dump_json({"sender": sender, "manifest_id": manifest_id}, "manifest_id").encode()
    reply = await http.exchange(
        "POST",
        url,
        headers={"Content-Type": "application/json"},
        body=body,
        timeout_s=REFRESH_TIMEOUT_S,
    )
    if reply.status == 409:
        return None
    if reply.status != 200:
        raise OrchestratorError(
            f"it gave no terms for the running job: {reply.body[:200]!r}",
            url=redact(url),
            status=reply.status,
        )
    try:
        fields = load_json(reply.body)
        params = fields["payment_params"] if isinstance(fields, dict) else None
        return base64.b64decode(params if isinstance(params, str) else "", validate=True)
    except (KeyError, ValueError) as error:
        raise InvalidAnswer("the terms cannot be read", url=redact(url)) from error


def free_credentials(info: bytes) -> Mapping[str, str]:
    """The headers of a job that costs nothing: an orchestrator wants to see its session token.

    Raises:
        InvalidAnswer: The terms are not what an orchestrator sends.
    """
    from livepeer.client._proto.livepeer_pb2 import SegData  # lazy: protobuf

    segment = SegData(auth_token=read_info(info).auth_token)
    return {PAYMENT: "", SEGMENT: base64.b64encode(segment.SerializeToString()).decode()}
