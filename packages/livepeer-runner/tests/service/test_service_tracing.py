"""Spans of requests, in a process of their own: a tracer provider is set once for a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

COMMON = """
import asyncio, json, sys
import aiohttp
from fastapi import HTTPException
from opentelemetry import trace
from livepeer.runner import Pipeline, Settings, make_app
from livepeer.runner.testing import serve

class Sample(Pipeline):
    def predict(self, fail: bool = False) -> str:
        with trace.get_tracer("author").start_as_current_span("model"):
            if fail:
                raise ValueError("secret of a caller")
        return "ok"

PARENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

async def calls(**options):
    async with serve(Sample(), **options) as server, aiohttp.ClientSession() as http:
        for body in ({}, {"fail": True}):
            headers = {"X-Request-ID": "r-1", **PARENT}
            async with http.post(server.url + "/predict", json=body, headers=headers) as answer:
                await answer.read()
        async with http.get(server.url + "/health") as answer:
            await answer.read()
"""

OF_THE_PROGRAM = (
    COMMON
    + """
class Span(trace.NonRecordingSpan):
    def __init__(self, name, parent):
        super().__init__(trace.SpanContext(1, 1, False))
        self.told = {"name": name, "parent": parent, "attributes": {}}
    def set_attribute(self, key, value):
        self.told["attributes"][key] = value
    def set_attributes(self, attributes):
        self.told["attributes"].update(attributes)
    def record_exception(self, exception, *_, **__):
        self.told["recorded"] = str(exception)

class Tracer(trace.NoOpTracer):
    def start_span(self, name, context=None, **options):
        parent = trace.get_current_span(context).get_span_context()
        span = Span(name, f"{parent.trace_id:032x}")
        span.set_attributes(options.get("attributes") or {})
        SPANS.append(span.told)
        return span

class Provider(trace.TracerProvider):
    def get_tracer(self, *_, **__):
        return Tracer()

SPANS = []
trace.set_tracer_provider(Provider())
asyncio.run(calls(tracing="on" in sys.argv))
print(json.dumps(SPANS))
"""
)

BY_OTLP = COMMON + "asyncio.run(calls(tracing=True, version='1.2.3'))\n"


def run(code: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_each_request_that_does_work_is_a_span():
    done = run(OF_THE_PROGRAM, "on")
    assert done.returncode == 0, done.stderr
    spans: list[dict[str, Any]] = [
        span for span in json.loads(done.stdout.splitlines()[-1]) if span["name"] != "model"
    ]
    assert len(spans) == 2  # none of /health
    for span, status in zip(spans, (200, 500), strict=True):
        assert span["parent"] == "0af7651916cd43dd8448eb211c80319c"
        attributes = span["attributes"]
        assert attributes["http.response.status_code"] == status
        assert attributes["url.path"] == "/predict"
        assert attributes["livepeer.request_id"] == "r-1"
    assert "secret" not in json.dumps(spans)


def test_without_the_setting_there_is_none_even_where_the_program_traces():
    done = run(OF_THE_PROGRAM)
    assert done.returncode == 0, done.stderr
    names = [span["name"] for span in json.loads(done.stdout.splitlines()[-1])]
    assert names == ["model", "model"]


def test_what_is_missing_is_told():
    code = (
        "import sys\nsys.modules['opentelemetry.sdk.trace'] = None\n"
        "sys.modules['opentelemetry.exporter'] = None\n" + COMMON
    )
    done = run(code + "make_app(Sample, Settings(tracing=True))")
    assert done.returncode != 0
    assert "SettingsError: LIVEPEER_TRACING needs livepeer-runner[otel]" in done.stderr


def test_spans_go_where_the_environment_says(tmp_path: Path):
    taken: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        options = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
        }
        done = run(BY_OTLP, **options)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    sent = b"".join(taken)
    for word in (b"sample", b"1.2.3", b"livepeer.request_id", b"r-1", b"model", b"/predict"):
        assert word in sent, word
    assert sent.count(b"/predict") >= 2
