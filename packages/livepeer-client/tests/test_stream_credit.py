"""The credit of a paid stream: nothing is paid too soon, and what is left is used."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    BYOCJobRequest,
    EndReason,
    OrchestratorTransport,
    PriceTooHigh,
    SpendingLimits,
    SpendLimit,
    TicketPayments,
)
from livepeer.client._find.discovery import ListSource
from livepeer.client._find.finder import Finder
from livepeer.client._net.http import HTTP
from livepeer.client._streams.byoc import BYOCJob
from livepeer.client.testing import FakeCapability, FakeClock, fake_orchestrator

from .streams import LIMIT_S, QUICK, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client import LocalSigner
    from livepeer.client.testing import FakeOrchestrator

PRICE = 1000
TOKEN, PAY = "/process/token", "/ai/stream/payment"


@pytest.fixture
async def node(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    offer = {"echo": FakeCapability(runner, price=PRICE)}
    async with fake_orchestrator(offer, ticket_value=PRICE) as node:
        yield node


@pytest.fixture
async def http() -> AsyncIterator[HTTP]:
    async with HTTP() as http:
        yield http


def streaming(
    http: HTTP,
    node: FakeOrchestrator,
    signer: LocalSigner,
    *,
    pay_every_s: float,
    limits: SpendingLimits | None = None,
) -> BYOCJob:
    tickets = TicketPayments(signer, clock=FakeClock())
    transport = OrchestratorTransport(
        http,
        Finder(ListSource([node.url])),
        signer=signer,
        payments=tickets if limits is None else limits.applied_to(tickets),
        pay_every_s=pay_every_s,
    )
    request = BYOCJobRequest(capability="echo", enable_video_ingress=False)
    return BYOCJob(transport, http, request, settings=replace(QUICK, pay_again_s=0.05))


async def test_the_first_payment_after_the_start_has_its_time(
    http: HTTP, node: FakeOrchestrator, signer: LocalSigner
) -> None:
    async with streaming(http, node, signer, pay_every_s=1) as job:
        began = asyncio.get_running_loop().time()
        await job.start()
        (start,) = node.payments
        await until(lambda: len(node.payments) > 1)
        assert asyncio.get_running_loop().time() - began >= 1
    # A stop costs nothing while there is the minute of credit that it asks for.
    assert len(node.payments) == 2
    assert start.value == 61 * PRICE


async def test_a_start_that_paid_nothing_is_followed_by_a_payment_at_once(
    http: HTTP, node: FakeOrchestrator, signer: LocalSigner
) -> None:
    node.set_balance(signer.address, "echo", 120 * PRICE)
    async with streaming(http, node, signer, pay_every_s=20) as job:
        await job.start()
        assert node.payments == []
        await until(lambda: node.payments)


@pytest.mark.parametrize("kind", [SpendLimit, PriceTooHigh])
async def test_what_may_not_be_paid_ends_a_stream_when_its_credit_is_used_up(
    http: HTTP, node: FakeOrchestrator, signer: LocalSigner, kind: type[SpendLimit | PriceTooHigh]
) -> None:
    limits = SpendingLimits(max_spend=70 * PRICE, max_price_per_s=PRICE)
    async with streaming(http, node, signer, pay_every_s=0.05, limits=limits) as job:
        await job.start()
        price = PRICE
        if kind is PriceTooHigh:
            price = node.capabilities["echo"].price = PRICE + 1
        # What the next charge leaves has to be enough for the stop.
        enough = (60 + 23) * price
        node.set_balance(signer.address, "echo", enough + 1)
        looked = node.paths().count(TOKEN)
        await until(lambda: job.end or node.paths().count(TOKEN) >= looked + 4)
        assert job.end is None
        node.set_balance(signer.address, "echo", enough - 1)
        end = await asyncio.wait_for(job.ended(), LIMIT_S)
        assert (end.reason, type(end.error)) == (EndReason.PAYMENT, kind)
        await until(lambda: not node.streams)
    assert PAY not in node.paths()
    assert math.floor(sum(payment.value for payment in node.payments)) == 61 * PRICE
