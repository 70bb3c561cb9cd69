"""The orchestrator's registry of capabilities, and who occupies how much of them.

In memory only, without time limits: a capability stays until it is unregistered, or until its
runner refuses the token (401) or a connection (go-livepeer `core/external_capabilities.go`).

Capacity is counted and told, never enforced: go-livepeer takes any number of jobs and leaves it to
the runner to answer 503. It also leaks a slot in several error paths, and lets the count drop below
zero after a registration in mid-job; neither is copied, for no well-behaved peer can rely on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

from . import gojson

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS: dict[str, gojson.Kind] = {
    "name": "string",
    "description": "string",
    "url": "string",
    "capacity": "int",
    "price_per_unit": "int64",
    "price_scaling": "int64",
    "currency": "string",
    "token": "string",
}
_CURRENCIES = ("", "wei", "eth")
_FREE = Fraction(0)
_WEI_PER_ETH = 10**18


class CapabilityError(ValueError):
    """A registration that cannot be used; the message follows `Error registering capability`."""


@dataclass(slots=True)
class Capability:
    """One registered capability.

    The price is in wei per second of compute; who charges takes whole wei only.
    """

    name: str
    url: str
    capacity: int
    price: Fraction
    token: str = field(repr=False)
    load: int = 0

    @property
    def available(self) -> int:
        """How many more jobs it offers to take, never below 0."""
        return max(self.capacity - self.load, 0)


class Slot:
    """One unit of a capability's capacity, given back once, on exit or by `release`.

    It belongs to the record that it was taken from, so that a job that outlives a new
    registration does not lower the new count.
    """

    def __init__(self, capability: Capability) -> None:
        self._capability: Capability | None = capability
        capability.load += 1

    def __enter__(self) -> Slot:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def release(self) -> None:
        """Give the unit back; the second time does nothing."""
        if self._capability is not None:
            self._capability.load -= 1
            self._capability = None


class Registry:
    """Capabilities by name."""

    def __init__(self) -> None:
        self._capabilities: dict[str, Capability] = {}
        # Outlive the capability, as upstream: whoever runs it can still be asked what it costs.
        self._prices: dict[str, Fraction] = {}

    def register(self, body: bytes) -> Capability:
        """Add or replace a capability from the JSON of its registration.

        A replacement is a fresh record whose load is zero.

        Raises:
            CapabilityError: No JSON, a wrong type, or a currency that needs a price feed (which
                closes the connection without an answer upstream).
        """
        try:
            found = gojson.struct(body, "core.ExternalCapability", _FIELDS)
        except gojson.GoJSONError as error:
            raise CapabilityError(str(error)) from None
        currency = str(found.get("currency", ""))
        if currency.lower() not in _CURRENCIES:
            raise CapabilityError(f"currency {currency!r} needs a price feed; use wei or eth")
        capability = Capability(
            name=str(found.get("name", "")),
            url=str(found.get("url", "")),
            capacity=cast("int", found.get("capacity", 0)),
            price=_price(found, currency),
            token=str(found.get("token", "")),
        )
        self._capabilities[capability.name] = capability
        self._prices[capability.name] = capability.price
        return capability

    def remove(self, name: str) -> None:
        """Forget a capability; an unknown name is fine."""
        self._capabilities.pop(name, None)

    def get(self, name: str) -> Capability | None:
        """The capability, or None."""
        return self._capabilities.get(name)

    def names(self) -> list[str]:
        """The registered capabilities."""
        return list(self._capabilities)

    def price(self, name: str) -> Fraction:
        """Wei per second, as last registered; 0 for a capability that never was."""
        return self._prices.get(name, _FREE)

    def reserve(self, name: str) -> Slot | None:
        """Take one unit, whether or not there is one left; None for an unknown capability."""
        capability = self._capabilities.get(name)
        return None if capability is None else Slot(capability)

    def available(self, name: str) -> int:
        """How many more jobs the capability offers to take; 0 for an unknown one."""
        capability = self._capabilities.get(name)
        return 0 if capability is None else capability.available


def _price(found: Mapping[str, gojson.JSONValue], currency: str) -> Fraction:
    price = Fraction(
        cast("int", found.get("price_per_unit", 0)), cast("int", found.get("price_scaling", 0)) or 1
    )
    return price * _WEI_PER_ETH if currency.lower() == "eth" else price
