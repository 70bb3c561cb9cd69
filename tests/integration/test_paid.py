"""What costs something: jobs, event streams and streams, paid, unpaid and paid wrongly.

Each test has a sender of its own, unless `--signer-key` names one, and a capability of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator  # noqa: TC003 - read at run time
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from livepeer.client import (
    BYOCJobRequest,
    Client,
    FreeOnly,
    LocalSigner,
    PaymentRequiredError,
    RunnerError,
    TicketPayments,
)
from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner.errors import InputError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from conftest import Network, Served, Until

pytestmark = pytest.mark.paid

PRICE = 10
NO_BALANCE = "Insufficient balance for request"


class Echo(Pipeline):
    """Gives back what it was given."""

    def __init__(self) -> None:
        self.calls = 0

    def predict(self, text: str) -> str:
        self.calls += 1
        if text == "refuse":
            raise InputError("no")
        return text


class Letters(Pipeline):
    def predict(self, text: str) -> Iterator[str]:
        yield from text


class Quiet(LivePipeline):
    """Takes updates."""

    def __init__(self) -> None:
        self.runs = False
        self.updates: list[dict[str, Any]] = []

    def on_stream_start(self, params: dict[str, Any]) -> None:
        self.runs = True

    def on_params_update(self, params: dict[str, Any]) -> None:
        self.updates.append(params)


@pytest.fixture
def signer(network: Network) -> LocalSigner:
    return network.signer()


@pytest.fixture
async def payer(way: str, network: Network, signer: LocalSigner) -> AsyncIterator[Client]:
    """A client of each way: one pays itself, the other's gateway pays."""
    made = network.paying_client(signer) if way == "direct" else network.gateway_client()
    async with made as client:
        yield client


@pytest.fixture
async def echo(network: Network) -> AsyncIterator[tuple[Echo, Served]]:
    pipeline = Echo()
    async with network.serve(pipeline, capability_price=PRICE) as runner:
        yield pipeline, runner


class Wire:
    """Requests at the orchestrator, signed here and with what payment one likes."""

    def __init__(self, network: Network, signer: LocalSigner, name: str) -> None:
        self.network = network
        self.signer = signer
        self.name = name

    async def balance(self) -> int:
        return (await self.network.token(self.signer, self.name)).balance

    async def payment(self) -> dict[str, str]:
        """A payment for a minute or more, as headers."""
        job = BYOCJobRequest(capability=self.name).job()
        session = TicketPayments(self.signer).session(job, self.network.orchestrator)
        token = await self.network.token(self.signer, self.name)
        paid = await session.payment(token, seconds=130)
        assert paid is not None
        return dict(paid.headers)

    async def post(self, path: str, payment: Mapping[str, str]) -> tuple[int, str, int | None]:
        """Status, text and balance."""
        job = BYOCJobRequest(capability=self.name, timeout_s=20).job()
        signed = await self.signer.sign_job(job, "legacy")
        headers = {"Livepeer": signed.header(), "Content-Type": "application/json", **payment}
        url = self.network.orchestrator + path
        async with (
            self.network.http() as http,
            http.post(url, data=b'{"text": "a"}', headers=headers) as answer,
        ):
            told = answer.headers.get("Livepeer-Balance")
            return answer.status, await answer.text(), None if told is None else int(told)

    async def is_dropped(self, path: str, payment: Mapping[str, str]) -> bool:
        """Whether the connection closes without an answer."""
        try:
            await self.post(path, payment)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            return True
        return False


@pytest.fixture
def wire(network: Network, signer: LocalSigner, echo: tuple[Echo, Served]) -> Wire:
    return Wire(network, signer, echo[1].name)


async def test_a_call_is_paid_for(payer: Client, echo: tuple[Echo, Served]) -> None:
    for text in ("a", "b", "c"):
        assert await payer.call(echo[1].name, {"text": text}) == text
    with pytest.raises(RunnerError) as refused:
        await payer.call(echo[1].name, {"text": "refuse"})
    assert refused.value.status == 400


async def test_calls_at_the_same_time_are_paid_for(
    payer: Client, echo: tuple[Echo, Served]
) -> None:
    texts = [str(number) for number in range(4)]
    calls = [payer.call(echo[1].name, {"text": text}) for text in texts]
    assert await asyncio.gather(*calls) == texts


async def test_credit_that_is_left_is_used(
    network: Network, signer: LocalSigner, wire: Wire
) -> None:
    async with network.paying_client(signer) as client:
        await client.call(wire.name, {"text": "a"})
        first = await wire.balance()
        assert first >= 0
        charged = first
        for _ in range(3):
            await client.call(wire.name, {"text": "a"})
            charged = await wire.balance()
    # A second each, if the machine is quick, and no payment while there is credit for two minutes.
    assert charged < first or first < 120 * PRICE


async def test_who_pays_nothing_is_told_so_and_the_runner_is_not_asked(
    network: Network, echo: tuple[Echo, Served]
) -> None:
    async with network.client(payments=FreeOnly()) as client:
        with pytest.raises(PaymentRequiredError):
            await client.call(echo[1].name, {"text": "a"})
    assert echo[0].calls == 0


async def test_events_are_paid_for(network: Network, payer: Client) -> None:
    async with network.serve(Letters(), capability_price=PRICE) as runner:
        items = payer.call_events(runner.name, {"text": "abc"})
        assert [item async for item in items] == ["a", "b", "c"]


async def test_a_stream_is_paid_for(network: Network, payer: Client, until: Until) -> None:
    quiet = Quiet()
    async with network.serve(quiet, capability_price=PRICE) as runner:
        job = await payer.start_stream(runner.name, video_in=False, video_out=False)
        async with job:
            # A gateway answers before the stream has begun.
            await until(lambda: quiet.runs)
            await job.update({"n": 1})
            await until(lambda: {"n": 1} in quiet.updates)


async def test_the_orchestrator_says_what_is_missing(wire: Wire, echo: tuple[Echo, Served]) -> None:
    batch = "/process/request/predict"
    assert await wire.post(batch, {}) == (400, NO_BALANCE + "\n", None)
    assert await wire.post("/ai/stream/start", {}) == (402, NO_BALANCE + "\n", None)
    for act in ("stop", "update", "payment"):
        status, text, _ = await wire.post(f"/ai/stream/{act}", {})
        assert (status, text.endswith(f"request not valid err={NO_BALANCE}\n")) == (400, True)
    assert echo[0].calls == 0


async def test_a_payment_counts_once(wire: Wire) -> None:
    payment = await wire.payment()
    status, _, balance = await wire.post("/ai/stream/payment", payment)
    assert status == 200
    assert balance is not None
    assert balance >= 130 * PRICE
    assert await wire.balance() == balance
    # The same tickets again, and what is no payment at all: no answer, and nothing changes.
    for wrong in (payment, {"Livepeer-Payment": "garbage"}):
        for path in ("/ai/stream/payment", "/process/request/predict", "/ai/stream/start"):
            assert await wire.is_dropped(path, wrong)
    assert await wire.balance() == balance
    status, _, left = await wire.post("/process/request/predict", {})
    assert (status, left) == (200, await wire.balance())
    assert left is not None
    assert (balance - left) % PRICE == 0
    assert PRICE <= balance - left <= 20 * PRICE


async def test_a_payment_of_somebody_else_is_theirs(network: Network, wire: Wire) -> None:
    other = Wire(network, LocalSigner.ephemeral(), wire.name)
    payment = await other.payment()
    assert await wire.post("/process/request/predict", payment) == (400, NO_BALANCE + "\n", None)
    assert (await wire.balance(), await other.balance() > 0) == (0, True)
