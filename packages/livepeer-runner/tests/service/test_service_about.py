"""What a runner tells of itself: schema, documents, version, hardware, metrics."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator  # noqa: TC003 - read at run time
from types import ModuleType, SimpleNamespace
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, HTTPException
from prometheus_client.parser import text_string_to_metric_families as parse
from pydantic import BaseModel

from livepeer.runner import BaseParams, LivePipeline, Pipeline, PipelineSpec, Settings, make_app
from livepeer.runner.errors import InputError
from livepeer.runner.spec import path_of
from livepeer.runner.testing import serve


class Label(BaseModel):
    name: str
    score: float


class Sentiment(Pipeline):
    """Says how a text sounds."""

    router = APIRouter()

    def predict(self, text: str) -> Label:
        """Label a text."""
        if not text:
            raise InputError("no text")
        return Label(name="good", score=1)


@Sentiment.router.get("/own/{name}")
async def own(name: str) -> str:
    if name == "no":
        raise HTTPException(404, "no such name")
    return name


class Tokens(Pipeline):
    def predict(self, n: int) -> Iterator[int]:
        yield from range(n)


class Level(BaseParams):
    level: int = 60


class Dim(LivePipeline):
    """Makes it darker."""

    Params = Level


class Plain(LivePipeline):
    pass


async def ask(url: str, method: str = "GET", body: object = None) -> tuple[int, Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, json=body) as response,
    ):
        text = await response.text()
        is_json = response.content_type == "application/json"
        return response.status, json.loads(text) if is_json else text


async def test_callers_on_the_network_ask_for_the_schema_by_post():
    # As an orchestrator asks: any body, an empty content type, and no token of the operator's own.
    async with serve(Sentiment(), auth_token="secret") as server:
        _, schema = await ask(server.url + "/schema")
        async with (
            aiohttp.ClientSession() as session,
            session.post(
                server.url + "/schema", data=b"{}", headers={"Content-Type": ""}
            ) as response,
        ):
            assert (response.status, await response.json()) == (200, schema)
        assert "text" in json.dumps(schema)
    async with serve(Dim()) as server:
        _, schema = await ask(server.url + "/schema")
        assert await ask(server.url + "/schema", "POST", {}) == (200, schema)
        assert "level" in schema["params"]["properties"]


async def test_the_schema_of_a_batch_pipeline():
    async with serve(Sentiment(), version="2.0.0") as server:
        status, schema = await ask(server.url + "/schema")
        assert (await ask(server.url + "/schema"))[1] == schema
    assert status == 200
    assert {key: schema[key] for key in ("name", "description", "version", "kind")} == {
        "name": "sentiment",
        "description": "Says how a text sounds.",
        "version": "2.0.0",
        "kind": "batch",
    }
    endpoint = schema["endpoints"]["/predict"]
    assert (endpoint["description"], endpoint["stream"]) == ("Label a text.", False)
    assert "Label" in schema["$defs"]


async def test_the_schema_tells_a_stream():
    async with serve(Tokens()) as server:
        endpoint = (await ask(server.url + "/schema"))[1]["endpoints"]["/predict"]
    assert endpoint["stream"] is True
    assert endpoint["response"]["item"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("given", "name", "fields"),
    [
        (Dim, "dim", ["level"]),
        (Plain, "plain", None),
        (PipelineSpec("by-name", path_of(Plain), path_of(Level)), "by-name", ["level"]),
    ],
)
async def test_the_schema_of_a_live_pipeline(given: Any, name: str, fields: list[str] | None):
    async with serve(given) as server:
        schema = (await ask(server.url + "/schema"))[1]
    params = schema["params"]
    assert (schema["name"], schema["kind"]) == (name, "live")
    assert (None if params is None else list(params["properties"])) == fields


def test_the_documents_have_contracts_service_and_the_authors_routes():
    document = make_app(Sentiment, Settings()).openapi()
    paths = document["paths"]
    own_and_service = {"/own/{name}", "/health", "/ready", "/schema", "/version", "/hardware"}
    assert {"/predict", *own_and_service} <= set(paths)
    assert {"Label", "HealthResponse"} <= set(document["components"]["schemas"])


async def test_the_version_of_a_batch_runner():
    async with serve(Sentiment(), version="2.0.0", model_id="tone") as server:
        status, version = await ask(server.url + "/version")
    assert status == 200
    assert version.pop("runner")
    assert version == {"pipeline": "sentiment", "model_id": "tone", "version": "2.0.0"}


class NVMLError(Exception):
    pass


class FakeNVML(ModuleType):
    """One GPU, and a driver that does not tell its CUDA."""

    NVMLError = NVMLError

    def __init__(self, cuda: int | None) -> None:
        super().__init__("pynvml")
        self._cuda = cuda

    def __getattr__(self, name: str) -> Any:
        answers: dict[str, Any] = {
            "nvmlInit": None,
            "nvmlShutdown": None,
            "nvmlDeviceGetCount": 1,
            "nvmlDeviceGetHandleByIndex": 0,
            "nvmlDeviceGetUUID": "GPU-0",
            "nvmlDeviceGetName": "NVIDIA H100",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 << 30, free=79 << 30),
            "nvmlSystemGetDriverVersion": "580.65.06",
        }

        def answer(*_device: object) -> Any:
            if name == "nvmlSystemGetCudaDriverVersion_v2":
                if self._cuda is None:
                    raise NVMLError("Function Not Found")
                return self._cuda
            return answers[name]

        return answer


@pytest.mark.parametrize("given", [Sentiment, Plain])
@pytest.mark.parametrize(("cuda", "shown"), [(13000, "13.0"), (None, None)])
async def test_the_hardware(
    given: Any, cuda: int | None, shown: str | None, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "pynvml", FakeNVML(cuda))
    async with serve(given) as server:
        status, hardware = await ask(server.url + "/hardware")
    assert status == 200
    assert hardware.pop("cuda", None) == shown
    assert hardware == {
        "driver": "580.65.06",
        "gpus": [
            {
                "index": 0,
                "id": "GPU-0",
                "name": "NVIDIA H100",
                "memory_total": 80 << 30,
                "memory_free": 79 << 30,
            }
        ],
    }


async def test_a_machine_without_a_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)  # an import of it fails
    async with serve(Sentiment()) as server:
        assert await ask(server.url + "/hardware") == (200, {"gpus": []})


async def test_metrics_of_a_batch_runner():
    async with serve(Sentiment(), concurrency=3, auth_token=None) as server:
        for body, expected in (({"text": "a"}, 200), ({"text": "b"}, 200), ({"text": ""}, 400)):
            assert (await ask(server.url + "/predict", "POST", body))[0] == expected
        for name in ("a", "b", "c", "no"):
            await ask(f"{server.url}/own/{name}")
        await ask(server.url + "/never/seen/by/anyone")
        text = (await ask(server.url + "/metrics"))[1]
    samples = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in parse(text)
        for sample in family.samples
    }

    def requests(route: str, status: str) -> float:
        return samples["livepeer_requests_total", ("route", route), ("status", status)]

    assert requests("/predict", "200") == 2
    assert requests("/predict", "400") == 1
    assert requests("/own/{name}", "200") == 3
    assert requests("/own/{name}", "404") == 1
    assert requests("other", "404") == 1
    assert samples["livepeer_request_seconds_count", ("route", "/predict")] == 3
    bucket = ("livepeer_request_seconds_bucket", ("le", "+Inf"), ("route", "/predict"))
    assert samples[bucket] == 3
    assert 0 < samples["livepeer_request_seconds_sum", ("route", "/predict")] < 3
    assert samples["livepeer_requests_running",] == 0
    assert samples["livepeer_requests_waiting",] == 0
    assert samples["livepeer_requests_limit",] == 3
    assert samples["livepeer_out_of_memory_total",] == 0
    assert samples["process_start_time_seconds",] > 0


async def test_refusals_are_counted_and_take_no_time():
    async with serve(Sentiment(), auth_token="s3cret") as server:
        assert (await ask(server.url + "/predict", "POST", {"text": "a"}))[0] == 401
        text = (await ask(server.url + "/metrics"))[1]
    assert 'status="401"} 1.0' in text
    assert "livepeer_request_seconds_count" not in text


IMPORTS = """
import sys
from livepeer.runner import LivePipeline, Pipeline, Settings, make_app

class Batch(Pipeline):
    def predict(self, text: str) -> str:
        return text

class Live(LivePipeline):
    pass

make_app({kind}, Settings())
print(*(name for name in sys.modules if name.startswith(("livepeer.", "opentelemetry.sdk"))))
"""


def test_a_live_runner_does_not_load_what_batch_alone_needs():
    found = {
        kind: set(
            subprocess.run(
                [sys.executable, "-c", IMPORTS.format(kind=kind)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout.split()
        )
        for kind in ("Live", "Batch")
    }
    own = "livepeer.runner._server"
    batch_only = {f"{own}.{name}" for name in ("batch", "documents", "author_routes", "gate")}
    never = {f"{own}.{name}" for name in ("tracing", "metrics", "checkup")}
    assert batch_only <= found["Batch"]
    assert not batch_only & found["Live"]
    assert not (found["Batch"] | found["Live"]) & {*never, "opentelemetry.sdk"}
