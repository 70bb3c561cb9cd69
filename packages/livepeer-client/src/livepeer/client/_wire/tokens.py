"""What an orchestrator tells about a capability before a job: price, balance, free slots. Pure.

Source: go-livepeer `byoc/job_orchestrator.go` (`GetJobToken`). Keys of zero value are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from livepeer.client.errors import InvalidAnswer

from .encoding import json_object

if TYPE_CHECKING:
    from .encoding import JSONValue


@dataclass(frozen=True, kw_only=True)
class JobToken:
    """An orchestrator's terms for one capability and one sender.

    Attributes:
        url: The orchestrator that was asked.
        price_per_s: Wei per second, rounded up; 0 is free.
        price: The price as it is written, which a payment has to repeat: wei for so many units.
        balance: The sender's credit for this capability in wei; may be negative.
        available_capacity: Free slots. 0 for a full capability and an unknown one alike.
        service_addr: The orchestrator's own idea of its URL.
        ticket_params: What a payment ticket is made of; None off-chain.
    """

    url: str
    price_per_s: int = 0
    price: tuple[int, int] = (0, 1)
    balance: int = 0
    available_capacity: int = 0
    service_addr: str = ""
    ticket_params: dict[str, JSONValue] | None = None


def parse_token(body: bytes, url: str) -> JobToken:
    """Read the body of a token.

    Raises:
        InvalidAnswer: It is not what an orchestrator sends.
    """
    fields = json_object(body, "the token", url)
    price = _price(fields, url)
    params = fields.get("ticket_params")
    address = fields.get("service_addr")
    return JobToken(
        url=url,
        price_per_s=-(-price[0] // price[1]),
        price=price,
        balance=_integer(fields, "balance", url),
        available_capacity=_integer(fields, "available_capacity", url),
        # A URL is ASCII; half of a surrogate pair could travel in no payment.
        service_addr=address if isinstance(address, str) and address.isascii() else "",
        ticket_params=params if isinstance(params, dict) else None,
    )


def _price(fields: dict[str, JSONValue], url: str) -> tuple[int, int]:
    price = fields.get("price")
    if not isinstance(price, dict):
        return (0, 1)
    wei, units = _integer(price, "pricePerUnit", url), _integer(price, "pixelsPerUnit", url)
    if wei < 0 or units < 0:
        raise InvalidAnswer("the token's `price` is negative", url=url)
    return (wei, units or 1)


def _integer(fields: dict[str, JSONValue], key: str, url: str) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidAnswer(f"the token's `{key}` is no integer", url=url)
    return value
