"""A client with a remote signer: it signs and pays, and nothing exceeds the limits."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from contextlib import AsyncExitStack
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    Client,
    ConfigError,
    FreeOnly,
    LocalSigner,
    PaymentRequiredError,
    RemotePayments,
    RemoteSigner,
    SignerRefused,
    SpendingLimits,
    SyncClient,
    TicketPayments,
)
from livepeer.client.testing import (
    FakeCapability,
    RunnerReply,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from conftest import Runner
    from livepeer.client.options import ClientOptions
    from livepeer.client.testing import FakeOrchestrator, FakeSigner, RunnerRequest

PREDICT = "/process/request/predict"
PAYMENTS = "/generate-live-payment"
URL = "http://127.0.0.1:9"
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


async def test_who_pays_signs_where_nobody_else_is_named(runner: Runner) -> None:
    async with fake_orchestrator({"echo": FakeCapability(runner, price=10)}) as node:
        tickets = TicketPayments(LocalSigner.ephemeral())
        for payments in (tickets, SpendingLimits(max_spend=5000).applied_to(tickets)):
            async with Client(orchestrators=[node.url], payments=payments) as client:
                assert await client.call("echo", 1)
        assert [payment.sender.hex() for payment in node.payments] == [
            tickets.address.removeprefix("0x").lower()
        ] * len(node.payments)
        assert node.balance(tickets.address, "echo") > 0


@pytest.mark.parametrize("signs", ["key", "url", "token"])
def test_that_another_pays_than_signs_is_a_mistake(signs: str) -> None:
    key, url = LocalSigner.ephemeral(), "http://me:s3cret@signer.example"
    fields = json.dumps({"signer": url}).encode()
    signer: dict[str, ClientOptions] = {
        "key": {"signer": key},
        "url": {"signer": url},
        "token": {"access_token": base64.b64encode(fields).decode()},
    }
    for payments in (
        TicketPayments(LocalSigner.ephemeral()),
        RemotePayments(RemoteSigner("http://other.example")),
    ):
        for each in (payments, SpendingLimits(max_spend=1).applied_to(payments)):
            with pytest.raises(ConfigError, match="leave one of them out") as caught:
                Client(orchestrators=[URL], payments=each, **signer[signs])
            payer = getattr(payments, "address", "http://other.example")
            assert payer in str(caught.value)
            assert (key.address if signs == "key" else "//signer.example") in str(caught.value)
            assert "s3cret" not in str(caught.value)


def test_one_and_the_same_may_sign_and_pay() -> None:
    key = LocalSigner.from_key("11" * 32)
    Client(orchestrators=[URL], signer=key, payments=TicketPayments(key))
    Client(
        orchestrators=[URL],
        signer=LocalSigner.from_key("11" * 32, scheme="v1"),
        payments=TicketPayments(key),
    )
    remote = RemoteSigner("https://signer.example")
    Client(orchestrators=[URL], signer="https://signer.example/", payments=RemotePayments(remote))
    # One that is not known to sign as anybody.
    Client(orchestrators=[URL], payments=FreeOnly())


def test_a_payer_that_cannot_sign_jobs_asks_for_a_signer() -> None:
    class Stamp:
        address = "0x" + "19" * 20

        async def sign_hashes(self, hashes: Sequence[bytes]) -> list[bytes]:
            return [bytes(65)] * len(hashes)

    with pytest.raises(ConfigError, match=f"pays as {Stamp.address}, and nothing signs as that"):
        Client(orchestrators=[URL], payments=TicketPayments(Stamp()))
