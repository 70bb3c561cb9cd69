"""The network as a whole: where it listens, how it ends, and more than one orchestrator."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from livepeer.runner._local import errors
from livepeer.runner._local.gateway import make_gateway
from livepeer.runner._local.keys import NoKey
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner._local.settings import LocalSettings
from livepeer.runner._local.status import DataRing, FellBehind, Statuses
from livepeer.trickle import TrickleSubscriber
from livepeer.trickle.testing import serve

if TYPE_CHECKING:
    from conftest import FakeRunner, MakeNetwork, Network


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url) as response:
        return response.status


async def test_both_listen_on_free_loopback_ports_and_close() -> None:
    async with LocalNetwork() as network:
        urls = [network.orchestrator_url, network.gateway_url]
        assert all(url.startswith("http://127.0.0.1:") for url in urls)
        assert [await get(url) for url in urls] == [404, 404]
    for url in urls:
        with pytest.raises(aiohttp.ClientConnectorError):
            await get(url)


async def test_without_a_secret_no_header_is_asked_for() -> None:
    async with LocalNetwork() as network, aiohttp.ClientSession() as session:
        url = network.orchestrator_url + "/capability/register"
        async with session.post(url, data=b"{}") as response:
            assert response.status == 200
        async with session.post(url, data=b"{}", headers={"Authorization": "x"}) as response:
            assert response.status == 400


@pytest.mark.parametrize("which", ["orchestrator_port", "gateway_port"])
async def test_a_port_in_use_is_named(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(errors.PortInUse, match=f"port {port} on 127.0.0.1 is in use") as caught:
            async with LocalNetwork(**{which: port}):
                pass
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
        assert isinstance(caught.value, OSError)


async def test_a_fixed_port_can_be_used_again_at_once() -> None:
    async with LocalNetwork() as network:
        port = int(network.orchestrator_url.rpartition(":")[2])
        await get(network.orchestrator_url)
    async with LocalNetwork(orchestrator_port=port) as network:
        assert await get(network.orchestrator_url) == 404


@pytest.mark.parametrize("host", ["0.0.0.0", "", "::", "192.168.1.5", "example.com"])
def test_other_hosts_are_refused_without_a_flag(host: str) -> None:
    with pytest.raises(errors.RemoteBindRefused, match="allow_remote"):
        LocalNetwork(host=host)


async def test_other_hosts_are_possible_with_it() -> None:
    async with LocalNetwork(host="0.0.0.0", allow_remote=True) as network:
        port = network.gateway_url.rpartition(":")[2]
        assert await get(f"http://127.0.0.1:{port}") == 404


async def test_a_host_that_is_not_ours_is_named() -> None:
    with pytest.raises(errors.AddressUnavailable, match=r"cannot listen on 192\.0\.2\.1"):
        async with LocalNetwork(host="192.0.2.1", allow_remote=True):
            pass


def test_the_secret_is_not_shown() -> None:
    assert "hidden" not in repr(LocalSettings(secret="hidden"))


async def test_closing_ends_what_runs(make_network: MakeNetwork, runner: FakeRunner) -> None:
    async def wait(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    runner.replies["/wait"] = wait
    async with asyncio.timeout(10), aiohttp.ClientSession() as session:
        async with make_network(shutdown_timeout_s=0.1) as network:
            await network.register("c1", runner.url, capacity=9)
            header = network.header(id="s1")
            url = network.orchestrator + "/ai/stream/start"
            assert (await network.post(url, b"{}", header)).status == 200
            url = network.gateway + "/process/stream/start"
            assert (await network.post(url, b"{}", header)).status == 200
            url = network.gateway + "/process/request/wait"
            waiting = asyncio.create_task(session.post(url, headers=header))
            await runner.saw("/wait")
        with pytest.raises(aiohttp.ClientError):
            await waiting


async def test_a_stream_moves_to_the_next_orchestrator(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    quick = LocalSettings(keepalive_interval_s=0.1)
    async with make_network() as first, make_network() as second:
        nodes = {node.orchestrator: node for node in (first, second)}
        for node in nodes.values():
            await node.register("c1", runner.url)
        async with serve(make_gateway(list(nodes), NoKey(), quick)) as gateway:
            base = gateway + "/process/stream"
            header = first.header(request='{"stream_id":"s1"}')
            answer = await first.post(base + "/start", b'{"stream_id":"s1"}', header)
            assert answer.status == 200
            told = await started(runner, 1)
            answer = await first.post(base + "/s1/update", b'{"p":1}', header)
            assert answer.status == 200
            await first.ask("DELETE", told["control_url"])
            moved = await started(runner, 2)
            assert moved["gateway_request_id"] == "s1"
            assert moved["control_url"].partition("/ai")[0] in nodes
            assert moved["control_url"] != told["control_url"]
            assert runner.bodies("/stream/stop") == [b"control channel does not exist"]
            # The last update follows over the control channel, before any keep-alive.
            async with TrickleSubscriber(moved["control_url"], start=0) as control:
                assert await (await anext(control)).read() == b'{"p":1}'


async def started(runner: FakeRunner, count: int) -> dict[str, str]:
    return json.loads((await runner.saw("/stream/start", count))[-1])


async def test_every_orchestrator_runs_an_event_stream_that_nobody_leaves(
    make_network: MakeNetwork, runner: FakeRunner, vectors: dict[str, object]
) -> None:
    rows = vectors["sse_transcripts"]
    assert isinstance(rows, dict)

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(rows["runner_sends"].encode())
        return response

    runner.replies["/sse"] = events
    async with make_network() as first, make_network() as second:
        nodes: list[Network] = [first, second]
        for node in nodes:
            await node.register("c1", runner.url)
        urls = [node.orchestrator for node in nodes]
        async with serve(make_gateway(urls, NoKey(), LocalSettings())) as gateway:
            answer = await first.post(gateway + "/process/request/sse", b"", first.header())
    assert answer.body == rows["gateway_sends_two_orchestrators"]


async def test_batch_goes_to_the_next_orchestrator_after_a_500(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network() as first, make_network() as second:
        await first.register("c1", "http://127.0.0.1:1")
        await second.register("c1", runner.url)
        urls = [first.orchestrator, second.orchestrator, "http://127.0.0.1:1"]
        async with serve(make_gateway(urls, NoKey(), LocalSettings())) as gateway:
            answer = await first.post(gateway + "/process/request/x", b"", first.header())
            assert (answer.status, answer.body) == (200, "{}")
            assert answer.headers["X-Orchestrator-Url"] == second.orchestrator


def test_statuses_are_bounded() -> None:
    statuses = Statuses(2)
    for number in range(3):
        statuses.put_key(str(number), "a", number)
    statuses.put_key("1", "b", 1)
    assert [statuses.get(str(number)) for number in range(3)] == [None, {"a": 1, "b": 1}, {"a": 2}]


async def test_a_data_reader_begins_with_the_newest_and_is_dropped_when_behind() -> None:
    ring = DataRing(2)
    ring.put(b"1")
    ring.put(b"2")
    reader = ring.read()
    assert await anext(reader) == b"2"
    for item in (b"3", b"4"):
        ring.put(item)
    assert await anext(reader) == b"3"
    for item in (b"5", b"6"):
        ring.put(item)
    with pytest.raises(FellBehind):
        await anext(reader)


async def test_a_data_reader_ends_with_an_empty_item_only_when_it_waited() -> None:
    ring = DataRing()
    reader = ring.read()
    waiting = asyncio.ensure_future(anext(reader))
    await asyncio.sleep(0)
    ring.close()
    assert await waiting == b""
    assert [item async for item in reader] == []
    assert [item async for item in ring.read()] == []


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (None, 404),
        ("http://localhost:3000", 404),
        ("http://[::1]:80", 404),
        ("http://127.0.0.1", 404),
        ("https://example.org", 403),
        ("http://127.0.0.1.example.org", 403),
        ("null", 403),
    ],
)
async def test_only_pages_of_this_machine_reach_trickle(origin: str | None, status: int) -> None:
    headers = {} if origin is None else {"Origin": origin}
    async with LocalNetwork() as network, aiohttp.ClientSession(headers=headers) as session:
        channel = network.orchestrator_url + "/ai/trickle/unknown"
        for method, url in [("POST", channel), ("POST", channel + "/0"), ("GET", channel + "/0")]:
            async with session.request(method, url) as response:
                assert response.status == status
        async with session.get(channel + "/0", headers={"Host": "rebound.example"}) as response:
            assert response.status == 403
