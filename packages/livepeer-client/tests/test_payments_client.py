"""A client with a remote signer: it signs and pays, and nothing exceeds the limits."""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from livepeer.client import Client, PaymentRequiredError, SignerRefused, SyncClient
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import Runner
    from livepeer.client.options import ClientOptions
    from livepeer.client.testing import FakeOrchestrator, FakeSigner, RunnerRequest

PREDICT = "/process/request/predict"
PAYMENTS = "/generate-live-payment"
SECRET = {"Authorization": "Bearer s3cret"}


@pytest.fixture
async def nodes(runner: Runner) -> AsyncIterator[tuple[FakeSigner, list[FakeOrchestrator]]]:
    """A signer that wants a bearer token, and two orchestrators, at 20 and at 10 wei per second."""
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(fake_signer(flavour="byoc", bearer="s3cret"))
        both = [
            await stack.enter_async_context(
                fake_orchestrator(
                    {"echo": FakeCapability(runner, price=price)}, flavour="byoc", ticket_value=100
                )
            )
            for price in (20, 10)
        ]
        yield fake, both


def options(fake: FakeSigner, *nodes: FakeOrchestrator) -> ClientOptions:
    return {
        "orchestrators": [node.url for node in nodes],
        "signer": fake.url,
        "signer_headers": SECRET,
    }


def asked(fake: FakeSigner) -> list[str]:
    return [json.loads(seen.body)["ManifestID"] for seen in fake.seen if seen.path == PAYMENTS]


async def test_calls_and_a_stream_are_signed_and_paid(
    nodes: tuple[FakeSigner, list[FakeOrchestrator]],
) -> None:
    fake, (_, node) = nodes
    async with Client(**options(fake, node)) as client:
        assert await client.call("echo", {"a": 1})
        async with client.open_call("echo", {"a": 1}, timeout_s=90) as answer:
            assert await answer.json()
        job = await client.start_stream("echo")
        await job.stop()
    values = [payment.value for payment in node.payments]
    # Rounded up here, each.
    assert 0 <= answer.paid - values[1] <= 1
    assert 0 <= client.spent - sum(values) <= len(values)
    assert [round(value, -2) for value in values][:2] == [600, 900]
    jobs = [seen.job["id"] for seen in node.seen if seen.path == PREDICT]
    assert asked(fake)[:2] == jobs
    assert all(seen.headers["authorization"] == SECRET["Authorization"] for seen in fake.seen)
    assert not any("authorization" in seen.headers for seen in node.seen)
    assert fake.paths().count("/sign-orchestrator-info") == 1


async def test_one_that_is_too_dear_is_passed_over_and_the_sum_holds_for_all(
    nodes: tuple[FakeSigner, list[FakeOrchestrator]],
) -> None:
    fake, (dear, cheap) = nodes
    limits: ClientOptions = {"max_price_per_s": 10, "max_spend": 700}
    async with Client(**options(fake, dear, cheap), **limits) as client:
        got = await asyncio.gather(
            *(client.call("echo", i) for i in range(6)), return_exceptions=True
        )
        failed = [each for each in got if isinstance(each, BaseException)]
        assert not dear.payments
        assert [round(payment.value, -2) for payment in cheap.payments] == [600]
        assert len(failed) == 5
        for error in failed:
            assert isinstance(error, PaymentRequiredError)
            assert re.search(
                r"20 wei .*`max_price_per_s`, 10.*would exceed `max_spend`", str(error)
            )


async def test_one_whose_terms_the_signer_does_not_pay_is_passed_over(
    nodes: tuple[FakeSigner, list[FakeOrchestrator]],
) -> None:
    fake, (dear, cheap) = nodes
    async with Client(**options(fake, dear, cheap)) as client:
        fake.limits.max_price = Fraction(15)
        async with client.open_call("echo", 1) as answer:
            assert answer.orchestrator_url == cheap.url
        # One orchestrator, one question, and the price is the reason.
        assert len(asked(fake)) == 2
        fake.limits.max_price = Fraction(5)
        cheap.set_balance(fake.address, "echo", 0)
        with pytest.raises(PaymentRequiredError, match=r"20\.000 exceeds.*10\.000 exceeds"):
            await client.call("echo", 1)
        assert len(asked(fake)) == 4
        fake.limits.max_price = None
        fake.faults.answer(
            400, "numTickets 300 exceeds maximum of 100", path=PAYMENTS, json_body=True
        )
        async with client.open_call("echo", 1) as answer:
            assert answer.orchestrator_url == cheap.url
        # Who is not let in at all is not asked about the next.
        fake.faults.answer(403, "denied", path=PAYMENTS, json_body=True)
        with pytest.raises(SignerRefused, match="denied"):
            await client.call("echo", 1)


async def test_what_was_paid_to_one_that_failed_is_told_as_well(
    nodes: tuple[FakeSigner, list[FakeOrchestrator]],
) -> None:
    fake, (busy, node) = nodes

    async def full(_: RunnerRequest) -> RunnerReply:
        return RunnerReply.json({"detail": "busy"}, status=503)

    busy.capabilities["echo"].handler = full
    async with Client(**options(fake, busy, node)) as client:
        async with client.open_call("echo", 1) as answer:
            assert answer.orchestrator_url == node.url
        (lost,), (kept,) = busy.payments, node.payments
        assert 0 <= answer.paid - lost.value - kept.value <= 2
        assert client.spent == answer.paid
    with SyncClient(**options(fake, node)) as sync:
        assert sync.spent == 0


async def test_a_signer_that_signs_no_byoc_job_is_asked_for_no_payment(
    nodes: tuple[FakeSigner, list[FakeOrchestrator]],
) -> None:
    _, (_, node) = nodes
    async with fake_signer(bearer="s3cret") as released:
        async with Client(**options(released, node)) as client:
            with pytest.raises(SignerRefused, match="cannot sign BYOC jobs"):
                await client.call("echo", 1)
        assert asked(released) == []
    assert node.paths() == ["/process/token"]
