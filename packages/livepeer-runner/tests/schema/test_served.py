"""What authors may write, over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read at run time
from typing import TYPE_CHECKING, Annotated, Any

import aiohttp
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from livepeer.runner import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.files import ContentType, File
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    import pytest

PNG = b"\x89PNG\xff\x00" * 1000


class Box(BaseModel):
    x: int
    y: int = 0


class Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")
    x: int


class Images(Pipeline):
    """Has every kind of endpoint."""

    def __init__(self) -> None:
        self.router = APIRouter(prefix="/v1")
        self.router.add_api_route("/models", self.models)
        self.seen: str | None = None

    def models(self) -> list[str]:
        return [type(self).__name__]

    def predict(
        self, image: File, turn: Annotated[int, Field(ge=0)] = 0
    ) -> Annotated[bytes, ContentType("image/png")]:
        return image.read()[turn:]

    @endpoint
    def describe_image(self, image: File, box: Box | None = None) -> dict[str, object]:
        return {"name": image.name, "type": image.content_type, "size": image.size, "box": box}

    @endpoint
    async def convert(self, to: str) -> File:
        return File(b"bytes", name=f"out.{to}")

    @endpoint
    def count(self, to: int) -> Iterator[Box]:
        for x in range(to):
            yield Box(x=x)

    @endpoint
    def count_later(self, to: int) -> AsyncIterator[int]:
        return self._numbers(to)

    async def _numbers(self, to: int) -> AsyncIterator[int]:
        for x in range(to):
            yield x

    @endpoint
    def strict(self, box: Box) -> int:
        return box.x

    @endpoint
    def lenient(self, box: Lenient) -> int:
        return box.x

    @endpoint
    def login(self, key: SecretStr, old: Annotated[int, Field(deprecated=True)] = 0) -> int:
        self.seen = key.get_secret_value()
        return old


async def post(url: str, path: str, **request: Any) -> tuple[int, str, bytes]:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + path, **request) as response,
    ):
        return response.status, response.headers["Content-Type"], await response.read()


def form(**fields: Any) -> aiohttp.FormData:
    made = aiohttp.FormData()
    for name, value in fields.items():
        if isinstance(value, bytes):
            made.add_field(name, value, filename="in.png", content_type="image/png")
        else:
            made.add_field(name, value)
    return made


async def test_a_picture_in_and_out():
    async with serve(Images()) as server:
        assert await post(server.url, "/predict", data=form(image=PNG, turn="3")) == (
            200,
            "image/png",
            PNG[3:],
        )
        status, kind, body = await post(
            server.url, "/describe-image", data=form(image=PNG, box='{"x":1}')
        )
        assert (status, kind) == (200, "application/json")
        assert json.loads(body) == {
            "name": "in.png",
            "type": "image/png",
            "size": len(PNG),
            "box": {"x": 1, "y": 0},
        }
        status, _, body = await post(server.url, "/predict", data=form(image=PNG, turn="-1"))
        assert status == 422
        assert json.loads(body)["detail"][0]["loc"] == ["body", "turn"]
        status, _, _ = await post(
            server.url,
            "/predict",
            data=b"--b\r\ncut",
            headers={"Content-Type": "multipart/form-data; boundary=b"},
        )
        assert status == 400


async def test_a_picture_in_json():
    async with serve(Images()) as server:
        assert await post(server.url, "/predict", json={"image": "AAEC"}) == (
            200,
            "image/png",
            b"\x00\x01\x02",
        )
        status, _, body = await post(server.url, "/predict", json={"image": "no base64"})
        assert status == 422
        assert b"no base64 text" in body


async def test_a_file_says_what_it_is():
    async with serve(Images()) as server:
        assert await post(server.url, "/convert", json={"to": "png"}) == (
            200,
            "image/png",
            b"bytes",
        )
        assert (await post(server.url, "/convert", json={"to": "what"}))[1] == (
            "application/octet-stream"
        )


async def test_streams_of_endpoints():
    async with serve(Images()) as server:
        status, kind, body = await post(server.url, "/count", json={"to": 2})
        assert (status, kind) == (200, "text/event-stream")
        assert body == b'data: {"x":0,"y":0}\n\ndata: {"x":1,"y":0}\n\ndata: [DONE]\n\n'
        _, _, body = await post(server.url, "/count-later", json={"to": 2})
        assert body == b"data: 0\n\ndata: 1\n\ndata: [DONE]\n\n"


async def test_unknown_fields_of_models_are_refused_unless_they_say_otherwise():
    async with serve(Images()) as server:
        status, _, body = await post(server.url, "/strict", json={"x": 1, "z": 2})
        assert status == 422
        assert json.loads(body)["detail"][0]["loc"] == ["body", "z"]
        status, _, body = await post(
            server.url, "/describe-image", json={"image": "", "box": {"x": 1, "z": 2}}
        )
        assert status == 422
        assert json.loads(body)["detail"][0]["loc"][-1] == "z"
        assert (await post(server.url, "/lenient", json={"x": 1, "z": 2}))[0] == 200


async def test_a_secret_is_in_no_answer_and_no_log(caplog: pytest.LogCaptureFixture):
    caplog.set_level("DEBUG")
    images = Images()
    async with serve(images) as server:
        assert (await post(server.url, "/login", json={"key": "hunter2", "old": 1}))[2] == b"1"
        assert images.seen == "hunter2"
        for wrong in ({"key": ["hunter2"]}, {"key": "hunter2", "old": "hunter2"}):
            status, _, body = await post(server.url, "/login", json=wrong)
            assert status == 422
            assert b"hunter2" not in body
    assert "hunter2" not in caplog.text


async def test_the_documents_have_all_of_it():
    async with serve(Images()) as server, aiohttp.ClientSession() as session:
        async with session.get(server.url + "/openapi.json") as response:
            document = await response.json()
        async with session.get(server.url + "/v1/models") as response:
            assert await response.json() == ["Images"]
        async with session.get(server.url + "/schema") as response:
            schema = await response.json()
    paths = {
        "/predict",
        "/describe-image",
        "/convert",
        "/count",
        "/count-later",
        "/strict",
        "/lenient",
        "/login",
    }
    assert paths | {"/v1/models", "/health"} <= set(document["paths"])
    assert set(schema["endpoints"]) == paths
    assert set(document["paths"]["/predict"]["post"]["requestBody"]["content"]) == {
        "application/json",
        "multipart/form-data",
    }
    count = document["paths"]["/count"]["post"]["responses"]["200"]["content"]
    assert count["text/event-stream"]["x-livepeer-stream"]["item"] == {
        "$ref": "#/components/schemas/Box"
    }
