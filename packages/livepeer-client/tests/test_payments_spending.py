"""A highest price and a sum that nothing exceeds, whoever pays and however many do at once."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import (
    ConfigError,
    JobToken,
    Payment,
    PriceTooHigh,
    SpendingLimits,
    SpendLimit,
    TicketPayments,
)
from livepeer.client._wire.jobs import BYOCJobRequest
from livepeer.client._wire.tokens import parse_token

if TYPE_CHECKING:
    from collections.abc import Sequence

URL = "http://127.0.0.1:28935"
JOB = BYOCJobRequest(capability="echo").job()


class Stamp:
    """Signs what nobody is going to check, after a turn of the loop."""

    address = "0x" + "19" * 20

    def __init__(self) -> None:
        self.signed = 0

    async def sign_hashes(self, hashes: Sequence[bytes]) -> list[bytes]:
        await asyncio.sleep(0)
        self.signed += 1
        return [bytes(65)] * len(hashes)


@pytest.fixture
def terms(vectors: dict[str, Any]) -> JobToken:
    """Go-livepeer's own token: 10 wei per second, no credit, tickets of 10,000 wei."""
    (row,) = [row for row in vectors["job_token_json"] if row["case"].startswith("paid")]
    return parse_token(row["body"].encode(), URL)


async def test_a_price_above_the_highest_is_not_paid(terms: JobToken) -> None:
    stamp = Stamp()
    for highest in (9, 10):
        limits = SpendingLimits(max_price_per_s=highest)
        session = limits.applied_to(TicketPayments(stamp)).session(JOB, URL)
        if highest == 9:
            with pytest.raises(PriceTooHigh, match="more than `max_price_per_s`, 9") as caught:
                await session.payment(terms, seconds=60)
            assert caught.value.elsewhere
            assert stamp.signed == 0
        else:
            assert await session.payment(terms, seconds=60) is not None


async def test_terms_that_are_fetched_anew_are_held_against_the_highest_price_too(
    terms: JobToken,
) -> None:
    class Curious(TicketPayments):
        def session(self, job: Any, node_url: str, *, refresh: Any = None) -> Any:
            self.refresh = refresh
            return super().session(job, node_url, refresh=refresh)

    async def dearer() -> JobToken:
        return replace(terms, price_per_s=11)

    payments = Curious(Stamp())
    SpendingLimits(max_price_per_s=10).applied_to(payments).session(JOB, URL, refresh=dearer)
    with pytest.raises(PriceTooHigh):
        await payments.refresh()


async def test_no_number_of_calls_at_once_exceeds_the_sum(terms: JobToken) -> None:
    limits = SpendingLimits(max_spend=35_000)
    payments = limits.applied_to(TicketPayments(Stamp()))
    sessions = [payments.session(JOB, URL) for _ in range(20)]
    got = await asyncio.gather(
        *(session.payment(terms, seconds=60) for session in sessions), return_exceptions=True
    )
    paid = [each for each in got if isinstance(each, Payment)]
    refused = [each for each in got if isinstance(each, SpendLimit)]
    assert (len(paid), len(refused)) == (3, 17)
    assert limits.spent == 30_000
    with pytest.raises(SpendLimit, match="would exceed `max_spend`, 35000: 30000 wei are spent"):
        await sessions[-1].payment(terms, seconds=60)


async def test_a_payment_counts_once_however_often_it_is_given(terms: JobToken) -> None:
    stamp = Stamp()
    limits = SpendingLimits(max_spend=10_000)
    session = limits.applied_to(TicketPayments(stamp)).session(JOB, URL)
    payment = await session.payment(terms, seconds=60)
    assert payment is not None
    session.lost(payment)
    assert await session.payment(terms, seconds=60) == payment
    assert limits.spent == 10_000
    session.accepted(payment, balance=10_000)
    # What is owed next would be too much; nothing is made of which nothing may be sent.
    with pytest.raises(SpendLimit, match="all of `max_spend`"):
        await session.payment(terms, seconds=60)
    assert stamp.signed == 1
    covered = replace(terms, balance=1200)
    assert await session.payment(covered, seconds=60) is None


async def test_a_refused_payment_has_left_all_the_same(terms: JobToken) -> None:
    limits = SpendingLimits(max_spend=20_000)
    session = limits.applied_to(TicketPayments(Stamp())).session(JOB, URL)
    for _ in range(2):
        payment = await session.payment(terms, seconds=60)
        assert payment is not None
        session.refused(payment)
    assert limits.spent == 20_000


def test_limits_are_not_negative() -> None:
    for name in ("max_price_per_s", "max_spend"):
        with pytest.raises(ConfigError, match=f"`{name}` must be 0 or more, not -1"):
            SpendingLimits(**{name: -1})
