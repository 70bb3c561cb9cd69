"""Which orchestrator is tried first: what each offers, and policies that sort offers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from livepeer.client._wire.encoding import without_secrets

if TYPE_CHECKING:
    from livepeer.client._wire.tokens import JobToken


@dataclass(frozen=True, kw_only=True)
class Offer:
    """An orchestrator that has a slot for the capability.

    Attributes:
        url: Its address.
        token: Its terms.
        latency_s: Seconds that it took to tell them.
        score: What whoever listed it thinks of it; more is better.
    """

    url: str
    token: JobToken
    latency_s: float
    score: float = 1.0

    def __repr__(self) -> str:
        return without_secrets(self)


SelectionPolicy: TypeAlias = Callable[[Sequence[Offer]], Sequence[Offer]]
"""Sorts offers, the first to be tried first. What it leaves out is not tried."""


def in_order(offers: Sequence[Offer]) -> Sequence[Offer]:
    """As they are listed. One is asked only after the one before it did not take the job."""
    return offers


def by_price(offers: Sequence[Offer]) -> Sequence[Offer]:
    """The cheapest first; of several, the quickest."""
    return sorted(offers, key=lambda offer: (offer.token.price_per_s, offer.latency_s))


def by_latency(offers: Sequence[Offer]) -> Sequence[Offer]:
    """The quickest to tell its terms first."""
    return sorted(offers, key=lambda offer: offer.latency_s)


def by_score(offers: Sequence[Offer]) -> Sequence[Offer]:
    """The best by whoever listed them first; of several, the quickest."""
    return sorted(offers, key=lambda offer: (-offer.score, offer.latency_s))


def balanced(offers: Sequence[Offer]) -> Sequence[Offer]:
    """The best by price, latency and score together: by the sum of the three ranks.

    Equal prices or scores are one rank, so that what does not differ has no say.
    """
    prices = _ranks([offer.token.price_per_s for offer in offers])
    scores = _ranks([-offer.score for offer in offers])
    latencies = _ranks([offer.latency_s for offer in offers])
    places = sorted(
        range(len(offers)),
        key=lambda i: (prices[i] + scores[i] + latencies[i], prices[i], latencies[i]),
    )
    return [offers[i] for i in places]


def _ranks(values: Sequence[float]) -> list[int]:
    """The place of each value among the different ones."""
    places = {value: place for place, value in enumerate(sorted(set(values)))}
    return [places[value] for value in values]
