"""One account at one orchestrator that a remote signer fills: `/generate-live-payment`.

Source: go-livepeer `server/remote_signer.go` (`GenerateLivePayment`); the kind `byoc` is on its
branch `feat/remote-signer-byoc` only.
"""

from __future__ import annotations

import base64
import secrets
import time
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.client.errors import NothingDue, PaymentRequiredError, SignerRefused, TermsExpired

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from livepeer.client._sign.remote import LivePayment
    from livepeer.client._sign.signing import TokenCredentials
    from livepeer.client._wire.encoding import JSONValue

MAX_REFRESHES: Final = 3
"""How often terms are fetched anew for one payment."""

# What a ceiling of the price is given in, by the kind of payment; for others a signer takes none.
PRICE_UNITS: Final = {"live": "seconds", "lv2v": "720p-pixel-seconds", "fixed": "fixed"}

PRICE_MARGIN: Final = 1.012
"""A price that was told in advance follows the exchange rate a little; so much is let pass."""


_BAD_TERMS: Final = 400


class PaymentSigner(Protocol):
    """A service that makes payments; `RemoteSigner` is one."""

    async def generate_live_payment(self, request: Mapping[str, object]) -> LivePayment:
        """Have a payment made."""
        ...

    async def token_credentials(self) -> TokenCredentials:
        """The address that pays, with what proves it."""
        ...


class SignerAccount:
    """Asks for the payments of one session, and keeps what the signer wants to see again.

    Args:
        signer: The service.
        kind: `byoc`, `lv2v`, `live` or `fixed`.
        max_price: A price that was told in advance, in wei per unit; the signer pays no more
            than that and a margin. Not for `byoc`, for which signers take no ceiling.
        clock: Seconds.
    """

    def __init__(
        self,
        signer: PaymentSigner,
        kind: str,
        *,
        max_price: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._signer = signer
        self._kind = kind
        self._ceiling = max_price_field(kind, max_price)
        self._state: Mapping[str, JSONValue] | None = None
        self._clock = clock
        self._paid_at = 0.0

    @property
    def begun(self) -> bool:
        """Whether a payment was made, so that the next one pays for the time since."""
        return self._state is not None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the last payment."""
        return self._clock() - self._paid_at

    def begin_anew(self) -> None:
        """Have the next payment be a first one, which pays in advance."""
        self._state = None

    def mark(self) -> Callable[[], None]:
        """What takes back the payments from here on, for one that must not leave after all."""
        state, paid_at = self._state, self._paid_at

        def undo() -> None:
            self._state, self._paid_at = state, paid_at

        return undo

    async def pay(
        self,
        info: bytes,
        fields: Mapping[str, object],
        refresh: Callable[[], Awaitable[bytes]],
    ) -> LivePayment | None:
        """A payment, or None when nothing is due yet.

        Args:
            info: The orchestrator's terms: the message `OrchestratorInfo`.
            fields: What else the request has to say.
            refresh: Fetches the terms anew.

        Raises:
            PaymentRequiredError: The signer took no terms for fresh enough.
            PriceTooHigh: The price is above a ceiling of the signer.
            SignerError: The signer did not pay.
        """
        for left in range(MAX_REFRESHES, -1, -1):
            try:
                paid = await self._signer.generate_live_payment(self._request(info, fields))
            except NothingDue:
                return None
            except TermsExpired as error:
                if not left:
                    raise PaymentRequiredError(
                        f"the signer took {MAX_REFRESHES + 1} of the orchestrator's terms for"
                        " outdated; compare the clocks",
                        url=error.url,
                        status=error.status,
                    ) from error
                info = await refresh()
            except SignerRefused as error:
                raise _explained(error, self._kind) from error
            else:
                self._state = paid.state
                self._paid_at = self._clock()
                return paid
        raise AssertionError("unreachable")

    def _request(self, info: bytes, fields: Mapping[str, object]) -> dict[str, object]:
        request: dict[str, object] = {
            "requestID": secrets.token_hex(8),
            "type": self._kind,
            "orchestrator": base64.b64encode(info).decode(),
            **fields,
        }
        if self._state is not None:
            request["state"] = dict(self._state)
        if self._ceiling is not None:
            request["maxPrice"] = self._ceiling
        return request


def max_price_field(kind: str, price: float | None) -> dict[str, object] | None:
    """The ceiling as a request says it: the price that was told, with a margin."""
    unit = PRICE_UNITS.get(kind)
    if price is None or unit is None:
        return None
    return {"price": price * PRICE_MARGIN, "currency": "wei", "unit": unit}


def _explained(error: SignerRefused, kind: str) -> SignerRefused:
    if "invalid job type" not in str(error):
        # It is about this orchestrator's terms; others may have better ones.
        error.elsewhere = error.status == _BAD_TERMS
        return error
    return SignerRefused(
        f"the signer makes no payments of type {kind!r}; run one that does, or pay with a local"
        " key (TicketPayments)",
        url=error.url,
        status=error.status,
    )
