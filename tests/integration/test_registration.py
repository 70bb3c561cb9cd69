"""A runner makes itself known, keeps strangers out, and takes itself back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from livepeer.client import CapabilityUnavailable, RunnerError
from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner.errors import RegistrationError
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from conftest import Network
    from livepeer.client import Client


class Greeter(Pipeline):
    def predict(self, name: str) -> str:
        return f"Hello, {name}!"


class Counter(Pipeline):
    def predict(self, name: str) -> int:
        return len(name)


class Quiet(LivePipeline):
    pass


@pytest.mark.signed
async def test_a_runner_is_there_from_its_registration_to_its_end(
    network: Network, client: Client
) -> None:
    async with network.serve(Greeter()) as runner:
        assert await client.call(runner.name, {"name": "Ada"}) == "Hello, Ada!"
    with pytest.raises(CapabilityUnavailable):
        await client.call(runner.name, {"name": "Ada"})


async def test_a_live_runner_is_taken_back_too(network: Network, direct: Client) -> None:
    async with network.serve(Quiet()) as runner:
        await (await direct.start_stream(runner.name)).stop()
    with pytest.raises(CapabilityUnavailable):
        await direct.start_stream(runner.name)


async def test_a_wrong_secret_is_refused_at_once(network: Network, direct: Client) -> None:
    options: dict[str, Any] = {
        "orch_url": network.orchestrator,
        "orch_token": network.secret + "x",
        "orch_tls_verify": not network.insecure,
        "capability_name": "never-registered",
    }
    async with serve(Greeter(), **options) as server:
        with pytest.raises(RegistrationError, match="ORCH_TOKEN") as caught:
            await server.wait_registered()
        assert (caught.value.status, caught.value.retryable) == (400, False)
        assert network.secret not in str(caught.value)
        with pytest.raises(CapabilityUnavailable):
            await direct.call("never-registered", {"name": "Ada"})


async def test_an_unknown_capability(client: Client) -> None:
    with pytest.raises(CapabilityUnavailable) as caught:
        await client.call("nobody-has-this", {})
    assert caught.value.retryable


async def test_two_capabilities_do_not_meet(network: Network, client: Client) -> None:
    async with network.serve(Greeter()) as greeter, network.serve(Counter()) as counter:
        for name in ("Ada", "Grace"):
            assert await client.call(greeter.name, {"name": name}) == f"Hello, {name}!"
            assert await client.call(counter.name, {"name": name}) == len(name)


@pytest.mark.parametrize("pipeline", [Greeter, Quiet])
async def test_nobody_gets_past_the_orchestrator(
    network: Network, direct: Client, pipeline: type[Pipeline | LivePipeline]
) -> None:
    async with network.serve(pipeline()) as runner, network.http() as http:
        for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": network.secret}):
            for route in ("predict", "stream/start", "stream/stop"):
                url = f"{runner.url}/{route}"
                async with http.post(url, json={"name": "Eve"}, headers=headers) as answer:
                    assert answer.status == 401
        async with http.get(runner.url + "/health") as answer:
            assert answer.status == 200
        # The strangers' 401 did not cost the capability its place.
        if pipeline is Greeter:
            assert await direct.call(runner.name, {"name": "Ada"}) == "Hello, Ada!"
        else:
            await (await direct.start_stream(runner.name)).stop()


async def test_a_route_that_the_runner_has_not(network: Network, client: Client) -> None:
    async with network.serve(Greeter()) as runner:
        with pytest.raises(RunnerError) as caught:
            await client.call(runner.name, {"name": "Ada"}, route="no/such/route")
        assert caught.value.status == 404
        assert await client.call(runner.name, {"name": "Ada"}) == "Hello, Ada!"
