"""Lists of orchestrators, from a discovery URL."""

from __future__ import annotations

import asyncio
import logging
import math
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import (
    Candidate,
    ConfigError,
    DiscoveryError,
    DiscoveryURL,
    ListedRunner,
    ListSource,
    RemoteSigner,
    SignerSource,
    find_runners,
)
from livepeer.client.testing import fake_discovery, fake_orchestrator, fake_signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from livepeer.client import OrchestratorSource
    from livepeer.client.testing import FakeDiscovery

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"


@pytest.fixture
async def node() -> AsyncIterator[FakeDiscovery]:
    async with fake_discovery([{"address": A + "/"}, {"address": B}]) as node:
        yield node


async def urls(source: OrchestratorSource, capability: str | None = None) -> list[str]:
    return [candidate.url for candidate in await source.candidates(capability)]


async def test_models_are_asked_for_and_byoc_is_not(node: FakeDiscovery) -> None:
    source = DiscoveryURL(node.url)
    assert await urls(source, "text-to-image/black-forest-labs/FLUX.1-dev") == [A, B]
    assert await urls(source, "hello") == [A, B]
    # No list has byoc capabilities, and one that is asked for them is empty.
    assert await urls(source, "byoc/hello") == [A, B]
    await source.discover(["llm/a,llm/b"])
    assert [request.path for request in node.seen] == [
        "/discover?caps=text-to-image/black-forest-labs/FLUX.1-dev",
        "/discover",
        "/discover?caps=llm/a&caps=llm/b",
    ]


async def test_what_the_server_does_not_filter_is_filtered_here(node: FakeDiscovery) -> None:
    node.entries = [
        {"address": A, "capabilities": ["llm/b", "llm/A"]},
        {"address": B, "capabilities": ["llm/a"], "score": 2},
        {"address": "http://127.0.0.1:3"},
    ]
    source = DiscoveryURL(node.url)
    assert await urls(source, "llm/a") == [B, "http://127.0.0.1:3"]
    (found, _) = await source.discover(["llm/a"])
    assert (found.score, found.capabilities) == (2.0, ("llm/a",))


async def test_runners_are_filtered_here(node: FakeDiscovery) -> None:
    gpu = {"id": "0", "name": "NVIDIA H100 80GB HBM3", "vram_mb": 81559}
    price: dict[str, Any] = {"price": 7, "currency": "wei", "unit": "seconds"}
    fits = {
        "url": f"{A}/apps/1/session",
        "app": "a/b",
        "mode": "persistent",
        "gpu": gpu,
        "capacity_available": -1,
        "price_info": price,
    }
    others = [
        {"url": f"{A}/apps/2/app", "app": "a/c", "mode": "single_shot", "gpu": gpu},
        {"url": f"{A}/apps/3/session", "app": "a/b", "mode": "persistent"},
        # A serverless one, which says no mode.
        {"url": f"{A}/apps/4/scope", "app": "a/b"},
        {"app": "a/b", "runner_id": "5"},
        {"url": 7},
    ]
    node.entries = [{"address": A, "runners": [fits, *others]}, {"address": B}]
    listed = await DiscoveryURL(node.url).candidates(None)
    assert find_runners(listed, app="a/b", gpu="h100") == [
        ListedRunner(
            orchestrator=A,
            url=f"{A}/apps/1/session",
            app="a/b",
            mode="persistent",
            gpu="NVIDIA H100 80GB HBM3",
            free_slots=-1,
            price=price,
        )
    ]
    everything = find_runners(listed)
    assert [runner.url[-9:] for runner in everything] == [
        "1/session",
        "pps/2/app",
        "3/session",
        "s/4/scope",
    ]
    assert [runner.can_reserve for runner in everything] == [True, False, True, False]
    assert everything[1].mode == "single-shot"


async def test_no_list_and_an_empty_list(node: FakeDiscovery) -> None:
    source = DiscoveryURL(node.url, refresh_s=0)
    node.faults.answer(503, "Service Unavailable Error", json_body=True)
    with pytest.raises(DiscoveryError, match="no list yet") as caught:
        await urls(source)
    assert (caught.value.status, caught.value.retryable) == (503, True)
    node.entries = []
    assert await urls(source) == []


async def test_junk_is_left_out(node: FakeDiscovery) -> None:
    runner = {"url": "http://127.0.0.1:7/apps/r/app", "app": "a/b"}
    node.entries = [
        None,
        7,
        A,
        [],
        {},
        {"address": None},
        {"address": "ftp://127.0.0.1"},
        {"address": "http://"},
        {"address": "http://[::1"},
        {"address": A, "runners": [runner, 7], "capabilities": [7, "llm/a"], "extra": {}},
        {"address": "127.0.0.1:2", "runners": None, "capabilities": "x", "score": True},
        {"address": "127.0.0.1:3", "score": 10**400},
        {"address": "127.0.0.1:4", "score": math.nan},
        # The first that is listed counts, and its place.
        {"address": A + "/", "score": "high"},
    ]
    found = await DiscoveryURL(node.url).candidates(None)
    assert found == [
        Candidate(url=A, capabilities=("llm/a",), runners=(runner,)),
        *(Candidate(url=f"https://127.0.0.1:{n}") for n in (2, 3, 4)),
    ]


@pytest.mark.parametrize(
    ("status", "retryable"), [(301, False), (401, False), (404, False), (429, True), (500, True)]
)
async def test_other_answers(node: FakeDiscovery, status: int, retryable: bool) -> None:
    node.faults.answer(status, "top-secret")
    with pytest.raises(DiscoveryError, match=str(status)) as caught:
        await urls(DiscoveryURL(node.url + "?key=top-secret"))
    assert caught.value.retryable is retryable
    assert "secret" not in str(caught.value)


async def test_no_array_and_nobody_there(node: FakeDiscovery) -> None:
    node.entries = {"address": A}
    with pytest.raises(DiscoveryError, match="array"):
        await urls(DiscoveryURL(node.url))
    with pytest.raises(DiscoveryError, match="refused") as caught:
        await urls(DiscoveryURL("http://127.0.0.1:9/"))
    assert caught.value.retryable
    assert str(caught.value).count("http://127.0.0.1:9/") == 1
    assert caught.value.url == "http://127.0.0.1:9/"
    node.faults.delay(20)
    with pytest.raises(DiscoveryError, match=r"0\.1 s"):
        await urls(DiscoveryURL(node.url, timeout_s=0.1))


async def test_its_headers_and_nobody_elses() -> None:
    async with fake_discovery([{"address": A}], headers={"Authorization": "Bearer x"}) as node:
        assert await urls(DiscoveryURL(node.url, headers={"Authorization": "Bearer x"})) == [A]
        with pytest.raises(DiscoveryError, match="401"):
            await urls(DiscoveryURL(node.url))
        agent = f"livepeer-client/{version('livepeer-client')}"
        assert {request.headers["user-agent"] for request in node.seen} == {agent}


async def test_many_ask_and_one_request_is_made(node: FakeDiscovery) -> None:
    source = DiscoveryURL(node.url)
    assert await asyncio.gather(*[urls(source) for _ in range(50)]) == [[A, B]] * 50
    assert len(node.seen) == 1


async def test_a_failure_is_not_kept_and_an_old_list_is(
    node: FakeDiscovery, caplog: pytest.LogCaptureFixture
) -> None:
    source = DiscoveryURL(node.url, refresh_s=0)
    node.faults.answer(500)
    with pytest.raises(DiscoveryError):
        await urls(source)
    assert await urls(source) == [A, B]
    node.faults.answer(500)
    with caplog.at_level(logging.WARNING):
        assert await urls(source) == [A, B]
    assert "not renewed" in caplog.text


async def test_a_remote_signer_lists_orchestrators() -> None:
    entries = [{"address": A, "capabilities": ["llm/a"]}, {"address": B, "capabilities": ["llm/b"]}]
    async with (
        fake_signer(bearer="x", discovery=entries) as node,
        RemoteSigner(node.url, headers={"Authorization": "Bearer x"}) as signer,
    ):
        source = SignerSource(signer)
        assert await urls(source) == [A, B]
        assert await urls(source, "llm/b") == [B]
        assert await urls(source, "llm/c") == []
        assert await asyncio.gather(*[urls(source, "hello") for _ in range(9)]) == [[A, B]] * 9
        paths = [request.path for request in node.seen]
    prefix = "/discover-orchestrators"
    assert paths == [prefix, f"{prefix}?caps=llm/b", f"{prefix}?caps=llm/c"]
    async with fake_signer() as node, RemoteSigner(node.url) as signer:
        with pytest.raises(DiscoveryError, match="without discovery"):
            await urls(SignerSource(signer))


async def test_a_discovery_url_is_https_and_verified() -> None:
    # It carries bearer tokens: no trust on first use.
    async with fake_orchestrator({}, tls=True) as node:
        for url in (node.url, node.url.removeprefix("https://")):
            with pytest.raises(DiscoveryError, match="certificate") as caught:
                await urls(DiscoveryURL(url + "/discovery"))
            assert caught.value.url.startswith("https://127.0.0.1:")
    assert node.seen == []


async def test_wrong_arguments() -> None:
    for source in ("", "ftp://x", "http://"):
        with pytest.raises(ConfigError, match="discovery"):
            DiscoveryURL(source)
    with pytest.raises(ConfigError, match="refresh_s"):
        DiscoveryURL(A, refresh_s=-1)
    with pytest.raises(ConfigError, match="orchestrators"):
        ListSource([])
    with pytest.raises(ConfigError, match="orchestrators"):
        ListSource(["127.0.0.1:1"])
    listed = await ListSource([A, B + "/", A]).candidates("hello")
    assert [candidate.url for candidate in listed] == [A, B]
