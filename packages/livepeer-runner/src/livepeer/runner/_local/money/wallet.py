"""The gateway's payments: how much is owed, and the tickets for it.

Source: go-livepeer `byoc/payment.go` (`createPayment`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, cast

from livepeer.runner._local import gojson
from livepeer.runner._local.jobs import address_bytes

from .messages import Payment
from .tickets import TicketParams, read_params, ticket_count

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.runner._local.keys import Signer

# Below so many seconds of credit the gateway pays; the orchestrator asks for a minute.
_ENOUGH_S: Final = 120

TERMS_FIELDS: Final[Mapping[str, gojson.Kind]] = {
    "ticket_params": "struct",
    "balance": "int64",
    "price": "struct",
}


class CannotPay(Exception):
    """A payment is due and there is nothing to make it with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What a token says of money.

    Attributes:
        price: Wei for so many units, and the units: seconds.
        balance: What the sender has left, in wei.
        params: What tickets are made of; None off-chain.
    """

    price: tuple[int, int] = (0, 1)
    balance: int = 0
    params: TicketParams | None = None

    @property
    def rate(self) -> Fraction:
        """Wei per second."""
        return Fraction(*self.price)

    @property
    def is_due(self) -> bool:
        """Whether it costs something, and credit is short."""
        wei, units = self.price
        return wei > 0 and self.balance * units < _ENOUGH_S * wei


_UNIT: Final[dict[str, gojson.JSONValue]] = {"pixelsPerUnit": 1}
_FREE: Final = Terms()


def read_terms(found: Mapping[str, gojson.JSONValue]) -> Terms:
    """Read `TERMS_FIELDS` of a token.

    Raises:
        gojson.GoJSONError: A field of the wrong type.
    """
    if found.get("price") == _UNIT:
        return _FREE
    price = gojson.pick(
        _object(found, "price"),
        "JobToken.price",
        {"pricePerUnit": "int64", "pixelsPerUnit": "int64"},
    )
    params = _object(found, "ticket_params")
    wei = cast("int", price.get("pricePerUnit", 0))
    units = cast("int", price.get("pixelsPerUnit", 0)) or 1
    balance = cast("int", found.get("balance", 0))
    return Terms(
        price=(wei, units), balance=balance, params=read_params(params) if params else None
    )


def payment(terms: Terms, seconds: int, signer: Signer) -> str:
    """The payment header for so many seconds.

    Each token's parameters are paid with once only: its tickets are numbered from 1.

    Raises:
        CannotPay: The signer has no key, or the orchestrator gave no ticket parameters.
    """
    if terms.params is None:
        raise CannotPay("no ticket params available, cannot create payment")
    sender = address_bytes(signer.address)
    count = ticket_count(terms.rate * seconds, terms.params.value)
    tickets = [
        (nonce, signer.sign_ticket(terms.params.message(sender, nonce)))
        for nonce in range(1, count + 1)
    ]
    if not all(signature for _, signature in tickets):
        raise CannotPay("no ticket sender available, cannot create payment")
    made = Payment(sender=sender, params=terms.params, price=terms.price, tickets=tuple(tickets))
    return made.header()


def _object(found: Mapping[str, gojson.JSONValue], name: str) -> dict[str, gojson.JSONValue]:
    value = found.get(name)
    return value if isinstance(value, dict) else {}
