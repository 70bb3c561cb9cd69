"""The prices that a signer pays at most.

Source: go-livepeer `server/remote_signer.go` (`parseRemotePaymentMaxPrice`,
`checkRemotePaymentPrice`).
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ._gojson import GoObject

_UNITS: Final = {"live": "seconds", "lv2v": "720p-pixel-seconds", "fixed": "fixed"}


def parse_max_price(fields: GoObject, kind: str) -> Fraction:
    """The ceiling of a `maxPrice` object for a payment type.

    Raises:
        ValueError: With the text of go-livepeer.
    """
    price = fields.raw("price")
    try:
        amount = Fraction(str(price).strip()) if not isinstance(price, bool) else Fraction(0)
    except (ValueError, ZeroDivisionError):
        amount = Fraction(0)
    if amount <= 0:
        raise ValueError("maxPrice.price must be a positive decimal")
    if fields.text("currency").strip().lower() != "wei":
        raise ValueError("maxPrice.currency must be wei")
    unit = _UNITS.get(kind)
    if unit is None:
        raise ValueError("maxPrice requires payment type live, lv2v, or fixed")
    if fields.text("unit").strip().lower() != unit:
        raise ValueError(f"maxPrice.unit must be {unit} for payment type {kind}")
    return amount


def exceeded(price: Fraction, ceilings: Mapping[str, Fraction | None]) -> str | None:
    """The text for a price above the lowest ceiling; None when it is not."""
    known = [(ceiling, source) for source, ceiling in ceilings.items() if ceiling is not None]
    if not known:
        return None
    ceiling, source = min(known, key=lambda found: found[0])
    if price <= ceiling:
        return None
    return f"orchestrator price {decimal(price)} exceeds {source} ceiling {decimal(ceiling)}"


def decimal(value: Fraction, places: int = 3) -> str:
    """As `big.Rat.FloatString` writes it."""
    scaled = round(value * 10**places)
    digits = str(abs(scaled)).rjust(places + 1, "0")
    sign = "-" if scaled < 0 else ""
    return f"{sign}{digits[:-places]}.{digits[-places:]}" if places else f"{sign}{digits}"
