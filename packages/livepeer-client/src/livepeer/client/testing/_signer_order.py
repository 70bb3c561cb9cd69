"""What a signer is asked for, what it made of it, and how far it goes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fractions import Fraction

    from ._gojson import GoObject
    from ._protobuf import Message
    from ._signer_state import SignerState
    from ._tickets import Price, TicketTerms


class SignerRefusalError(Exception):
    """What the signer answers in place of a payment."""

    def __init__(self, status: int, text: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.headers = headers or {}


@dataclass
class SignerLimits:
    """What a signer pays at most.

    Attributes:
        max_price: The operator's ceiling, wei per unit; None for none.
        max_ticket_value: The most that one ticket may be worth, wei.
        max_total_value: The most that the tickets of one payment may be worth, wei.
        deposit: The signer's deposit, which no face value may exceed, wei.
    """

    max_price: Fraction | None = None
    max_ticket_value: int = 3_000_000_000_000
    max_total_value: int = 20_000_000_000_000
    deposit: int = 10**18


@dataclass(frozen=True, kw_only=True)
class MadePayment:
    """A payment that the signer made.

    Attributes:
        type: The payment type.
        state_id: The session.
        sequence: How many payments of the session came before.
        manifest_id: The one in the segment credentials.
        app: The caller's label.
        nonces: Those of its tickets.
        value: What the tickets are worth together, in whole wei.
        fee: What it was asked to cover, in whole wei.
        capabilities: The caller's, as they came; empty for none.
    """

    type: str
    state_id: str
    sequence: int
    manifest_id: str
    app: str
    nonces: tuple[int, ...]
    value: int
    fee: int
    capabilities: bytes


@dataclass(frozen=True, kw_only=True)
class Order:
    """A request that passed the first checks."""

    fields: GoObject
    type: str
    info: Message
    terms: TicketTerms
    price: Price
    state: SignerState
    is_first: bool
    manifest_id: str
    capabilities: bytes
