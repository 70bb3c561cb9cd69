"""Self-registration with an orchestrator, over real sockets."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from livepeer.runner import Pipeline, Settings
from livepeer.runner._network.byoc import byoc_registrar
from livepeer.runner.errors import RegistrationError, SettingsError
from livepeer.runner.testing import serve
from livepeer.trickle.testing import serve as serve_http


class TextReversal(Pipeline):
    def predict(self, text: str) -> str:
        return text[::-1]


class Loading(TextReversal):
    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def setup(self) -> None:
        await self.go.wait()


@dataclass
class Orchestrator:
    """What an orchestrator would see, and the statuses that it answers, 200 when none is left."""

    answers: list[int] = field(default_factory=list)
    text: str = "ok"
    seen: list[tuple[str, str | None, bytes]] = field(default_factory=list)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/capability/{act}", self._take)
        return app

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.seen.append((request.path, request.headers.get("Authorization"), body))
        status = self.answers.pop(0) if self.answers else 200
        # Success calls itself JSON and is not.
        return web.Response(status=status, text=self.text, content_type="application/json")

    @property
    def paths(self) -> list[str]:
        return [path.rsplit("/", 1)[1] for path, _, _ in self.seen]


@pytest.fixture
def orchestrator() -> Orchestrator:
    return Orchestrator()


def options(url: str, **more: object) -> dict[str, Any]:
    return {
        "orch_url": url,
        "orch_token": "orch-secret",
        "capability_url": "http://runner:5000/",
        "register_backoff_s": 0.02,
        **more,
    }


async def predict(url: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(url + "/predict", json={"text": "ab"}) as response,
    ):
        return response.status


async def test_register_serve_unregister(orchestrator: Orchestrator):
    async with (
        serve_http(orchestrator.app()) as base,
        serve(TextReversal(), **options(base, capability_capacity=3)) as server,
    ):
        await server.wait_registered()
        ((path, secret, body),) = orchestrator.seen
        assert (path, secret) == ("/capability/register", "orch-secret")  # raw, no `Bearer`
        registered = json.loads(body)
        token = registered.pop("token")
        assert registered == {
            "name": "text-reversal",
            "description": "",
            "url": "http://runner:5000",
            "capacity": 3,
            "price_per_unit": 0,
            "price_scaling": 1,
            "currency": "wei",
        }
        # From now on only the orchestrator gets in.
        assert await predict(server.url) == 401
        assert await predict(server.url, Authorization="Bearer wrong") == 401
        assert await predict(server.url, Authorization="Bearer é") == 401
        assert await predict(server.url, Authorization=token) == 401
        assert await predict(server.url, Authorization=f"Bearer {token}") == 200
        async with aiohttp.ClientSession() as session, session.get(server.url + "/health") as r:
            assert r.status == 200
    assert orchestrator.seen[1:] == [("/capability/unregister", "orch-secret", b"text-reversal")]


async def test_without_an_orchestrator_any_token_is_ignored():
    async with serve(TextReversal()) as server:
        await server.wait_registered()
        assert await predict(server.url, Authorization="Bearer x") == 200


async def test_a_loading_model_is_not_registered(orchestrator: Orchestrator):
    loading = Loading()
    async with (
        serve_http(orchestrator.app()) as base,
        serve(loading, ready=False, **options(base)) as server,
    ):
        await asyncio.sleep(0.2)
        assert orchestrator.seen == []
        loading.go.set()
        await server.wait_registered()
        assert orchestrator.paths == ["register"]


async def test_server_errors_are_tried_again(orchestrator: Orchestrator):
    orchestrator.answers = [503, 500]
    async with (
        serve_http(orchestrator.app()) as base,
        serve(TextReversal(), **options(base)) as server,
    ):
        await server.wait_registered()
    assert orchestrator.paths == ["register"] * 3 + ["unregister"]


async def test_refused_connections_are_tried_again(
    orchestrator: Orchestrator, unused_tcp_port: int, caplog: pytest.LogCaptureFixture
):
    base = f"http://127.0.0.1:{unused_tcp_port}"
    runner = web.AppRunner(orchestrator.app(), access_log=None)
    await runner.setup()
    try:
        async with serve(TextReversal(), **options(base)) as server:
            while "trying again" not in caplog.text:  # noqa: ASYNC110 - a log sets no event
                await asyncio.sleep(0.01)
            assert await predict(server.url) == 200  # serves meanwhile, without a token
            await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()
            await server.wait_registered()
    finally:
        await runner.cleanup()
    assert "orch-secret" not in caplog.text


@pytest.mark.parametrize(
    ("status", "mend"), [(400, "ORCH_TOKEN"), (404, "ORCH_URL"), (405, "ORCH_URL")]
)
async def test_a_refusal_is_final_and_the_runner_serves(
    status: int, mend: str, orchestrator: Orchestrator, caplog: pytest.LogCaptureFixture
):
    orchestrator.answers = [status]
    orchestrator.text = "invalid authorization"
    async with (
        serve_http(orchestrator.app()) as base,
        serve(TextReversal(), **options(base)) as server,
    ):
        with pytest.raises(RegistrationError, match=mend) as caught:
            await server.wait_registered()
        assert (caught.value.status, caught.value.retryable) == (status, False)
        assert await predict(server.url) == 200
    assert orchestrator.paths == ["register"]
    assert "not registered" in caplog.text
    assert "orch-secret" not in caplog.text


async def test_giving_up_and_stopping_are_bounded(unused_tcp_port: int):
    base = f"http://127.0.0.1:{unused_tcp_port}"
    async with asyncio.timeout(5):
        async with serve(TextReversal(), **options(base, register_give_up_s=0.1)) as server:
            with pytest.raises(RegistrationError) as caught:
                await server.wait_registered()
            assert caught.value.retryable


def test_a_price_below_one_wei_is_sent_in_integers_with_a_warning(
    caplog: pytest.LogCaptureFixture,
):
    settings = Settings(**options("http://o", capability_price=Decimal("0.5")))
    registrar = byoc_registrar(settings, "X")
    sent = registrar.capability.to_json()
    assert (sent["price_per_unit"], sent["price_scaling"]) == (1, 2)
    assert "rounded to 0" in caplog.text
    assert str(sent["token"]) not in repr(registrar.capability)


@pytest.mark.parametrize("name", ["orch_url", "capability_url"])
def test_a_url_without_a_scheme_is_refused(name: str):
    settings = Settings(**(options("http://o") | {name: "host:5000"}))
    with pytest.raises(SettingsError, match=name.upper()):
        byoc_registrar(settings, "X")
