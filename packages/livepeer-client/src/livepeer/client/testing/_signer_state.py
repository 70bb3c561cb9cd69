"""The state that a signer hands out and gets back: readable, signed by the signer, never kept.

Source: go-livepeer `server/remote_signer.go` (`RemotePaymentState`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

from ._keys import is_digest_signed

if TYPE_CHECKING:
    from ._gojson import GoObject
    from ._keys import FakeKey


@dataclass(kw_only=True)
class SignerState:
    """What a signer knows of one session, between two calls.

    Attributes:
        state_id: The session's id.
        session_id: The hash of the ticket parameters that the nonce belongs to, in hex.
        last_update: When the last payment was made, unix seconds; 0 before the first.
        orchestrator: The orchestrator's address, in hex.
        app: The caller's label.
        auth_expiry: Until when the webhook need not be asked, unix seconds.
        nonce: The last ticket's.
        balance: Credit, as a fraction in text.
        price_per_unit: The session's price.
        pixels_per_unit: Units of that price.
        type: The payment type.
        sequence: How many payments came before.
        auth_id: Whom the webhook took the caller for.
    """

    state_id: str
    orchestrator: str
    app: str
    price_per_unit: int
    pixels_per_unit: int
    type: str
    session_id: str = ""
    last_update: float = 0.0
    auth_expiry: int = 0
    nonce: int = 0
    balance: str = ""
    sequence: int = 0
    auth_id: str = ""

    @property
    def credit(self) -> Fraction:
        """The balance in wei."""
        return Fraction(self.balance or 0)

    @property
    def price(self) -> Fraction:
        """The session's price for one unit, in wei."""
        return Fraction(self.price_per_unit, self.pixels_per_unit)

    def sealed(self, key: FakeKey) -> dict[str, str]:
        """The blob that goes to the caller."""
        raw = json.dumps(asdict(self)).encode()
        return {
            "State": base64.b64encode(raw).decode(),
            "Sig": base64.b64encode(key.sign_digest(raw)).decode(),
        }


def open_state(blob: GoObject, key: FakeKey) -> SignerState | None:
    """Read a blob; None when the caller sent none.

    Raises:
        ValueError: It was not made by `key`, or cannot be read.
    """
    raw, signature = blob.data("State"), blob.data("Sig")
    if not raw and not signature:
        return None
    if not is_digest_signed(raw, signature, key.raw):
        raise ValueError("invalid sig")
    try:
        return SignerState(**json.loads(raw))
    except (ValueError, TypeError) as error:
        raise ValueError("invalid state") from error
