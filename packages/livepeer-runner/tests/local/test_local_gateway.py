"""Batch jobs and streams through the gateway, over real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber

if TYPE_CHECKING:
    from conftest import Answer, FakeRunner, MakeNetwork, Network

DATA = '{"enable_data_output":true}'
FAST = {
    "keepalive_interval_s": 0.1,
    "events_gap_s": 0.4,
    "events_check_interval_s": 0.1,
    "token_attempts": 2,
}


def expected(vectors: dict[str, Any], endpoint: str, when: str) -> tuple[int, str]:
    rows = vectors["wire_errors"]["rows"]
    row = next(r for r in rows if (r["endpoint"], r["when"]) == (endpoint, when))
    return row["status"], row["body"]


def answering(status: int, text: str, kind: str = "application/json") -> Any:
    async def reply(_: web.Request) -> web.Response:
        return web.Response(status=status, text=text, content_type=kind)

    return reply


async def start(network: Network, body: bytes, **job: Any) -> Answer:
    return await network.post(
        network.gateway + "/process/stream/start", body, network.header(**job)
    )


async def begun(network: Network, runner: FakeRunner, **job: Any) -> dict[str, Any]:
    """Start stream s1 and give what its runner was told, once the gateway minds the channels."""
    answer = await start(network, b'{"stream_id":"s1","params":"{\\"a\\":1}"}', **job)
    assert answer.status == 200

    async def started() -> bool:
        return "orchestrator" in (await status(network))

    await network.until(started)
    return json.loads(runner.bodies("/stream/start")[0])


async def status(network: Network) -> dict[str, Any]:
    answer = await network.ask("GET", network.gateway + "/process/stream/s1/status")
    return json.loads(answer.body) if answer.status == 200 else {}


async def stop(network: Network, body: bytes = b"bye") -> Answer:
    return await network.post(network.gateway + "/process/stream/s1/stop", body)


async def test_a_batch_job_goes_through(network: Network, runner: FakeRunner) -> None:
    async def reply(request: web.Request) -> web.Response:
        return web.json_response({"a": 1}, headers={"X-Metadata": "m"})

    runner.replies["/predict"] = reply
    await network.register("c1", runner.url, token="t")
    url = network.gateway + "/process/request/predict?x=1"
    headers = network.header() | {"Content-Type": "application/json"}
    answer = await network.post(url, b'{"text":"x"}', headers)
    assert (answer.status, answer.body) == (200, '{"a": 1}')
    assert answer.headers["X-Orchestrator-Url"] == network.orchestrator
    assert answer.headers["Livepeer-Balance"] == "0"
    assert answer.headers["X-Metadata"] == "m"
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    seen = runner.seen[-1]
    assert (seen.path, seen.body) == ("/predict", b'{"text":"x"}')
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["Authorization"] == "Bearer t"


async def test_a_long_job_header_goes_through(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url)
    header = network.header(request=json.dumps({"x": "y" * 100_000}))
    for base in (network.gateway, network.orchestrator):
        answer = await network.post(base + "/process/request/x", headers=header)
        assert (answer.status, answer.body) == (200, "{}")


async def test_the_content_type_is_sniffed(network: Network, runner: FakeRunner) -> None:
    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=b"\x89PNG\x0d\x0a\x1a\x0arest", content_type="application/json")

    runner.replies["/x"] = picture
    await network.register("c1", runner.url)
    answer = await network.post(network.gateway + "/process/request/x", headers=network.header())
    assert answer.headers["Content-Type"] == "image/png"


async def test_a_batch_job_goes_through_with_keys(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    for signature in ("legacy", "v1"):
        async with make_network(verify=True, signature=signature) as network:
            await network.register("c1", runner.url)
            url = network.gateway + "/process/request/x"
            assert (await network.post(url, headers=network.header())).status == 200
            direct = network.orchestrator + "/process/request/x"
            assert (await network.post(direct, headers=network.header())).status == 400


async def test_batch_errors_are_the_golden_ones(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    url, endpoint = network.gateway + "/process/request/x", "POST /process/request (G)"
    answer = await network.post(url, headers=network.header(capability="zz"))
    assert (answer.status, answer.body) == expected(vectors, endpoint, "unknown capability")
    await network.register("c1", runner.url)
    runner.replies["/x"] = answering(503, "busy")
    answer = await network.post(url, headers=network.header())
    assert (answer.status, answer.body) == expected(vectors, endpoint, "all orchestrators failed")
    assert "X-Orchestrator-Url" not in answer.headers
    assert answer.headers["Content-Length"] == "0"
    runner.replies["/x"] = answering(422, '{"detail":"bad"}')
    answer = await network.post(url, headers=network.header())
    assert (answer.status, answer.body) == (422, '{"detail":"bad"}\n\n')
    assert "Livepeer-Balance" not in answer.headers


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ({}, "Unable to parse job request, err=unexpected end of JSON input\n"),
        ({"Livepeer": "*"}, "Unable to parse job request, err=ErrorSegEncoding\n"),
        (
            {"timeout_seconds": 0},
            "Unable to parse job request, err=no timeout_seconds set with request, "
            "timeout_seconds is required\n",
        ),
        (
            {"request": ""},
            "Unable to unmarshal job request err=unexpected end of JSON input\n",
        ),
        (
            {"parameters": ""},
            "Unable to unmarshal job parameters err=unexpected end of JSON input\n",
        ),
    ],
)
async def test_bad_job_headers(network: Network, header: dict[str, Any], text: str) -> None:
    headers = header if not header or "Livepeer" in header else network.header(**header)
    for route in ("/process/request/x", "/process/stream/start"):
        answer = await network.post(network.gateway + route, b"{}", headers)
        assert (answer.status, answer.body) == (400, text)


async def test_orchestrators_can_be_chosen_by_their_url(
    network: Network, runner: FakeRunner
) -> None:
    await network.register("c1", runner.url)
    url = network.gateway + "/process/request/x"
    mine, other = network.orchestrator, network.orchestrator + "/"
    for key, urls, wanted in (
        ("include", [mine], 200),
        ("include", [other], 400),
        ("exclude", [mine], 400),
        ("exclude", [other], 200),
    ):
        parameters = json.dumps({"orchestrators": {key: urls}})
        answer = await network.post(url, headers=network.header(parameters=parameters))
        assert answer.status == wanted


async def test_stream_start_answers_urls(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url, capacity=5)
    answer = await start(network, b'{"stream_id":"1","stream_name":"n"}', parameters=DATA)
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    base = "https:///process/stream/n-1"
    assert json.loads(answer.body) == {
        "stream_id": "n-1",
        "whip_url": "",
        "whep_url": "",
        "rtmp_url": "",
        "rtmp_output_url": "",
        "update_url": base + "/update",
        "status_url": base + "/status",
        "data_url": base + "/data",
        "stop_url": base + "/stop",
    }
    answer = await start(network, b'{"stream_id":"1","stream_name":"n"}')
    assert (answer.status, answer.body) == (400, "stream already exists: n-1\n")
    answer = await start(network, b"{}", parameters='{"enable_video_ingress":true}')
    assert len(json.loads(answer.body)["stream_id"]) == 8


async def test_stream_start_errors(
    make_network: MakeNetwork, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    async with make_network(max_client_body_bytes=100) as network:
        await network.register("c1", runner.url)
        answer = await start(network, b"")
        wanted = expected(vectors, "POST /process/stream/start (G)", "empty body")
        assert (answer.status, answer.body) == wanted
        for body, wanted_status, text in (
            (b"{", 400, "invalid JSON request body: unexpected EOF\n"),
            (
                b'{"params":{}}',
                400,
                "invalid JSON request body: json: cannot unmarshal object into Go struct field "
                "StartRequest.params of type string\n",
            ),
            (b'{"params":"[]"}', 400, "invalid model params\n"),
            (b'{"params":"{"}', 400, "invalid model params\n"),
            (b" " * 101, 413, "request body too large (max 100 bytes)\n"),
        ):
            answer = await start(network, body)
            assert (answer.status, answer.body) == (wanted_status, text)
        assert runner.seen == []


async def test_unknown_streams_are_not_found(network: Network, vectors: dict[str, Any]) -> None:
    base = network.gateway + "/process/stream/s1/"
    answer = await stop(network)
    wanted = expected(vectors, "POST /process/stream/{id}/stop (G)", "unknown")
    assert (answer.status, answer.body) == wanted
    for method, act in (("POST", "update"), ("GET", "status"), ("GET", "data")):
        answer = await network.ask(method, base + act, b"", network.header())
        assert (answer.status, answer.body) == wanted


async def test_methods_and_preflight(make_network: MakeNetwork) -> None:
    async with make_network(allow_cors=True) as network:
        answer = await network.ask("OPTIONS", network.gateway + "/process/stream/start")
        assert (answer.status, answer.body) == (204, "")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
    async with make_network() as network:
        answer = await network.ask("OPTIONS", network.gateway + "/process/stream/s1/update")
        assert answer.status == 204
        assert "Access-Control-Allow-Origin" not in answer.headers
        answer = await network.ask("GET", network.gateway + "/process/stream/start")
        assert (answer.status, answer.body) == (405, "Method Not Allowed\n")
        assert answer.headers["Allow"] == "OPTIONS, POST"
        answer = await network.ask("GET", network.gateway + "/process/request/x")
        assert (answer.status, answer.body) == (405, "Method not allowed\n")
        answer = await network.post(network.gateway + "/process/stream/s1/whip")
        assert (answer.status, answer.headers["Allow"]) == (405, "OPTIONS")


@pytest.mark.parametrize("verify", [False, True])
async def test_a_stream_from_start_to_stop(
    make_network: MakeNetwork, runner: FakeRunner, *, verify: bool
) -> None:
    runner.replies["/stream/stop"] = answering(200, '{"stopped":true}')
    async with make_network(verify=verify) as network:
        await network.register("c1", runner.url)
        told = await begun(network, runner, parameters=DATA)
        assert told["params"] == {"a": 1}
        assert told["gateway_request_id"] == "s1"
        assert (await status(network))["orchestrator"] == network.orchestrator

        update = network.gateway + "/process/stream/s1/update"
        header = network.header(request='{"stream_id":"s1"}')
        answer = await network.post(update, b'{"b":2}', header)
        assert (answer.status, answer.body) == (200, "{}")
        assert runner.seen[-1].path == "/stream/params"
        assert runner.seen[-1].body == b'{"b":2}'
        assert runner.seen[-1].headers["X-Stream-Id"] == "s1"

        answer = await stop(network)
        assert (answer.status, answer.body) == (200, '{"stopped":true}')

        assert await runner.saw("/stream/stop", 2) == [b"bye", b"stream ended"]
        assert (await stop(network)).status == 404
        assert await network.available() == 1


async def test_an_update_without_capability_is_refused(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(token_attempts=2) as network:
        await network.register("c1", runner.url)
        await begun(network, runner)
        url = network.gateway + "/process/stream/s1/update"
        answer = await network.post(url, b"{}", network.header(capability=""))
        wanted = "failed to get token from Orchestrator after 1 attempts\n"
        assert (answer.status, answer.body) == (400, wanted)


async def test_the_control_channel_is_kept_alive(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(keepalive_interval_s=0.05) as network:
        await network.register("c1", runner.url)
        told = await begun(network, runner)
        async with TrickleSubscriber(told["control_url"], session=network.session) as control:
            segments = [await (await anext(control)).read() for _ in range(3)]
        assert segments == [b'{"keep":"alive"}'] * 3


async def test_status_follows_status_events(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url)
    told = await begun(network, runner)
    events = JSONPublisher(told["events_url"], session=network.session)

    async def shows(fps: int) -> bool:
        # What was published before the gateway subscribed is lost, so it is said again.
        await events.publish({"type": "heartbeat"})
        inference: dict[str, Any] = {"fps": fps}
        if fps == 1:
            inference["last_params"] = {"p": 1}
        await events.publish({"type": "status", "inference_status": inference})
        return (await status(network)).get("inference_status", {}).get("fps") == fps

    await network.until(lambda: shows(1))
    await network.until(lambda: shows(2))
    now = await status(network)
    assert now["inference_status"]["last_params"] == {"p": 1}
    assert now["stream_id"] == "s1"
    assert now["orchestrator_info"] == {"address": "", "url": network.orchestrator}
    assert "whep_url" not in now
    await events.close()


async def test_a_silent_runner_is_given_up(make_network: MakeNetwork, runner: FakeRunner) -> None:
    async with make_network(**FAST) as network:
        await network.register("c1", runner.url)
        told = await begun(network, runner)
        events = TricklePublisher(told["events_url"], session=network.session)
        # What is no single JSON object does not count as a sign of life.
        for junk in (b"[]", b"{} {}", b"5"):
            await events.write_segment(junk)
        await events.close(delete=False)

        assert await runner.saw("/stream/stop") == [b"timeout waiting for events"]

        async def gone() -> bool:
            return (await stop(network)).status == 404

        await network.until(gone)
        assert await network.available() == 1


async def test_events_keep_a_stream_alive(make_network: MakeNetwork, runner: FakeRunner) -> None:
    async with make_network(**FAST) as network:
        await network.register("c1", runner.url)
        told = await begun(network, runner)
        async with TricklePublisher(told["events_url"], session=network.session) as events:
            for _ in range(15):
                await events.write_segment(b'{"queue_event_type":"x","event":{"a":1}}')
                await asyncio.sleep(0.08)
        assert runner.bodies("/stream/stop") == []


async def test_a_lost_control_channel_ends_the_session(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(keepalive_interval_s=0.1) as network:
        await network.register("c1", runner.url)
        told = await begun(network, runner)
        await network.ask("DELETE", told["control_url"])

        assert await runner.saw("/stream/stop") == [b"control channel does not exist"]


async def test_a_runner_that_refuses_the_start_is_noticed_by_its_channels(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    runner.replies["/stream/start"] = answering(503, "busy")
    async with make_network(keepalive_interval_s=0.1) as network:
        await network.register("c1", runner.url)
        assert (await start(network, b'{"stream_id":"s1"}')).status == 200

        async def gone() -> bool:
            return (await stop(network)).status == 404

        await network.until(gone)


async def test_data_reaches_the_client(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url)
    told = await begun(network, runner, parameters=DATA)
    url = network.gateway + "/process/stream/s1/data"
    data = TricklePublisher(told["data_url"], session=network.session)

    async def publish() -> None:
        # Until the gateway has subscribed, what is published is lost.
        while True:
            await data.write_segment(b'{"n":1}\n{"n":2}\n')
            await asyncio.sleep(0.05)

    publishing = asyncio.create_task(publish())
    async with network.session.get(url) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        lines = [await response.content.readline() for _ in range(4)]
        assert lines[1::2] == [b"\n", b"\n"]
        assert set(lines[::2]) <= {b'data: {"n":1}\n', b'data: {"n":2}\n'}
        publishing.cancel()
        await asyncio.wait([publishing])
        await stop(network)
        rest = await response.content.read()
    assert rest.endswith(b"data: \n\n" + rb"event: end\ndata: {" + rb'"type":"stream_ended"}\n\n')
    await data.close(delete=False)


async def test_data_must_be_enabled(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url)
    await begun(network, runner)
    answer = await network.ask("GET", network.gateway + "/process/stream/s1/data")
    assert (answer.status, answer.body) == (503, "Stream data not available\n")


async def test_status_is_forgotten_once(make_network: MakeNetwork, runner: FakeRunner) -> None:
    async with make_network(status_clear_s=0.2) as network:
        await network.register("c1", runner.url)
        await begun(network, runner)

        async def forgotten() -> bool:
            return not await status(network)

        await network.until(forgotten)
        # The stream goes on.
        assert (await stop(network)).status == 200


async def test_a_data_line_that_is_too_long_is_an_error_in_the_status(
    network: Network, runner: FakeRunner
) -> None:
    await network.register("c1", runner.url)
    told = await begun(network, runner, parameters=DATA)

    async with TricklePublisher(told["data_url"], session=network.session) as data:

        async def told_so() -> bool:
            await data.write_segment(b"1\n" + b"x" * 65_536 + b"\n2\n")
            return "error" in await status(network)

        await network.until(told_so)
        error = (await status(network))["error"]
        assert "65535 bytes" in error["error_message"]
        url = network.gateway + "/process/stream/s1/data"
        async with network.session.get(url) as response:
            assert await response.content.readline() == b"data: 1\n"
