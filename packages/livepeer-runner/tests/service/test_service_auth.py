"""Who needs the token, where its owner finds it, and which pages may call."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web
from fastapi import APIRouter

from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner._server.token_file import TokenFile
from livepeer.runner.settings import load_settings
from livepeer.runner.testing import serve
from livepeer.trickle.testing import serve as serve_http

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OPEN = (
    "/health",
    "/ready",
    "/schema",
    "/version",
    "/metrics",
    "/hardware",
    "/docs",
    "/redoc",
    "/openapi.json",
)


class Echo(Pipeline):
    router = APIRouter()

    def predict(self, text: str = "") -> str:
        return text


@Echo.router.get("/own/{name}")
async def own(name: str) -> str:
    return name


class Relay(LivePipeline):
    pass


class Slow(Pipeline):
    async def setup(self) -> None:
        await asyncio.Event().wait()

    def predict(self) -> str:
        return ""


class Orchestrator:
    """Takes every registration, and keeps the token of the last one."""

    token = ""

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/capability/register", self._register)
        app.router.add_post("/capability/unregister", self._answer)
        return app

    async def _register(self, request: web.Request) -> web.Response:
        known = json.loads(await request.read())
        self.token, self.capacity = known["token"], known["capacity"]
        return await self._answer(request)

    async def _answer(self, _request: web.Request) -> web.Response:
        return web.Response(text="ok")


async def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, Any, Any]:
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, url, json={} if method == "POST" else None) as response,
    ):
        body = await response.read()
        is_json = response.content_type == "application/json"
        return response.status, json.loads(body) if is_json else body, response.headers


async def test_only_routes_that_do_work_need_the_token():
    async with serve(Echo(), auth_token="s3cret") as server:
        for path in OPEN:
            assert (await ask(server.url + path))[0] == 200, path
        for method, path in (("POST", "/predict"), ("GET", "/own/a")):
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
                status, body, given = await ask(server.url + path, method, **headers)
                assert (status, body["type"]) == (401, "Unauthorized")
                assert body["request_id"] == given["X-Request-ID"]
                assert given["WWW-Authenticate"] == "Bearer"
                assert json.loads(given["X-Metadata"])["request_id"] == body["request_id"]
            right = {"Authorization": "bearer s3cret"}
            assert (await ask(server.url + path, method, **right))[0] == 200


async def test_what_no_route_serves_is_never_401():
    async with serve(Echo(), auth_token="s3cret") as server:
        for method, path, status in (
            ("GET", "/nowhere", 404),
            ("POST", "/nowhere", 404),
            ("GET", "/predict", 405),
            ("POST", "/health", 405),
            ("POST", "/stream/start", 401),  # another kind of runner serves it
        ):
            assert (await ask(server.url + path, method))[0] == status, path


async def test_a_live_runner_is_closed_in_the_same_way():
    async with serve(Relay(), auth_token="s3cret") as server:
        for path in OPEN:
            assert (await ask(server.url + path))[0] == 200, path
        for path in ("/stream/start", "/stream/params", "/stream/stop"):
            assert (await ask(server.url + path, "POST"))[0] == 401
        status, body, _ = await ask(server.url + "/live-video-to-video", "POST")
        assert (status, list(body)) == (401, ["detail"])
        assert "token" in body["detail"]["msg"]
        assert (await ask(server.url + "/predict", "POST"))[0] == 401


async def test_while_it_loads_nobody_learns_more_without_the_token():
    async with serve(Slow(), ready=False, auth_token="s3cret") as server:
        assert (await ask(server.url + "/predict", "POST"))[0] == 401
        right = {"Authorization": "Bearer s3cret"}
        assert (await ask(server.url + "/predict", "POST", **right))[0] == 503
        assert (await ask(server.url + "/nowhere", "POST", **right))[0] == 404


async def test_the_token_of_a_registration_is_its_owners_to_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    orchestrator, path = Orchestrator(), tmp_path / "token"
    path.write_text("of a runner that is gone")
    path.chmod(0o644)
    async with (
        serve_http(orchestrator.app()) as base,
        serve(Echo(), orch_url=base, token_file=path, concurrency=3) as server,
    ):
        await server.wait_registered()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() == orchestrator.token
        assert orchestrator.capacity == 3
        assert str(path) in caplog.text
        assert orchestrator.token not in caplog.text
        assert (await ask(server.url + "/health"))[1]["registration"] == "registered"
        bearer = {"Authorization": f"Bearer {path.read_text().strip()}"}
        assert (await ask(server.url + "/predict", "POST", **bearer))[0] == 200
        assert (await ask(server.url + "/predict", "POST"))[0] == 401
    assert os.listdir(tmp_path) == []


async def test_the_file_by_default_is_in_the_runtime_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    async with (
        serve_http(Orchestrator().app()) as base,
        serve(Echo(), orch_url=base) as server,
    ):
        await server.wait_registered()
        (path,) = (tmp_path / "livepeer").iterdir()
        assert path.name == f"runner-{os.getpid()}.token"
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not path.exists()


async def test_a_runner_that_cannot_write_it_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    nowhere = tmp_path / "no" / "such" / "folder" / "token"
    async with (
        serve_http(Orchestrator().app()) as base,
        serve(Echo(), orch_url=base, token_file=nowhere) as server,
    ):
        await server.wait_registered()
        assert "is in no file" in caplog.text
        assert (await ask(server.url + "/health"))[1]["registration"] == "registered"


def test_a_file_that_another_runner_took_over_stays(tmp_path: Path):
    path = tmp_path / "token"
    first, second = TokenFile(path), TokenFile(path)
    first.write("one")
    second.write("two")
    first.remove()
    assert path.read_text() == "two\n"
    second.remove()
    second.remove()
    assert not path.exists()


async def test_a_failed_registration_is_shown():
    async def refuse(_request: web.Request) -> web.Response:
        return web.Response(status=400, text="no")

    app = web.Application()
    app.router.add_post("/capability/register", refuse)
    async with serve_http(app) as base, serve(Echo(), orch_url=base) as server:
        async with asyncio.timeout(20):
            while (await ask(server.url + "/health"))[1]["registration"] != "failed":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert (await ask(server.url + "/predict", "POST"))[0] == 200  # nobody has a token


async def test_pages_of_others_are_not_let_in():
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    async with serve(Echo()) as server:
        _, _, headers = await ask(server.url + "/predict", "POST", **asked)
        assert "Access-Control-Allow-Origin" not in headers
        assert (await ask(server.url + "/predict", "OPTIONS", **asked))[0] == 405


async def test_pages_that_are_named_are_and_can_read_refusals(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LIVEPEER_CORS_ORIGINS", "https://page.example, https://other.example")
    assert load_settings().cors_origins == ("https://page.example", "https://other.example")
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    foreign = {**asked, "Origin": "https://foreign.example"}
    async with serve(Echo(), auth_token="s3cret") as server:
        status, _, headers = await ask(server.url + "/predict", "OPTIONS", **asked)
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, "https://page.example")
        assert (await ask(server.url + "/predict", "OPTIONS", **foreign))[0] == 400
        status, body, headers = await ask(server.url + "/predict", "POST", **asked)
        assert (status, body["type"]) == (401, "Unauthorized")
        assert headers["Access-Control-Allow-Origin"] == "https://page.example"
        assert "Access-Control-Allow-Credentials" not in headers
        assert "X-Request-ID" in headers["Access-Control-Expose-Headers"]
