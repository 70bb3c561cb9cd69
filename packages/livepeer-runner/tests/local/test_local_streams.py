"""Streams on the orchestrator: start, update, stop, payment, channels."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from conftest import Answer, FakeRunner, Network

ALL = '{"enable_video_ingress":true,"enable_video_egress":true,"enable_data_output":true}'
TYPED = {"Content-Type": "application/json"}


def expected(vectors: dict[str, Any], endpoint: str, when: str) -> tuple[int, str]:
    rows = vectors["wire_errors"]["rows"]
    row = next(r for r in rows if (r["endpoint"], r["when"]) == (endpoint, when))
    return row["status"], row["body"]


async def call(network: Network, act: str, body: bytes = b"", **job: Any) -> Answer:
    url = f"{network.orchestrator}/ai/stream/{act}"
    return await network.post(url, body, network.header(**job) | TYPED)


async def channel_exists(network: Network, name: str) -> bool:
    answer = await network.ask("GET", f"{network.orchestrator}/ai/trickle/{name}/next")
    return answer.status == 200


def failing(status: int) -> Any:
    async def reply(_: web.Request) -> web.Response:
        return web.json_response({"detail": "no"}, status=status)

    return reply


async def test_flag_matrix(network: Network, runner: FakeRunner, vectors: dict[str, Any]) -> None:
    matrix = vectors["stream_start_flag_matrix"]
    base = matrix["provenance"].rpartition(" ")[2]
    await network.register("c1", runner.url, capacity=100)
    for row in json.loads(json.dumps(matrix["rows"]).replace(base, network.orchestrator)):
        answer = await call(
            network, "start", b'{"params":null}', id=row["id"], parameters=row["parameters"]
        )
        assert (answer.status, answer.body) == (row["status"], row["caller_body"])
        urls = {k: v for k, v in answer.headers.items() if k.startswith("X-")}
        assert urls == row["caller_headers"]
        assert answer.headers["Livepeer-Balance"] == "0"
        seen = runner.seen[-1]
        assert (seen.method, seen.path) == ("POST", "/stream/start")
        assert seen.body == json.dumps(row["runner_body"], separators=(",", ":")).encode()
        for name, value in row["runner_headers"].items():
            assert seen.headers[name] == value
        assert set(seen.headers) == {
            "Host",
            "User-Agent",
            "Content-Length",
            "Content-Type",
            "X-Stream-Id",
            "Accept-Encoding",
        }
        for url in urls.values():
            assert await channel_exists(network, url.rpartition("/")[2])


async def test_the_callers_keys_override_and_pass_through_go(
    network: Network, runner: FakeRunner
) -> None:
    await network.register("c1", runner.url, token="t")
    body = b'{"events_url":"mine","n":12345678901234567890,"params":{"a":"<b>"}}'
    assert (await call(network, "start", body, id="s1")).status == 200
    assert runner.seen[-1].headers["Authorization"] == "Bearer t"
    assert runner.seen[-1].body.decode() == (
        f'{{"control_url":"{network.orchestrator}/ai/trickle/s1-control","events_url":"mine",'
        '"gateway_request_id":"s1","n":12345678901234567000,'
        '"params":{"a":"\\u003cb\\u003e"}}'
    )


async def test_start_errors_are_the_golden_ones(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    endpoint = "POST /ai/stream/start"
    answer = await call(network, "start", b"{}")
    assert (answer.status, answer.body) == expected(vectors, endpoint, "unknown capability")
    await network.register("c1", "http://127.0.0.1:1", capacity=2)
    answer = await call(network, "start", b"{}", id="s1")
    assert (answer.status, answer.body) == expected(vectors, endpoint, "runner unreachable")
    assert answer.headers["X-Control-Url"].endswith("/ai/trickle/s1-control")
    assert await network.available() == 2
    await network.register("c1", runner.url, capacity=2)
    for body in (b"", b"[]", b"{", b"5"):
        answer = await call(network, "start", body, id="s1")
        assert (answer.status, answer.body) == expected(vectors, endpoint, "empty body")
    assert (await call(network, "start", b"{}", parameters="")).status == 400
    assert (await call(network, "start", b"{}", timeout_seconds=0)).status == 400
    assert await network.available() == 2
    assert not await channel_exists(network, "s1-control")
    assert runner.seen == []


async def test_a_null_body_starts(network: Network, runner: FakeRunner) -> None:
    await network.register("c1", runner.url)
    assert (await call(network, "start", b"null", id="s1")).status == 200


async def test_a_stream_holds_a_slot_and_channels_until_its_stop(
    network: Network, runner: FakeRunner
) -> None:
    await network.register("c1", runner.url, capacity=2)
    await call(network, "start", b"{}", id="s1", parameters=ALL)
    assert await network.available() == 1
    job = {"request": '{"stream_id":"s1"}', "parameters": ""}
    answer = await call(network, "stop", b"stream ended", **job)
    assert (answer.status, answer.body) == (200, "{}")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    stopped = runner.seen[-1]
    assert (stopped.path, stopped.body) == ("/stream/stop", b"stream ended")
    assert stopped.headers["X-Stream-Id"] == "s1"
    assert "Content-Type" not in stopped.headers
    assert await network.available() == 2
    for suffix in ("", "-out", "-control", "-events", "-data"):
        assert not await channel_exists(network, "s1" + suffix)
    # Stopping what does not run is fine, and the runner hears of it again.
    assert (await call(network, "stop", **job)).status == 200
    assert runner.seen[-1].headers["Content-Length"] == "0"
    assert await network.available() == 2


async def test_a_duplicate_start_is_refused_and_closes_the_first_ones_channels(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    await network.register("c1", runner.url, capacity=2)
    assert (await call(network, "start", b"{}", id="s1")).status == 200
    answer = await call(network, "start", b"{}", id="s1")
    wanted = expected(vectors, "POST /ai/stream/start", "duplicate id")
    assert (answer.status, answer.body) == wanted
    assert runner.paths() == ["/stream/start", "/stream/start"]
    assert not await channel_exists(network, "s1-control")
    assert await network.available() == 1
    await call(network, "stop", request='{"stream_id":"s1"}')
    assert await network.available() == 2


async def test_a_runner_that_refuses_passes_its_status_on(
    network: Network, runner: FakeRunner
) -> None:
    runner.replies["/stream/start"] = failing(503)
    await network.register("c1", runner.url)
    answer = await call(network, "start", b"{}", id="s1")
    assert (answer.status, answer.body) == (503, '{"detail": "no"}')
    assert answer.headers["X-Events-Url"].endswith("s1-events")
    assert await network.available() == 1
    assert not await channel_exists(network, "s1-events")


async def test_a_401_from_any_stream_route_removes_the_capability(
    network: Network, runner: FakeRunner
) -> None:
    job = {"id": "s1", "request": '{"stream_id":"s1"}'}
    for act, path in (("start", "start"), ("update", "params"), ("stop", "stop")):
        runner.replies[f"/stream/{path}"] = failing(401)
        await network.register("c1", runner.url)
        answer = await call(network, act, b"{}", **job)
        assert (answer.status, answer.body) == (500, "Orchestrator worker failure")
        assert await network.available() == 0


async def test_update_reaches_the_runner_verbatim(network: Network, runner: FakeRunner) -> None:
    runner.replies["/stream/params"] = failing(422)
    await network.register("c1", runner.url)
    answer = await call(network, "update", b"anything", request='{"stream_id":"s1"}')
    assert (answer.status, answer.body) == (422, '{"detail": "no"}')
    seen = runner.seen[-1]
    assert (seen.path, seen.body) == ("/stream/params", b"anything")
    assert seen.headers["Content-Type"] == "application/json"
    assert seen.headers["X-Stream-Id"] == "s1"
    await call(network, "update", b"{}")
    assert "X-Stream-Id" not in runner.seen[-1].headers


async def test_without_a_runner_stop_succeeds_and_update_fails(network: Network) -> None:
    assert (await call(network, "stop", request='{"stream_id":"s1"}')).status == 200
    answer = await call(network, "update", b"{}")
    assert (answer.status, answer.body) == (500, "Error sending request to worker\n")


async def test_refusals_of_stop_update_and_payment_name_their_reason(network: Network) -> None:
    for act, text in (
        ("stop", "Failed to stop stream"),
        ("update", "Failed to stop stream"),
        ("payment", "Failed to process payment"),
    ):
        answer = await call(network, act, sig="0x")
        wanted = f"{text}, request not valid err=Could not verify job creds\n"
        assert (answer.status, answer.body) == (400, wanted)


async def test_payment_of_a_free_capability_succeeds(network: Network) -> None:
    url = network.orchestrator + "/ai/stream/payment"
    headers = network.header(request='{"stream_id":"s1"}') | {"Livepeer-Payment": "not looked at"}
    answer = await network.post(url, b"", headers)
    assert (answer.status, answer.body, answer.headers["Livepeer-Balance"]) == (200, "", "0")


async def test_channels_are_not_created_by_publishing(network: Network) -> None:
    answer = await network.post(network.orchestrator + "/ai/trickle/nope/0", b"x")
    assert (answer.status, answer.body) == (404, "Stream not found\n")
