"""What an orchestrator tells about a capability before a job: price, balance, free slots. Pure.

Source: go-livepeer `byoc/job_orchestrator.go` (`GetJobToken`). Keys of zero value are absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._wire import load_json
from .errors import InvalidAnswer

if TYPE_CHECKING:
    from ._wire import JSONValue


@dataclass(frozen=True, kw_only=True)
class JobToken:
    """An orchestrator's terms for one capability and one sender.

    Attributes:
        url: The orchestrator that was asked.
        price_per_s: Wei per second; 0 is free.
        balance: The sender's credit for this capability in wei; may be negative.
        available_capacity: Free slots. 0 for a full capability and an unknown one alike.
        service_addr: The orchestrator's own idea of its URL.
        ticket_params: What a payment ticket is made of; None off-chain.
    """

    url: str
    price_per_s: int = 0
    balance: int = 0
    available_capacity: int = 0
    service_addr: str = ""
    ticket_params: dict[str, JSONValue] | None = None


def parse_token(body: bytes, url: str) -> JobToken:
    """Read the body of a token.

    Raises:
        InvalidAnswer: It is not what an orchestrator sends.
    """
    try:
        fields = load_json(body)
    except ValueError as error:
        raise InvalidAnswer("the token is not JSON", url=url) from error
    if not isinstance(fields, dict):
        raise InvalidAnswer("the token is no JSON object", url=url)
    price = fields.get("price")
    params = fields.get("ticket_params")
    address = fields.get("service_addr")
    return JobToken(
        url=url,
        price_per_s=_integer(price, "pricePerUnit", url) if isinstance(price, dict) else 0,
        balance=_integer(fields, "balance", url),
        available_capacity=_integer(fields, "available_capacity", url),
        service_addr=address if isinstance(address, str) else "",
        ticket_params=params if isinstance(params, dict) else None,
    )


def _integer(fields: dict[str, JSONValue], key: str, url: str) -> int:
    value = fields.get(key, 0)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidAnswer(f"the token's `{key}` is no integer", url=url)
    return value
