"""Where a client's orchestrators come from, by its options."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from livepeer.client import Client, Offer, in_order
from livepeer.client.testing import (
    FakeCapability,
    fake_discovery,
    fake_orchestrator,
    fake_signer,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from conftest import Runner
    from livepeer.client.options import ClientOptions
    from livepeer.client.testing import FakeOrchestrator

SECRET = {"Authorization": "Bearer s3cret"}


@pytest.fixture
async def node(runner: Runner) -> AsyncIterator[FakeOrchestrator]:
    async with fake_orchestrator({"echo": FakeCapability(runner)}, flavour="byoc") as node:
        yield node


async def test_a_discovery_url_and_a_policy_of_ones_own(node: FakeOrchestrator) -> None:
    sorted_: list[str] = []

    def policy(offers: Sequence[Offer]) -> Sequence[Offer]:
        sorted_.extend(offer.url for offer in offers)
        return in_order(offers)

    async with (
        fake_discovery([{"address": node.url}], headers=SECRET) as discovery,
        Client(discovery=discovery.url, discovery_headers=SECRET, selection=policy) as client,
    ):
        assert await client.call("echo", 1) == {"path": "/predict", "got": "1"}
    assert sorted_ == [node.url]
    assert not any("authorization" in seen.headers for seen in node.seen)


async def test_a_policy_of_ones_own_chooses_for_calls_and_for_streams(
    node: FakeOrchestrator, runner: Runner
) -> None:
    def last_first(offers: Sequence[Offer]) -> Sequence[Offer]:
        return offers[::-1]

    async with fake_orchestrator({"echo": FakeCapability(runner)}, flavour="byoc") as last:
        options: ClientOptions = {
            "orchestrators": [node.url, last.url],
            "selection": last_first,
        }
        async with Client(**options) as client, client.open_call("echo", 1) as answer:
            assert answer.orchestrator_url == last.url
        # Another client, which does not know yet who took a job.
        async with (
            Client(**options) as client,
            await client.start_stream("echo", video_in=False, video_out=False) as job,
        ):
            assert (node.streams, last.streams) == (set(), {job.stream_id})


async def test_a_discovery_url_gets_no_secret_of_the_signer(node: FakeOrchestrator) -> None:
    async with (
        fake_signer(flavour="byoc", bearer="s3cret") as signer,
        fake_discovery([{"address": node.url}]) as discovery,
    ):
        fields = {"discovery": discovery.url, "signer": signer.url, "signer_headers": SECRET}
        token = base64.b64encode(json.dumps(fields).encode()).decode()
        async with Client(access_token=token) as client:
            assert await client.call("echo", 1)
        async with Client(
            discovery=discovery.url, signer=signer.url, signer_headers=SECRET
        ) as client:
            assert await client.call("echo", 1)
    seen = [*discovery.seen, *node.seen]
    assert len(discovery.seen) == 2
    assert not any("s3cret" in str(dict(request.headers)) for request in seen)
    assert all("authorization" in request.headers for request in signer.seen)


async def test_a_signer_lists_orchestrators_as_well(node: FakeOrchestrator) -> None:
    async with fake_signer(
        flavour="byoc", bearer="s3cret", discovery=[{"address": node.url}]
    ) as signer:
        async with Client(signer=signer.url, signer_headers=SECRET) as client:
            assert await client.call("echo", 1) == {"path": "/predict", "got": "1"}
        assert signer.paths()[0] == "/discover-orchestrators"


async def test_what_an_access_token_names_comes_first(node: FakeOrchestrator) -> None:
    async with fake_signer(flavour="byoc", bearer="s3cret") as signer:
        fields = {"orchestrators": [node.url], "signer": signer.url, "signer_headers": SECRET}
        token = base64.b64encode(json.dumps(fields).encode()).decode()
        async with Client(orchestrators=["http://127.0.0.1:9"], access_token=token) as client:
            assert await client.call("echo", 1) == {"path": "/predict", "got": "1"}
            assert "s3cret" not in repr(client)
        assert "/sign-byoc-job" in signer.paths()
