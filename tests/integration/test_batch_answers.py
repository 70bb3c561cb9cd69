"""Answers of batch calls byte by byte: what of them orchestrator and gateway let through."""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Iterator  # noqa: TC003 - read at run time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import aiohttp
import pytest
from fastapi import APIRouter, HTTPException
from starlette.responses import PlainTextResponse, Response

from livepeer.client import NoOrchestrator, RunnerError
from livepeer.runner import Pipeline, context, endpoint
from livepeer.runner.errors import InputError, OutOfMemory
from livepeer.runner.files import ContentType, File

if TYPE_CHECKING:
    from conftest import Network
    from livepeer.client import Client

WELL = "fine, \u96ea"
PNG = b"\x89PNG\r\n\x1a\n"


class Teapot(InputError):
    status = 418


class Fickle(Pipeline):
    """Fails as it is told to."""

    def predict(
        self, how: Literal["well", "input", "teapot", "http", "value", "memory", "late"]
    ) -> str:
        match how:
            case "well":
                return WELL
            case "input":
                raise InputError("too dark")
            case "teapot":
                raise Teapot("short and stout")
            case "http":
                raise HTTPException(401, "not yours")
            case "value":
                raise ValueError("no luck")
            case "memory":
                raise OutOfMemory("the picture is too large")
            case "late":
                until = time.monotonic() + 20
                while not context.cancelled() and time.monotonic() < until:
                    time.sleep(0.005)
                return "too late"


class Mirror(Pipeline):
    """Bytes backwards, behind the mark of a picture."""

    def predict(
        self, data: File, size: int | None = None
    ) -> Annotated[bytes, ContentType("image/png")]:
        return PNG + data.read()[::-1] if size is None else b"\0" * size


def is_silence(answer: aiohttp.ClientResponse, text: bytes) -> bool:
    """A gateway has asked everybody, and keeps to itself what they said."""
    return (answer.status, text) == (200, b"") and "X-Orchestrator-Url" not in answer.headers


def metadata(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    """What the runner says of its answer in the one header that is handed back."""
    told: dict[str, Any] = json.loads(answer.headers["X-Metadata"])
    return told


async def test_metadata_come_back(network: Network, way: str, client: Client) -> None:
    async with network.serve(Fickle(), version="1.2.3") as runner:
        async with network.post_job(way, runner.name, b'{"how":"well"}') as answer:
            assert answer.status == 200
            assert await answer.read() == f'"{WELL}"'.encode()
            told = metadata(answer)
            # A gateway leaves the type to be guessed.
            kind = "application/json" if way == "direct" else "text/plain; charset=utf-8"
            assert answer.headers["Content-Type"] == kind
        async with client.open_call(runner.name, {"how": "well"}) as again:
            other = json.loads(again.metadata)
        assert told.keys() == other.keys() == {"request_id", "version"}
        assert told["version"] == other["version"] == "1.2.3"
        # The caller's own names do not get through, so each request has another one.
        assert told["request_id"] != other["request_id"]


async def test_any_content_type_is_taken_for_json(network: Network, way: str) -> None:
    kinds = [None, "text/plain", "application/x-www-form-urlencoded", "application/octet-stream"]
    async with network.serve(Fickle()) as runner:
        for kind in kinds:
            body = b'{"how":"well"}'
            async with network.post_job(way, runner.name, body, content_type=kind) as answer:
                assert (answer.status, await answer.json(content_type=None)) == (200, WELL)


async def test_binary_in_and_out(network: Network, way: str, client: Client) -> None:
    async with network.serve(Mirror()) as runner:
        for size in (0, 1, 3 * 1024 * 1024):
            content = random.Random(size).randbytes(size)
            form = aiohttp.FormData()
            # In pieces: aiohttp warns of large bytes.
            form.add_field("data", io.BytesIO(content), filename="a.bin")
            async with network.post_job(way, runner.name, form, content_type=None) as answer:
                assert (answer.status, answer.headers["Content-Type"]) == (200, "image/png")
                assert await answer.read() == PNG + content[::-1]
            text = json.dumps({"data": base64.b64encode(content[:100]).decode()})
            async with network.post_job(way, runner.name, text.encode()) as answer:
                assert await answer.read() == PNG + content[:100][::-1]
        for size in (4, 0):
            payload = {"data": "", "size": size}
            async with network.post_job(way, runner.name, json.dumps(payload).encode()) as answer:
                assert (answer.status, await answer.read()) == (200, b"\0" * size)
                assert metadata(answer)
                if way == "gateway":
                    # By this a caller knows an empty answer from the failure of everybody.
                    assert answer.headers["X-Orchestrator-Url"] == network.orchestrator
        assert await client.call(runner.name, payload) is None


ERRORS = [
    (b'{"how":', 400, "MalformedBody", None),
    (b'{"how":"input"}', 400, "InputError", None),
    (b'{"how":"http"}', 403, "Forbidden", None),
    (b'{"how":"well","x":"' + b"x" * 1000 + b'"}', 413, "BodyTooLarge", None),
    (b'{"how":"teapot"}', 418, "Teapot", None),
    (b'{"how":"so"}', 422, "InvalidParams", None),
    (b'{"how":"value"}', 500, "ValueError", None),
    (b'{"how":"memory"}', 503, "OutOfMemory", 1),
]


async def test_errors(network: Network, way: str) -> None:
    async with network.serve(Fickle(), max_body_bytes=1000) as runner:
        for body, status, kind, retry_after in ERRORS:
            async with network.post_job(way, runner.name, body) as answer:
                text = await answer.read()
                if way == "gateway" and status >= 500:
                    assert is_silence(answer, text)
                    continue
                assert answer.status == status
                assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
                # One newline more for each that it came by.
                assert text.removeprefix(text.rstrip(b"\n")) == b"\n" * (1 + (way == "gateway"))
                problem = json.loads(text)
                assert (problem["type"], problem.get("retry_after")) == (kind, retry_after)
                if way == "direct":
                    told = metadata(answer)
                    assert told["request_id"] == problem["request_id"]
                    assert told.get("retry_after") == retry_after
        # None of them costs the capability its place.
        async with network.post_job(way, runner.name, b'{"how":"well"}') as answer:
            assert (answer.status, await answer.json(content_type=None)) == (200, WELL)


async def test_a_deadline_of_the_runners(network: Network, way: str) -> None:
    async with (
        network.serve(Fickle(), predict_timeout_s=0.3) as runner,
        network.post_job(way, runner.name, b'{"how":"late"}') as answer,
    ):
        text = await answer.read()
        if way == "gateway":
            assert is_silence(answer, text)
        else:
            assert (answer.status, json.loads(text)["type"]) == (504, "DeadlinePassed")


class Routed(Pipeline):
    """Has more to offer than `predict`."""

    router: ClassVar[APIRouter] = APIRouter()

    def predict(self, text: str) -> str:
        return text.upper()

    @endpoint
    def spell_out(self, text: str) -> Iterator[str]:
        yield from text


@Routed.router.post("/own/{status}")
def own(status: int) -> Response:
    return PlainTextResponse("my own", status)


async def test_what_is_beside_predict(network: Network, way: str, client: Client) -> None:
    async with network.serve(Routed()) as runner:
        spelt = client.call_events(runner.name, {"text": "abc"}, route="spell-out")
        assert [letter async for letter in spelt] == ["a", "b", "c"]
        # An orchestrator would take the 401 for its order to drop the capability.
        for given, status in ((201, 200), (401, 403), (409, 409)):
            route = f"own/{given}"
            async with network.post_job(way, runner.name, b"", route=route) as answer:
                assert (answer.status, (await answer.read()).strip()) == (status, b"my own")
        assert await client.call(runner.name, {"text": "abc"}) == "ABC"


async def test_errors_as_the_client_tells_them(network: Network, way: str, client: Client) -> None:
    async with network.serve(Fickle()) as runner:
        with pytest.raises(RunnerError) as caught:
            await client.call(runner.name, {"how": "teapot"})
        assert (caught.value.status, caught.value.detail) == (418, "short and stout")
        assert not caught.value.retryable
        with pytest.raises(RunnerError if way == "direct" else NoOrchestrator) as late:
            await client.call(runner.name, {"how": "memory"})
        assert late.value.retryable
