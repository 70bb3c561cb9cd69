"""Whom a call asks: in what order, how many at a time, and what it says of those that failed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from livepeer.client import (
    Candidate,
    CapabilityUnavailable,
    ClientError,
    ConfigError,
    DiscoveryURL,
    Finder,
    InvalidAnswer,
    JobTimeout,
    JobToken,
    ListSource,
    LocalSigner,
    NodeUnreachable,
    Offer,
    SignerUnavailable,
    TrustStore,
    balanced,
    by_latency,
    by_price,
    by_score,
    in_order,
)
from livepeer.client._net.http import HTTP
from livepeer.client._nodes.terms import Terms
from livepeer.client.testing import fake_discovery, fake_orchestrator

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from livepeer.client import SelectionPolicy
    from livepeer.client.testing import FakeCapability


def offer(name: str, price: int, latency: float, score: float = 1.0) -> Offer:
    return Offer(
        url=name, token=JobToken(url=name, price_per_s=price), latency_s=latency, score=score
    )


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (in_order, "abcd"),
        (by_price, "dbca"),
        (by_latency, "dacb"),
        (by_score, "cdab"),
        (balanced, "dcba"),
    ],
)
def test_policies(policy: SelectionPolicy, order: str) -> None:
    offers = [
        offer("a", 30, 0.2),
        offer("b", 10, 0.4),
        offer("c", 20, 0.3, 2.0),
        offer("d", 10, 0.1, 1.5),
    ]
    assert "".join(found.url for found in policy(offers)) == order


def test_what_is_equal_has_no_say() -> None:
    offers = [offer("a", 5, 0.1), offer("b", 0, 0.4), offer("c", 5, 0.2)]
    assert [found.url for found in balanced(offers)] == ["a", "b", "c"]
    assert balanced([]) == []


@dataclass
class Network:
    """Orchestrators that are in one list; each tells its terms when it is allowed to."""

    prices: dict[str, int | Exception | None]
    refreshed: int = 0
    asked: list[str] = field(default_factory=list[str])
    busy: int = 0
    most: int = 0
    held: set[str] = field(default_factory=set[str])
    all_held: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def candidates(self, capability: str | None) -> Sequence[Candidate]:
        return [Candidate(url=url) for url in self.prices]

    async def probe(self, url: str, capability: str) -> JobToken:
        self.asked.append(url)
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            if url in self.held:
                if self.busy == len(self.held):
                    self.all_held.set()
                await self.go_on.wait()
            await asyncio.sleep(0)
        finally:
            self.busy -= 1
        price = self.prices[url]
        if isinstance(price, Exception):
            raise price
        slots = 0 if price is None else 1
        return JobToken(url=url, price_per_s=price or 0, available_capacity=slots)

    async def found(
        self,
        finder: Finder,
        limit: int = 100,
        *,
        exclude: Collection[str] = (),
        rejections: list[ClientError] | None = None,
    ) -> str:
        reasons: list[ClientError] = [] if rejections is None else rejections
        urls: list[str] = []
        offers = finder.offers("hello", self.probe, exclude=exclude, rejections=reasons)
        async with aclosing(offers):
            async for one in offers:
                urls.append(one.url)
                if len(urls) == limit:
                    break
        return "".join(urls)


async def test_in_order_asks_no_one_that_is_not_needed() -> None:
    network = Network({"a": None, "b": 5, "c": 1})
    rejections: list[ClientError] = []
    finder = Finder(network, policy=in_order)
    assert await network.found(finder, 1, rejections=rejections) == "b"
    assert network.asked == ["a", "b"]
    (reason,) = rejections
    assert isinstance(reason, CapabilityUnavailable)
    assert await network.found(finder, exclude={"b"}) == "c"


async def test_who_cannot_be_reached_is_asked_last_for_a_while() -> None:
    network = Network({"a": NodeUnreachable("gone"), "b": 1, "c": 2})
    finder = Finder(network, policy=in_order)
    assert await network.found(finder, 1) == "b"
    network.asked.clear()
    assert await network.found(finder, 1) == "b"
    assert network.asked == ["b"]
    # It is not forgotten, and its reason is told when there is no other.
    network.prices |= {"b": None, "c": None}
    rejections: list[ClientError] = []
    assert await network.found(finder, rejections=rejections) == ""
    assert [type(reason) for reason in rejections][-1] is NodeUnreachable
    network.prices["a"] = 3
    assert await network.found(Finder(network, policy=in_order, avoid_s=0), 1) == "a"


async def test_a_callers_list_is_taken_in_order_and_any_other_is_balanced() -> None:
    network = Network({"http://b": 5, "http://a": 1})
    assert await network.found(Finder(ListSource(list(network.prices))), 1) == "http://b"
    assert network.asked == ["http://b"]
    assert await network.found(Finder(network), 1) == "http://a"


async def test_the_cheapest_first_and_a_few_at_a_time() -> None:
    network = Network({name: 20 - place for place, name in enumerate("abcdefghijkl")})
    finder = Finder(network, policy=by_price, parallel=3)
    assert await network.found(finder) == "lkjihgfedcba"
    assert network.most == 3
    assert sorted(network.asked) == sorted(network.prices)


async def test_every_reason_is_kept_and_each_is_asked_once() -> None:
    gone = NodeUnreachable("gone", url="a")
    network = Network({"a": gone, "b": None, "c": InvalidAnswer("junk"), "d": 1, "e": 2})
    network.held.add("e")
    rejections: list[ClientError] = []
    finder = Finder(network, policy=by_price, probe_timeout_s=0.1)
    assert await network.found(finder, rejections=rejections) == "d"
    kinds = {NodeUnreachable, CapabilityUnavailable, InvalidAnswer, JobTimeout}
    assert {type(reason) for reason in rejections} == kinds
    assert len(rejections) == 4
    assert sorted(network.asked) == list("abcde")


async def test_what_is_no_nodes_fault_ends_the_search() -> None:
    network = Network(dict.fromkeys("abc", SignerUnavailable("down")))
    for policy in (in_order, by_price):
        with pytest.raises(SignerUnavailable, match="down"):
            await network.found(Finder(network, policy=policy))


async def test_a_search_waits_no_longer_than_is_worth_it() -> None:
    network = Network({"a": 3, "slow": 1, "b": 2})
    network.held.add("slow")
    finder = Finder(network, policy=by_price, search_s=0.05, probe_timeout_s=20)
    rejections: list[ClientError] = []
    assert await network.found(finder, 2, rejections=rejections) == "ba"
    assert network.busy == 0
    # The slow one is asked again when neither of them will do.
    network.go_on.set()
    assert await network.found(Finder(network, policy=by_price), rejections=rejections) == "slowba"
    network.go_on.clear()
    asyncio.get_running_loop().call_later(0.3, network.go_on.set)
    assert await network.found(finder, rejections=rejections) == "baslow"
    assert rejections == []


async def test_an_order_is_used_again_for_a_while() -> None:
    network = Network({"a": 2, "b": 1, "c": None})
    finder = Finder(network, policy=by_price)
    assert await network.found(finder, 1) == "b"
    network.asked.clear()
    assert await network.found(finder, 1) == "b"
    assert network.asked == ["b"]
    # Those that it found do not do: the rest are asked anew.
    network.prices |= {"a": None, "b": None, "c": 7}
    rejections: list[ClientError] = []
    assert await network.found(finder, rejections=rejections) == "c"
    assert len(rejections) == 2
    network.asked.clear()
    assert await network.found(Finder(network, remember_s=0), 1) == "c"
    assert sorted(network.asked) == ["a", "b", "c"]


async def test_calls_at_the_same_time_search_once() -> None:
    network = Network({"a": 2, "b": 1})
    network.held |= {"a", "b"}
    finder = Finder(network, policy=by_price)
    calls = [asyncio.create_task(network.found(finder, 1)) for _ in range(100)]
    await asyncio.wait_for(network.all_held.wait(), 20)
    network.go_on.set()
    assert await asyncio.gather(*calls) == ["b"] * 100
    # The search asked both, and every other call its best for its own terms.
    assert (network.asked.count("a"), network.asked.count("b")) == (1, 100)


async def test_a_failed_search_is_shared_by_those_who_waited_and_by_no_other() -> None:
    network = Network({"a": NodeUnreachable("gone"), "b": None})
    network.held |= {"a", "b"}
    finder = Finder(network)
    reasons: list[list[ClientError]] = [[] for _ in range(20)]
    calls = [asyncio.create_task(network.found(finder, 1, rejections=r)) for r in reasons]
    await asyncio.wait_for(network.all_held.wait(), 20)
    network.go_on.set()
    assert await asyncio.gather(*calls) == [""] * 20
    assert sorted(network.asked) == ["a", "b"]
    assert [len(r) for r in reasons] == [2] * 20
    network.prices["a"] = 1
    assert await network.found(finder) == "a"


async def test_a_caller_who_gives_up_leaves_the_search_to_the_next() -> None:
    network = Network({"a": 1})
    network.held.add("a")
    finder = Finder(network, policy=by_price)
    first = asyncio.create_task(network.found(finder))
    second = asyncio.create_task(network.found(finder))
    await asyncio.wait_for(network.all_held.wait(), 20)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    network.go_on.set()
    assert await second == "a"


async def test_a_policy_may_leave_some_out() -> None:
    network = Network({"a": 1, "b": 9})
    rejections: list[ClientError] = []
    finder = Finder(network, policy=lambda offers: [o for o in offers if o.token.price_per_s < 5])
    assert await network.found(finder, rejections=rejections) == "a"
    assert "policy" in str(rejections[0])


async def test_no_more_than_so_many_are_asked() -> None:
    network = Network(dict.fromkeys("abcdef"))
    for policy in (in_order, by_price):
        network.asked.clear()
        assert await network.found(Finder(network, policy=policy, max_candidates=4)) == ""
        assert sorted(network.asked) == list("abcd")


@pytest.mark.parametrize("name", ["parallel", "max_candidates", "probe_timeout_s", "search_s"])
def test_wrong_numbers(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Finder(ListSource(["http://a"]), **{name: 0})  # type: ignore[arg-type]  # by its name


async def test_two_of_seven_live(
    capabilities: dict[str, FakeCapability], signer: LocalSigner
) -> None:
    dead = [f"http://127.0.0.1:{port}" for port in (1, 2, 3, 4, 5)]
    async with (
        fake_orchestrator(capabilities, tls=True) as dear,
        fake_orchestrator(capabilities) as cheap,
        HTTP(trust=TrustStore(None)) as http,
    ):
        addresses = [*dead[:3], dear.url, *dead[3:], cheap.url]
        async with fake_discovery([{"address": url} for url in addresses]) as listed:
            rejections: list[ClientError] = []

            async def probe(url: str, capability: str) -> JobToken:
                return await Terms(http, url, signer, ttl_s=0).fetch(capability)

            offers = Finder(DiscoveryURL(listed.url)).offers("echo", probe, rejections=rejections)
            async with aclosing(offers):
                found = [one.url async for one in offers]
    assert sorted(found) == sorted([dear.url, cheap.url])
    assert sorted(reason.url for reason in rejections) == [f"{url}/process/token" for url in dead]
    assert all(isinstance(reason, NodeUnreachable) for reason in rejections)
