"""Registration, tokens and batch jobs on the orchestrator, over real sockets."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

if TYPE_CHECKING:
    from conftest import FakeRunner, MakeNetwork, Network

SECRET = {"Authorization": "orch-secret"}
NO_ONE = "http://127.0.0.1:1"


def expected(vectors: dict[str, Any], endpoint: str, when: str) -> tuple[int, str]:
    rows = vectors["wire_errors"]["rows"]
    row = next(r for r in rows if (r["endpoint"], r["when"]) == (endpoint, when))
    return row["status"], row["body"]


async def deny(_: web.Request) -> web.Response:
    return web.Response(status=401, text="no")


async def test_registration_errors_are_the_golden_ones(
    network: Network, vectors: dict[str, Any]
) -> None:
    url, endpoint = network.orchestrator + "/capability/register", "POST /capability/register"
    for authorization in ({"Authorization": "wrong"}, {"Authorization": "Bearer orch-secret"}, {}):
        answer = await network.post(url, b"{}", authorization)
        assert (answer.status, answer.body) == expected(vectors, endpoint, "wrong secret")
    answer = await network.post(url, b"", SECRET)
    assert (answer.status, answer.body) == expected(vectors, endpoint, "empty body")
    assert answer.headers["Content-Type"].startswith("application/json")
    answer = await network.post(url, b'{"name":"c1","CAPACITY":2,"unknown":1}', SECRET)
    assert (answer.status, answer.body) == expected(vectors, endpoint, "ok")
    assert answer.headers["Content-Type"] == "application/json"
    assert await network.available() == 2
    answer = await network.ask("GET", url)
    assert (answer.status, answer.body) == (405, "Method not allowed\n")


async def test_a_wrong_type_in_a_registration_is_named(network: Network) -> None:
    url = network.orchestrator + "/capability/register"
    answer = await network.post(url, b'{"name":"a","capacity":0.5}', SECRET)
    assert (answer.status, answer.body) == (
        400,
        "Error registering capability: json: cannot unmarshal number 0.5 into Go struct field "
        "ExternalCapability.capacity of type int",
    )


async def test_unregister_takes_the_bare_name(network: Network) -> None:
    url = network.orchestrator + "/capability/unregister"
    await network.register("c1", NO_ONE)
    for other in (b'"c1"', b"c1\n", b'{"name":"c1"}'):
        assert (await network.post(url, other, SECRET)).body == "ok"
        assert await network.available() == 1
    assert (await network.post(url, b"c1", {})).status == 400
    answer = await network.post(url, b"c1", SECRET)
    assert (answer.status, answer.body) == (200, "ok")
    assert await network.available() == 0


async def test_token_leaves_zeros_out(network: Network) -> None:
    answer = await network.token("unknown", {"addr": "0x" + "0" * 40, "sig": ""})
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body) == {
        "sender_address": {"addr": "0x" + "0" * 40, "sig": ""},
        "price": {"pixelsPerUnit": 1},
        "service_addr": network.orchestrator,
        "LastNonce": 0,
    }
    await network.register("c1", NO_ONE, capacity=3)
    assert json.loads((await network.token()).body)["available_capacity"] == 3


async def test_token_errors_are_the_golden_ones(network: Network, vectors: dict[str, Any]) -> None:
    url, endpoint = network.orchestrator + "/process/token", "GET /process/token"
    answer = await network.ask("GET", url)
    assert (answer.status, answer.body) == expected(vectors, endpoint, "no eth header")
    answer = await network.ask("GET", url, headers={"Livepeer-Eth-Address": "bad"})
    assert (answer.status, answer.body) == expected(vectors, endpoint, "bad creds")
    answer = await network.token("")
    assert (answer.status, answer.body) == expected(vectors, endpoint, "no capability header")
    assert (await network.post(url)).status == 405


async def test_token_credentials_are_verified(
    make_network: MakeNetwork, vectors: dict[str, Any]
) -> None:
    async with make_network(verify=True) as network:
        for row in vectors["token_creds"]:
            addr = row.get("addr", row.get("signed_string"))
            answer = await network.token("c1", {"addr": addr, "sig": row["signature"]})
            assert answer.status == (200 if row.get("accepted", True) else 400)


async def test_batch_errors_are_the_golden_ones(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    url, endpoint = network.orchestrator + "/process/request/x", "POST /process/request (O)"
    answer = await network.post(url, headers={"Livepeer": "bad"})
    assert (answer.status, answer.body) == expected(vectors, endpoint, "bad header/signature")
    answer = await network.post(url, headers=network.header(timeout_seconds=0))
    assert (answer.status, answer.body) == expected(vectors, endpoint, "no timeout")
    answer = await network.post(url, headers=network.header())
    assert (answer.status, answer.body) == expected(vectors, endpoint, "unknown capability")
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    await network.register("c1", runner.url)
    answer = await network.post(url, headers=network.header(request="[]"))
    assert answer.status == 400
    assert answer.body.startswith("Unable to unmarshal job request details err=")
    assert await network.available() == 1
    runner.replies["/x"] = deny
    answer = await network.post(url, headers=network.header())
    assert (answer.status, answer.body) == expected(vectors, endpoint, "runner 401")
    assert await network.available() == 0


async def test_what_the_runner_sees_and_the_caller_gets(
    network: Network, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.Response(
            status=201,
            body=await request.read(),
            headers={
                "Content-Type": "application/json",
                "X-Metadata": '{"m":1}',
                "X-Other": "zzz",
            },
        )

    def failing(status: int, detail: str) -> Any:
        async def reply(_: web.Request) -> web.Response:
            body = json.dumps({"detail": detail}, separators=(",", ":"))
            return web.Response(status=status, text=body, content_type="application/json")

        return reply

    for path in ("/echo", "/a/b/echo", "/a b/c/echo"):
        runner.replies[path] = echo
    for status, detail in ((422, "bad"), (500, "boom"), (503, "busy")):
        runner.replies[f"/e{status}"] = failing(status, detail)
    for row in vectors["batch_orchestrator_to_runner"]["rows"]:
        token = "sekrit" if row["case"] == "token" else ""
        await network.register("c1", runner.url, token=token)
        given = {"Content-Type": "application/json", **row["caller_extra_headers"]}
        headers = {k: v for k, v in given.items() if v is not None} | network.header()
        answer = await network.post(network.orchestrator + row["caller_path"], b'{"a":1}', headers)
        wanted, seen = row["runner_sees"], runner.seen[-1]
        assert (seen.method, seen.path) == (wanted["method"], wanted["path"]), row["case"]
        assert seen.body.decode() == wanted["body"]
        assert {k: v for k, v in seen.headers.items() if k != "Host"} == wanted["headers"]
        gets = row["caller_gets"]
        assert (answer.status, answer.body) == (gets["status"], gets["body"]), row["case"]
        for name, value in gets["headers"].items():
            assert answer.headers[name] == value, (row["case"], name)
        assert "X-Other" not in answer.headers
        assert await network.available() == 1


async def test_signatures_are_accepted_as_in_the_golden_rows(
    make_network: MakeNetwork, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    section = vectors["signature_acceptance"]
    sender = next(k["address_eip55"] for k in vectors["keys"] if k["name"] == section["key"])
    good = section["rows"][1]["sig"]
    async with make_network(verify=True) as network:
        await network.register("c1", runner.url, capacity=100)
        for row in section["rows"]:
            header = network.header(sender=row.get("sender", sender), sig=row.get("sig", good))
            if "letter case" in row["case"]:
                header = network.header(
                    sender="", sig="", SENDER=sender, Sig=good, request="{}", Unknown=1
                )
            if "livepeer_header_value" in row:
                header = {"Livepeer": row["livepeer_header_value"]}
            url = network.orchestrator + "/process/request/x"
            answer = await network.post(url, b"{}", header)
            assert (answer.status, answer.body) == (row["status"], row["body"]), row["case"]


async def test_v1_orchestrator_takes_v1_signatures_only(
    make_network: MakeNetwork, runner: FakeRunner, vectors: dict[str, Any]
) -> None:
    name = "batch_minimal"
    values = [
        next(v["livepeer_header_value"] for v in vectors[section]["vectors"] if v["name"] == name)
        for section in ("job_signature_v1_branch", "job_signature_legacy_HEAD")
    ]
    for signature, statuses in (("v1", (200, 400)), ("legacy", (400, 200))):
        async with make_network(verify=True, signature=signature) as network:
            await network.register("text-reversal", runner.url)
            url = network.orchestrator + "/process/request/x"
            answers = [await network.post(url, b"", {"Livepeer": value}) for value in values]
            assert tuple(answer.status for answer in answers) == statuses


@pytest.mark.parametrize("sig", ["", "abcd", "0x" + "ab" * 65])
async def test_off_chain_any_signature_that_decodes_passes(
    network: Network, runner: FakeRunner, sig: str
) -> None:
    await network.register("c1", runner.url)
    url = network.orchestrator + "/process/request/x"
    assert (await network.post(url, headers=network.header(sig=sig))).status == 200
    assert (await network.post(url, headers=network.header(sig="0x"))).status == 400


async def test_a_capability_is_dropped_when_its_runner_cannot_be_reached(network: Network) -> None:
    url = network.orchestrator + "/process/request/x"
    await network.register("c1", NO_ONE)
    answer = await network.post(url, headers=network.header())
    assert answer.status == 500
    assert answer.body == (
        'job not able to be processed, removing capability err=Post "http://127.0.0.1:1/x": '
        "dial tcp 127.0.0.1:1: connect: connection refused\n"
    )
    assert answer.headers["Livepeer-Balance"] == "0"
    assert (await network.post(url, headers=network.header())).status == 503


async def test_a_connection_cut_by_the_runner_drops_the_capability(
    network: Network, runner: FakeRunner
) -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    runner.replies["/x"] = cut
    await network.register("c1", runner.url)
    url = network.orchestrator + "/process/request/x"
    answer = await network.post(url, headers=network.header())
    assert (answer.status, "EOF" in answer.body) == (500, True)
    assert await network.available() == 0


async def test_a_registered_url_without_scheme_fails_per_job(network: Network) -> None:
    url = network.orchestrator + "/process/request/x"
    await network.register("c1", "1.2.3.4:5000")
    answer = await network.post(url, headers=network.header())
    text = 'parse "1.2.3.4:5000/x": first path segment in URL cannot contain colon\n'
    assert (answer.status, answer.body) == (500, text)
    assert await network.available() == 1
    await network.register("c1", "runner:5000")
    answer = await network.post(url, headers=network.header())
    assert (answer.status, "unsupported protocol scheme" in answer.body) == (500, True)
    assert await network.available() == 0


async def test_a_timeout_keeps_the_capability_and_frees_its_slot(
    network: Network, runner: FakeRunner
) -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    runner.replies["/x"] = slow
    await network.register("c1", runner.url)
    url = network.orchestrator + "/process/request/x"
    for timeout in (1, -1):
        answer = await network.post(url, headers=network.header(timeout_seconds=timeout))
        assert (answer.status, "context canceled" in answer.body) == (500, True)
        assert await network.available() == 1


async def test_capacity_is_told_but_not_enforced(network: Network, runner: FakeRunner) -> None:
    gate = asyncio.Event()

    async def wait(_: web.Request) -> web.Response:
        await gate.wait()
        return web.Response()

    runner.replies["/wait"] = wait
    await network.register("c1", runner.url)
    url = network.orchestrator + "/process/request/"
    waiting = asyncio.create_task(network.post(url + "wait", headers=network.header()))
    await runner.saw("/wait")
    assert await network.available() == 0
    assert (await network.post(url + "x", headers=network.header())).status == 200
    # A registration in mid-job starts from zero, and the job's end does not lower it below.
    await network.register("c1", runner.url)
    assert await network.available() == 1
    gate.set()
    assert (await waiting).status == 200
    assert await network.available() == 1


async def test_a_caller_that_leaves_frees_its_slot(network: Network, runner: FakeRunner) -> None:
    async def wait(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    runner.replies["/wait"] = wait
    await network.register("c1", runner.url)
    url = network.orchestrator + "/process/request/wait"
    waiting = asyncio.create_task(network.post(url, headers=network.header()))
    await runner.saw("/wait")
    waiting.cancel()
    await network.free(1)


async def test_compressed_answers_are_unpacked(network: Network, runner: FakeRunner) -> None:
    async def packed(_: web.Request) -> web.Response:
        response = web.Response(text="x" * 5000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    runner.replies["/x"] = packed
    await network.register("c1", runner.url)
    answer = await network.post(
        network.orchestrator + "/process/request/x", headers=network.header()
    )
    assert answer.body == "x" * 5000
    assert "Content-Encoding" not in answer.headers


async def test_an_error_that_is_no_text_keeps_its_bytes(
    network: Network, runner: FakeRunner
) -> None:
    async def odd(_: web.Request) -> web.Response:
        return web.Response(status=400, body=b"\xff\xfe")

    runner.replies["/x"] = odd
    await network.register("c1", runner.url)
    for base, newlines in ((network.orchestrator, b"\n"), (network.gateway, b"\n\n")):
        url = base + "/process/request/x"
        async with network.session.post(url, headers=network.header()) as answer:
            assert (answer.status, await answer.read()) == (400, b"\xff\xfe" + newlines)


async def test_bodies_beyond_the_limit_are_refused(
    make_network: MakeNetwork, runner: FakeRunner
) -> None:
    async with make_network(max_body_bytes=1000) as network:
        await network.register("c1", runner.url)
        url = network.orchestrator + "/process/request/x"
        answer = await network.post(url, b"x" * 1001, network.header())
        assert (answer.status, answer.body) == (413, "request body too large (max 1000 bytes)\n")
        assert await network.available() == 1


async def test_the_mux_answers_as_gos(network: Network) -> None:
    answer = await network.ask("GET", network.orchestrator + "/nope")
    assert (answer.status, answer.body) == (404, "404 page not found\n")
    answer = await network.post(network.orchestrator + "/process/request/a//b?x=1")
    assert (answer.status, answer.headers["Location"]) == (301, "/process/request/a/b?x=1")
    answer = await network.post(network.orchestrator + "/process/request")
    assert (answer.status, answer.headers["Location"]) == (301, "/process/request/")
    answer = await network.ask("GET", network.orchestrator + "/process/request/x")
    assert (answer.status, answer.body) == (405, "Method not allowed\n")
