"""A network that charges: admission, debits, refusals, and a gateway that pays, over sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from conftest import FakeRunner, MakeNetwork, Network

PRICE = 10
TICKET = 100 * PRICE
PAYMENT = "Livepeer-Payment"


@pytest.fixture
async def paid(make_network: MakeNetwork, runner: FakeRunner) -> AsyncIterator[Network]:
    async with make_network(charge=True) as network:
        await network.register("c1", runner.url, price_per_unit=PRICE, capacity=4)
        yield network


async def refusal(network: Network, path: str, headers: dict[str, str]) -> tuple[int, str]:
    answer = await network.post(network.orchestrator + path, b"{}", headers)
    return answer.status, answer.body


def seconds(answer: Any, paid: int = TICKET) -> int:
    """For how long was charged, of what was paid; every second that was begun counts."""
    charged, rest = divmod(paid - int(answer.headers["Livepeer-Balance"]), PRICE)
    assert rest == 0
    assert 1 <= charged <= 20
    return charged


async def dropped(network: Network, path: str, headers: dict[str, str]) -> bool:
    with pytest.raises((aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)):
        await network.post(network.orchestrator + path, b"{}", headers)
    return True


async def test_a_token_tells_price_and_ticket_parameters(paid: Network) -> None:
    sender = paid.sender()
    first, second = await sender.token(), await sender.token()
    assert first["price"] == {"pricePerUnit": PRICE, "pixelsPerUnit": 1}
    assert "balance" not in first
    assert first["ticket_params"]["seed"] != second["ticket_params"]["seed"]
    assert list(first) == [
        "sender_address",
        "ticket_params",
        "price",
        "service_addr",
        "available_capacity",
        "LastNonce",
    ]


@pytest.mark.parametrize(
    ("given", "price"),
    [
        ({"price_per_unit": 7, "price_scaling": 2}, 3),
        ({"price_per_unit": 1, "price_scaling": 2}, None),
        ({"price_per_unit": 2, "price_scaling": 10**18, "currency": "ETH"}, 2),
    ],
)
async def test_prices_are_whole_wei(paid: Network, given: dict[str, Any], price: int) -> None:
    await paid.register("other", "http://127.0.0.1:1", **given)
    token = await paid.sender("other").token()
    assert token["price"].get("pricePerUnit") == price
    # A free capability's tickets are worth nothing.
    assert ("face_value" in token["ticket_params"]) == (price is not None)


async def test_a_job_is_let_in_with_a_minute_and_charged_by_the_second(
    paid: Network, runner: FakeRunner
) -> None:
    sender, url = paid.sender(), paid.orchestrator + "/process/request/x"
    refused = (400, "Insufficient balance for request\n")
    assert await refusal(paid, "/process/request/x", sender.job()) == refused
    assert runner.seen == []
    answer = await paid.post(url, b"{}", await sender.paid())
    assert answer.status == 200
    left = TICKET - PRICE * seconds(answer)
    assert await sender.balance() == left

    async def unwell(_: web.Request) -> web.Response:
        return web.Response(status=422, text="no")

    runner.replies["/unwell"] = unwell
    answer = await paid.post(paid.orchestrator + "/process/request/unwell", b"{}", sender.job())
    assert answer.status == 422
    assert seconds(answer, left)
    other = paid.sender()
    assert await other.balance() == 0
    assert await refusal(paid, "/process/request/x", other.job()) == refused


async def test_what_the_runner_does_not_answer_is_charged_too(paid: Network) -> None:
    sender = paid.sender()
    await paid.register("c1", "http://127.0.0.1:1", price_per_unit=PRICE)
    url = paid.orchestrator + "/process/request/x"
    answer = await paid.post(url, b"{}", await sender.paid())
    assert answer.status == 500
    assert seconds(answer)
    # The capability is gone and its price is not.
    token = await sender.token()
    assert token["price"]["pricePerUnit"] == PRICE
    assert "available_capacity" not in token


@pytest.mark.parametrize("act", ["/process/request/x", "/ai/stream/start", "/ai/stream/payment"])
async def test_a_payment_that_is_refused_closes_the_connection(paid: Network, act: str) -> None:
    sender = paid.sender()
    good = await sender.payment()
    wrong = [
        "garbage",
        replace(good, price=(PRICE + 1, 1)).header(),
        replace(good, tickets=((1, b"\x1b" * 65),)).header(),
        replace(good, sender=b"\x01" * 20).header(),
    ]
    for header in wrong:
        assert await dropped(paid, act, {**sender.job(), PAYMENT: header})
    assert await sender.balance() == 0
    assert await paid.available() == 4
    payment = {PAYMENT: good.header()}
    answer = await paid.post(
        paid.orchestrator + "/ai/stream/payment", b"", {**sender.job(), **payment}
    )
    assert (answer.status, answer.headers["Livepeer-Balance"]) == (200, str(TICKET))
    # The same tickets again.
    assert await dropped(paid, act, {**sender.job(), **payment})
    assert await sender.balance() == TICKET


async def test_the_branch_with_the_other_signature_answers_a_bad_payment(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(charge=True, signature="v1") as network:
        await network.register("c1", runner.url, price_per_unit=PRICE)
        sender = network.sender(v1=True)
        for act in ("/process/request/x", "/ai/stream/start"):
            told = await refusal(network, act, {**sender.job(), PAYMENT: "garbage"})
            assert told == (400, "Could not parse payment\n")
        answer = await network.post(
            network.orchestrator + "/process/request/x", b"{}", await sender.paid()
        )
        assert answer.status == 200


async def test_tickets_up_to_the_first_bad_one_are_credited(paid: Network) -> None:
    sender = paid.sender()
    payment = await sender.payment(tickets=3)
    (first, second, third) = payment.tickets
    mixed = replace(payment, tickets=(first, (second[0], b"\x1b" * 65), third))
    assert await dropped(paid, "/process/request/x", {**sender.job(), PAYMENT: mixed.header()})
    assert await sender.balance() == TICKET


async def test_a_free_capability_does_not_look_at_payments(
    paid: Network, runner: FakeRunner
) -> None:
    await paid.register("free", runner.url)
    sender = paid.sender("free")
    answer = await paid.post(
        paid.orchestrator + "/process/request/x", b"{}", {**sender.job(), PAYMENT: "garbage"}
    )
    assert (answer.status, answer.headers["Livepeer-Balance"]) == (200, "0")


async def test_stream_requests_want_credit(paid: Network, runner: FakeRunner) -> None:
    sender = paid.sender()
    no = "Insufficient balance for request"
    start = "/ai/stream/start"
    assert await refusal(paid, start, sender.job()) == (402, no + "\n")
    for act, word in (("stop", "stop stream"), ("update", "stop stream")):
        told = await refusal(paid, f"/ai/stream/{act}", sender.job())
        assert told == (400, f"Failed to {word}, request not valid err={no}\n")
    told = await refusal(paid, "/ai/stream/payment", sender.job())
    assert told == (400, f"Failed to process payment, request not valid err={no}\n")
    assert runner.seen == []
    answer = await paid.post(paid.orchestrator + start, b"{}", await sender.paid(id="s1"))
    assert answer.status == 200
    left = TICKET - PRICE * seconds(answer)
    stop = sender.job(request='{"stream_id":"s1"}')
    assert (await paid.post(paid.orchestrator + "/ai/stream/stop", b"", stop)).status == 200
    assert await sender.balance() == left


async def channels(network: Network, stream: str) -> int:
    answer = await network.ask("GET", f"{network.orchestrator}/ai/trickle/{stream}-control/next")
    return answer.status


async def test_a_stream_is_debited_and_ends_at_the_second_time_without_credit(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(charge=True, stream_debit_interval_s=0.2) as network:
        await network.register("c1", runner.url, price_per_unit=PRICE)
        sender = network.sender()
        headers = await sender.paid(id="s1")
        answer = await network.post(network.orchestrator + "/ai/stream/start", b"{}", headers)
        first = TICKET - PRICE * seconds(answer)
        seen: set[int] = set()

        async def ended() -> bool:
            seen.add(await sender.balance())
            return await channels(network, "s1") == 404

        await network.until(ended)
        # 23 s each time; the first below zero is a warning, the second the end.
        debit = 23 * PRICE
        steps = range(first, -2 * debit, -debit)
        assert seen <= set(steps)
        assert await sender.balance() == steps[-1]
        await network.free(1)
        assert runner.paths() == ["/stream/start"]


async def test_a_stream_that_is_stopped_is_not_debited(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(charge=True, stream_debit_interval_s=0.2) as network:
        await network.register("c1", runner.url, price_per_unit=PRICE)
        sender = network.sender()
        payment = (await sender.payment(tickets=5)).header()
        headers = {**sender.job(id="s1"), PAYMENT: payment}
        await network.post(network.orchestrator + "/ai/stream/start", b"{}", headers)
        stop = sender.job(request='{"stream_id":"s1"}')
        assert (
            await network.post(network.orchestrator + "/ai/stream/stop", b"", stop)
        ).status == 200
        left = await sender.balance()
        await asyncio.sleep(0.5)
        assert await sender.balance() == left


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    await response.write(b"data: 1\n\n")
    if request.path == "/short":
        await response.write(b"data: [DONE]\n\n")
        return response
    await asyncio.Event().wait()
    return response


async def read_until(network: Network, headers: dict[str, str], path: str, end: bytes) -> bytes:
    url, seen = network.orchestrator + path, b""
    async with asyncio.timeout(10), network.session.post(url, headers=headers) as answer:
        assert answer.headers["Livepeer-Payment-Balance"] == str(TICKET)
        assert "Livepeer-Balance" not in answer.headers
        async for chunk in answer.content.iter_any():
            seen += chunk
            if end and end in seen:
                break
    return seen


async def test_an_event_stream_tells_the_balance_before_its_end(
    paid: Network, runner: FakeRunner
) -> None:
    runner.replies["/short"] = events
    sender = paid.sender()
    headers = await sender.paid()
    seen = await read_until(paid, headers, "/process/request/short", b"[DONE]\n")
    told = b'data: 1\n\ndata: {"balance": 1000.000}\n\n\ndata: [DONE]'
    assert seen.rstrip(b"\n") == told
    assert await sender.balance() == TICKET


async def test_an_event_stream_ends_without_credit(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    settings = {"events_debit_interval_s": 0.2, "events_debit_s": 30}
    async with make_network(charge=True, **settings) as network:
        runner.replies["/long"] = events
        await network.register("c1", runner.url, price_per_unit=PRICE)
        sender = network.sender()
        headers = await sender.paid(timeout_seconds=60)
        seen = await read_until(network, headers, "/process/request/long", b"")
        assert seen == (
            b'data: 1\n\nevent: insufficient balance\ndata: {"balance": 0}\n\ndata: [DONE]\n\n'
        )
        assert await sender.balance() == TICKET - 4 * 30 * PRICE
        await network.free(1)


async def test_the_gateway_pays_for_jobs(paid: Network) -> None:
    url = paid.gateway + "/process/request/x"
    had = 0
    # A ticket for 100 s covers 70 s; the second is bought with less than 120 s left, and no third.
    for bought in (1, 1, 0):
        answer = await paid.post(url, b"{}", paid.header(timeout_seconds=70))
        assert answer.status == 200
        had += bought * TICKET
        had -= PRICE * seconds(answer, had)


async def test_the_gateway_keeps_a_stream_paid(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    settings = {"stream_payment_interval_s": 0.1, "stream_debit_interval_s": 0.2}
    async with make_network(charge=True, **settings) as network:
        await network.register("c1", runner.url, price_per_unit=PRICE)
        start = network.gateway + "/process/stream/start"
        answer = await network.post(start, b"{}", network.header())
        stream = json.loads(answer.body)["stream_id"]
        await runner.saw("/stream/start")
        # Another began after it, with as much credit, and nobody pays for that one.
        headers = await network.sender().paid(id="unpaid")
        await network.post(network.orchestrator + "/ai/stream/start", b"{}", headers)

        async def unpaid_ended() -> bool:
            return await channels(network, "unpaid") == 404

        await network.until(unpaid_ended)
        assert await channels(network, stream) == 200
        stop = f"{network.gateway}/process/stream/{stream}/stop"
        assert (await network.post(stop)).status == 200
        await runner.saw("/stream/stop", 2)
