"""`OrchestratorInfo` as an orchestrator gives it by gRPC, with a payment's answer and on refresh.

Source: go-livepeer `server/rpc.go` (`getOrchestrator`, `orchestratorInfoWithCaps`,
`RefreshPayment`), `core/orchestrator.go` (`priceInfo`), `net/lp_rpc.proto`.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Final

from ._keys import address_text, is_signed
from ._protobuf import Message, Sub, encode
from ._tickets import Price

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._credentials import SegmentData
    from ._node import Node

LIVE_VIDEO: Final = 35
BYOC: Final = 37


class RequestRefusedError(Exception):
    """What the RPC fails with; its code is UNKNOWN."""


class InfoDesk:
    """Answers what an orchestrator is, what it offers and what that costs."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def answer(self, request: bytes) -> bytes:
        """The answer to an `OrchestratorRequest`.

        Raises:
            RequestRefusedError: With the text of go-livepeer.
        """
        self._node.infos.append(request)
        message = Message(request)
        sender, signature = message.data(1).rjust(20, b"\0"), message.data(2)
        if self._node.verify and not is_signed(address_text(sender).encode(), signature, sender):
            text = "Invalid orchestrator request: orchestrator req sig check failed"
            raise RequestRefusedError(text)
        wanted = message.message(3) if 3 in message else None
        if wanted is not None and not message.number(4):
            self._check_capacity(wanted)
        if self._node.is_paid and not self._node.reserve:
            raise RequestRefusedError("insufficient sender reserve")
        return bytes(self.info(sender, wanted, token=self._node.office.issue()))

    def info(
        self,
        sender: bytes,
        wanted: Message | None,
        *,
        token: bytes,
        rate: Fraction | None = None,
    ) -> Sub:
        """An `OrchestratorInfo` for a sender, at `rate` or the price of what it wants."""
        node = self._node
        fields: dict[int, object] = {1: node.service_url, 6: Sub(token), 34: list(node.nodes)}
        if node.is_paid:
            price = _price(self.rate(wanted) if rate is None else rate)
            fields[2] = node.cashier.recipient.terms(sender, price.rate).encode()
            fields[3] = price.encode()
            fields[4] = node.address
        fields[5] = self._capabilities()
        if wanted is None and node.is_paid:
            fields[33] = [
                Price(per_unit=offer.price).encode(capability=BYOC, constraint=name)
                for name, offer in node.capabilities.items()
            ]
        return Sub(encode(dict(sorted(fields.items()))))

    def after_payment(self, sender: bytes, segment: SegmentData) -> Sub:
        """What comes back with a payment: new ticket parameters, under the same token."""
        fixed = self._node.cashier.fixed_price(sender, segment.session_id)
        token = segment.auth_token.raw
        return self.info(sender, segment.capabilities, token=token, rate=fixed)

    def pinned(self, sender: bytes, manifest_id: str) -> Sub | None:
        """The same at an account's own price, for its session; None for no such account."""
        node = self._node
        rate = node.cashier.fixed_price(sender, manifest_id)
        if rate is None:
            return None
        price = _price(rate)
        return Sub(
            encode(
                {
                    1: node.service_url,
                    2: node.cashier.recipient.terms(sender, rate).encode(),
                    3: price.encode(),
                    4: node.address,
                    6: node.office.issue(manifest_id),
                }
            )
        )

    def rate(self, wanted: Message | None) -> Fraction:
        """Wei per unit: the sum of what is wanted, or else the price of transcoding."""
        node, total = self._node, Fraction(0)
        if wanted is not None:
            capacities = {entry.number(1) for entry in wanted.messages(3)}
            for number, name in _constraints(wanted):
                if number not in capacities:
                    continue
                if number == LIVE_VIDEO and name in node.models:
                    total += node.models[name].price
                if number == BYOC and node.flavour == "byoc" and name in node.capabilities:
                    total += node.capabilities[name].price
        return total or node.transcoding_price

    def is_compatible(self, wanted: Message | None) -> bool:
        """Whether what segment credentials ask for is what this orchestrator has."""
        if wanted is None:
            return True
        if any(wanted.numbers(1)):
            # This one has no feature bits.
            return False
        asked = [name for number, name in _constraints(wanted) if number == LIVE_VIDEO]
        return not self._node.models or all(name in self._node.models for name in asked)

    def _check_capacity(self, wanted: Message) -> None:
        asked = [name for number, name in _constraints(wanted) if number == LIVE_VIDEO]
        if asked and not any(self._node.idle(name) for name in asked):
            raise RequestRefusedError("Invalid orchestrator request: OrchestratorCapped")

    def _capabilities(self) -> Sub:
        node = self._node
        models = [
            encode({1: name, 2: Sub(encode({2: node.idle(name), 4: node.busy(name)}))})
            for name in node.models
        ]
        constraints = encode({1: LIVE_VIDEO, 2: Sub(encode({1: models}))})
        return Sub(
            encode(
                {
                    3: [encode({1: LIVE_VIDEO, 2: 1})] if models else [],
                    4: "0.8.9-fake",
                    5: Sub(encode({2: [constraints]})) if models else None,
                }
            )
        )


def _constraints(capabilities: Message) -> Iterator[tuple[int, str]]:
    """Capability and model of every constraint."""
    for entry in capabilities.message(5).messages(2):
        for model in entry.message(2).messages(1):
            yield entry.number(1), model.text(1)


def _price(rate: Fraction) -> Price:
    return Price(per_unit=rate.numerator, units=rate.denominator)
