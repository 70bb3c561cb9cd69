"""Two orchestrators of which one has nothing to give or wants too much: the other answers."""

from __future__ import annotations

import secrets
from collections.abc import Iterator  # noqa: TC003 - read at run time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import pytest

from livepeer.client import (
    CapabilityUnavailable,
    Client,
    ClientError,
    NodeUnreachable,
    NoOrchestrator,
    PriceTooHigh,
    TicketPayments,
)
from livepeer.runner import LivePipeline, Pipeline, endpoint

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from conftest import Network
    from livepeer.client import BYOCJob

pytestmark = [pytest.mark.paid, pytest.mark.second]

NOBODY = "http://127.0.0.1:9"
MAX_PRICE = 100

How = Literal["refuses", "overcharges", "is dead"]


class Words(Pipeline):
    def predict(self, text: str) -> str:
        return text

    @endpoint
    def letters(self, text: str) -> Iterator[str]:
        yield from text


class Quiet(LivePipeline):
    pass


@asynccontextmanager
async def served(network: Network, at: str, name: str, price: int) -> AsyncGenerator[None]:
    """Both pipelines at an orchestrator: NAME and NAME-live."""
    options: dict[str, Any] = {"orch_url": at, "capability_price": price}
    async with (
        network.serve(Words(), name=name, **options),
        network.serve(Quiet(), name=f"{name}-live", **options),
    ):
        yield


async def start(client: Client, name: str) -> BYOCJob:
    return await client.start_stream(f"{name}-live", video_in=False, video_out=False)


async def letters(client: Client, name: str) -> list[object]:
    return [item async for item in client.call_events(name, {"text": "ab"}, route="letters")]


@pytest.mark.parametrize("price", [0, 10], ids=["free", "paid"])
@pytest.mark.parametrize("how", ["refuses", "overcharges", "is dead"])
async def test_the_other_one_answers_and_then_all_reasons_are_told(
    network: Network, how: How, price: int
) -> None:
    name, signer = f"words-{secrets.token_hex(4)}", network.signer()
    first = NOBODY if how == "is dead" else network.orchestrator
    client = Client(
        orchestrators=[first, network.second],
        verify_tls=not network.insecure,
        signer=signer,
        payments=TicketPayments(signer),
        max_price_per_s=MAX_PRICE,
    )
    async with client, AsyncExitStack() as stack:
        if how == "overcharges":
            await stack.enter_async_context(
                served(network, network.orchestrator, name, MAX_PRICE + 1)
            )
        async with served(network, network.second, name, price):
            async with client.open_call(name, {"text": "a"}) as answer:
                assert (await answer.json(), answer.orchestrator_url) == ("a", network.second)
            assert await letters(client, name) == ["a", "b"]
            async with await start(client, name) as job:
                assert job.session.node_url == network.second
        if how == "overcharges":
            assert (await network.token(signer, name)).balance == 0
        for attempt in (client.call(name, {"text": "a"}), letters(client, name)):
            with pytest.raises(ClientError) as failed:
                await attempt
            check(failed.value, how, first, network.second)
        with pytest.raises(ClientError) as failed:
            await start(client, name)
        check(failed.value, how, first, network.second)


def check(error: ClientError, how: How, *urls: str) -> None:
    """One error, which says of each why."""
    assert all(url in str(error) for url in urls)
    if how == "refuses":
        assert isinstance(error, CapabilityUnavailable)
        return
    why = {"overcharges": PriceTooHigh, "is dead": NodeUnreachable}[how]
    assert isinstance(error, NoOrchestrator)
    assert sorted(type(cause).__name__ for cause in error.causes) == sorted(
        [why.__name__, "CapabilityUnavailable"]
    )
