"""Every error in one shape, from one table, and the names of requests."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator  # noqa: TC003 - read at run time
from typing import Any

import aiohttp
import pytest
from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from starlette.responses import JSONResponse

from livepeer.runner import Pipeline, Settings, make_app
from livepeer.runner._server.memory import is_out_of_memory
from livepeer.runner.errors import InputError
from livepeer.runner.testing import serve


class OutOfMemoryError(RuntimeError):
    """In the place of torch's, which is known by its name and its home."""


OutOfMemoryError.__module__ = "torch"


class TooLong(InputError):
    status = 413


class Item(BaseModel):
    n: int


class Unusual(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


class Failing(Pipeline):
    router = APIRouter()

    def predict(self, how: str = "no") -> str:
        if how == "input":
            raise InputError("it is no picture")
        if how == "long":
            raise TooLong("twenty pages at most")
        if how == "http":
            raise HTTPException(402, {"price": 3, "nan": float("nan")})
        if how == "header":
            raise HTTPException(
                400, "no", {"X-Own": "a\r\nX-Evil: 1", "X-Fine": "b", "X Name": "c"}
            )
        if how == "status":
            raise HTTPException(999, "what is that")
        if how == "memory":
            raise OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB")
        if how == "wrapped":
            raise ValueError("the model failed") from OutOfMemoryError("no memory")
        if how == "unusual":
            raise Unusual
        if how == "value":
            raise ValueError("secret path /srv/model.bin is broken \ud800")
        return how


@Failing.router.get("/own/unauthorized")
async def unauthorized() -> None:
    raise HTTPException(401, "who are you", {"WWW-Authenticate": "Basic"})


@Failing.router.get("/own/bare")
async def bare() -> JSONResponse:
    return JSONResponse({"mine": True}, 401)


@Failing.router.get("/own/fault")
async def fault() -> None:
    raise ValueError("not for the caller")


@Failing.router.post("/own/item")
async def item(given: Item) -> int:
    return given.n


class Tokens(Pipeline):
    def predict(self, fail: bool = False) -> Iterator[str]:
        yield "a"
        if fail:
            raise OutOfMemoryError("no memory")


class Answer:
    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def ask(url: str, method: str = "POST", body: Any = None, **headers: str) -> Answer:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, url, data=data, headers=headers) as response,
    ):
        return Answer(response.status, response.headers, await response.read())


@pytest.mark.parametrize(
    ("how", "status", "kind", "detail"),
    [
        ("input", 400, "InputError", "it is no picture"),
        ("long", 413, "TooLong", "twenty pages at most"),
        ("http", 402, "PaymentRequired", {"price": 3, "nan": None}),
        ("header", 400, "BadRequest", "no"),
        ("status", 500, "HTTPException", "HTTPException: 999: what is that"),
        ("memory", 503, "OutOfMemory", "OutOfMemoryError: CUDA out of memory"),
        ("wrapped", 503, "OutOfMemory", "ValueError: the model failed"),
        ("value", 500, "ValueError", "ValueError: secret path /srv/model.bin is broken ?"),
        ("unusual", 500, "Unusual", "Unusual: (its text cannot be had"),
    ],
)
async def test_what_the_author_raises(how: str, status: int, kind: str, detail: object):
    async with serve(Failing()) as server:
        answer = await ask(server.url + "/predict", body={"how": how})
    assert answer.status == status
    body = answer.json
    assert list(body)[:3] == ["detail", "type", "request_id"]
    assert body["type"] == kind
    if isinstance(detail, str):
        assert body["detail"].startswith(detail)
    else:
        assert body["detail"] == detail
    assert body["request_id"] == answer.headers["X-Request-ID"]
    assert b"Traceback" not in answer.body
    assert "X-Evil" not in answer.headers
    assert answer.headers.get("X-Fine") == ("b" if how == "header" else None)
    assert body.get("retry_after") == (1 if status == 503 else None)
    assert answer.headers.get("Retry-After") == ("1" if status == 503 else None)


async def test_what_routes_and_bodies_do_wrong():
    async with serve(Failing(), max_body_bytes=100) as server:
        for method, path, body, status, kind in (
            ("POST", "/nowhere", {}, 404, "NotFound"),
            ("GET", "/predict", None, 405, "MethodNotAllowed"),
            ("POST", "/predictions", {}, 404, "NotFound"),
            ("POST", "/predict/", {}, 404, "NotFound"),
            ("POST", "/predict", b"{", 400, "MalformedBody"),
            ("POST", "/predict", {"how": 5}, 422, "InvalidParams"),
            ("POST", "/predict", {"how": "x" * 200}, 413, "BodyTooLarge"),
            ("POST", "/own/item", {"n": "x"}, 422, "InvalidParams"),
            ("POST", "/own/item", {"n": "x" * 200}, 413, "BodyTooLarge"),
            ("GET", "/own/unauthorized", None, 403, "Forbidden"),
            ("GET", "/own/fault", None, 500, "InternalError"),
        ):
            answer = await ask(server.url + path, method, body)
            assert (answer.status, answer.json["type"]) == (status, kind), path
            assert list(answer.json) == ["detail", "type", "request_id"]
            assert answer.json["request_id"] == answer.headers["X-Request-ID"]
            assert b"not for the caller" not in answer.body


async def test_faults_name_the_field_and_do_not_repeat_what_was_sent():
    async with serve(Failing()) as server:
        for path in ("/predict", "/own/item"):
            answer = await ask(server.url + path, body={"how": 123454321, "n": "123454321"})
            assert answer.status == 422
            assert all(fault["loc"][0] == "body" for fault in answer.json["detail"])
            assert b"123454321" not in answer.body


async def test_json_needs_no_content_type_in_the_authors_routes_either():
    async with serve(Failing()) as server:
        for said in ("", "application/json", "application/vnd.own+json"):
            named = {"Content-Type": said}
            answer = await ask(server.url + "/own/item", body={"n": 5}, **named)
            assert (answer.status, answer.json) == (200, 5), said
            assert (await ask(server.url + "/own/item", body=b"{", **named)).status == 400


async def test_an_author_cannot_say_401():
    async with serve(Failing()) as server:
        answer = await ask(server.url + "/own/bare", "GET")
    # An orchestrator would take the capability off its list.
    assert (answer.status, answer.json) == (403, {"mine": True})


def test_an_input_error_has_a_callers_status():
    for status in (200, 401, 500):
        with pytest.raises(TypeError, match=r"write one from 400 to 499, but not 401"):
            type("Odd", (InputError,), {"status": status})


async def test_a_caller_may_name_the_request(caplog: pytest.LogCaptureFixture):
    async with serve(Failing(), version="1.2.3") as server:
        named = await ask(server.url + "/predict", body={"how": "value"}, **{"X-Request-ID": "a-1"})
        other = await ask(server.url + "/predict", **{"X-Request-ID": 'x"} forged'})
        fine = await ask(server.url + "/health", "GET", **{"X-Request-ID": "a-2"})
    assert (named.headers["X-Request-ID"], named.json["request_id"]) == ("a-1", "a-1")
    assert json.loads(named.headers["X-Metadata"])["request_id"] == "a-1"
    assert json.loads(named.headers["X-Metadata"])["version"] == "1.2.3"
    assert "forged" not in other.headers["X-Request-ID"]
    assert len(other.headers["X-Request-ID"]) >= 16
    assert fine.headers["X-Request-ID"] == "a-2"
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "ValueError" in caplog.text
    assert "Traceback" in caplog.text
    assert record.name.endswith("problems")


async def test_lines_of_the_log_name_their_request(capfd: pytest.CaptureFixture[str]):
    from livepeer.runner import Settings
    from livepeer.runner._logs import configure

    class Telling(Pipeline):
        def predict(self, n: int) -> int:
            logging.getLogger("author").warning("sync %d", n)
            return n

    class AsyncTelling(Pipeline):
        async def predict(self, n: int) -> int:
            await asyncio.to_thread(logging.getLogger("author").warning, "async %d", n)
            return n

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        configure(Settings(log_format="json"))
        for kind in (Telling, AsyncTelling):
            async with serve(kind()) as server:
                await ask(server.url + "/predict", body={"n": 1}, **{"X-Request-ID": "r-1"})
        configure(Settings(log_format="text", log_level="info"))
        async with serve(Telling()) as server:
            await ask(server.url + "/predict", body={"n": 2}, **{"X-Request-ID": "r-2"})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.captureWarnings(False)
    lines = [line for line in capfd.readouterr().err.splitlines() if "author" in line]
    assert [json.loads(line)["request_id"] for line in lines[:2]] == ["r-1", "r-1"]
    assert "author: [r-2] sync 2" in lines[2]


async def test_what_a_program_puts_in_front_sees_calls_too():
    app = make_app(Failing(), Settings())
    seen: list[str] = []

    class Watch:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            seen.append(scope.get("path", scope["type"]))
            await self.app(scope, receive, send)

    app.add_middleware(Watch)
    sent: list[Any] = []

    async def receive() -> Any:
        if len(seen) > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b'{"how": "fine"}'}

    async def send(message: Any) -> None:
        sent.append(message)

    lifecycle = app.state.lifecycle
    lifecycle.start()
    await lifecycle.wait_ready()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [],
        "query_string": b"",
    }
    await app(scope, receive, send)
    await lifecycle.close()
    assert seen == ["/predict"]
    assert (sent[0]["status"], sent[1]["body"]) == (200, b'"fine"')


@pytest.mark.parametrize("limit", [1, 2])
async def test_memory_that_runs_out_again_is_an_error_until_a_call_succeeds(limit: int):
    async def state(url: str) -> tuple[str, str | None]:
        health = (await ask(url + "/health", "GET")).json
        return health["status"], health.get("message")

    async with serve(Failing(), out_of_memory_limit=limit) as server:
        for _ in range(limit):
            assert (await state(server.url))[0] == "OK"
            assert (await ask(server.url + "/predict", body={"how": "memory"})).status == 503
        shown, message = await state(server.url)
        assert shown == "ERROR"
        assert f"the last {limit} calls" in str(message)
        assert (await ask(server.url + "/ready", "GET")).status == 503
        # A failure of another kind says nothing of the memory; a call that succeeds does.
        await ask(server.url + "/predict", body={"how": "value"})
        assert (await state(server.url))[0] == "ERROR"
        assert (await ask(server.url + "/predict", body={"how": "fine"})).status == 200
        assert await state(server.url) == ("OK", None)


async def test_memory_that_runs_out_within_a_stream_counts():
    async with serve(Tokens(), out_of_memory_limit=1) as server:
        answer = await ask(server.url + "/predict", body={"fail": True})
        assert answer.status == 200
        assert (await ask(server.url + "/health", "GET")).json["status"] == "ERROR"
        await ask(server.url + "/predict", body={})
        assert (await ask(server.url + "/health", "GET")).json["status"] == "OK"


def test_what_is_out_of_memory():
    torch = pytest.importorskip("torch")
    assert is_out_of_memory(torch.OutOfMemoryError("x"))
    assert is_out_of_memory(torch.cuda.OutOfMemoryError("x"))


@pytest.mark.parametrize(
    ("error", "is_so"),
    [
        (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be"), True),
        (RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (ValueError("CUDA out of memory"), False),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (MemoryError(), False),
    ],
)
def test_what_is_known_by_its_text(error: Exception, is_so: bool):
    assert is_out_of_memory(error) is is_so
