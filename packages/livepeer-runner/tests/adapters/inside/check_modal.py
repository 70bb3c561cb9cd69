"""Modal classes and functions as they are, over real sockets."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from calls import b64, example, served
from modal_programs import functions, text

from livepeer.runner.adapters.modal import adapt
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_class_with_its_hooks_parameters_and_methods(caplog: pytest.LogCaptureFixture):
    text.EVENTS.clear()
    async with served(adapt(text.Model, parameters={"size": "big"})) as caller:
        assert text.EVENTS == ["load", "connect"]
        assert await caller.post(prompt="a") == (200, "a big-0")
        assert (await caller.post(prompt="a", n=10))[0] == 422
        assert (await caller.fields())["n"]["maximum"] == 9
        assert await caller.events("/model/stream", prompt="a") == ["a big-0", "a big-1"]
        assert await caller.post("/both-lengths", prompt="a") == (200, [1, 7])
        assert await caller.post("/web") == (200, {"prompt": "nothing"})
        assert text.EVENTS == ["load", "connect"]
    assert text.EVENTS == ["load", "connect", "leave"]
    assert "Model.page() is left out" in caplog.text


async def test_parameters_that_are_missing_or_unknown_are_named():
    with pytest.raises(PipelineDefinitionError, match="path"):
        adapt(text.Sized)
    with pytest.raises(PipelineDefinitionError, match="nothing"):
        adapt(text.Model, parameters={"nothing": 1})
    async with served(adapt(text.Sized, parameters={"path": "/models"})) as caller:
        assert await caller.post() == (200, "/models")


async def test_functions():
    async with served(adapt(functions.square)) as caller:
        assert await caller.post(x=5) == (200, 25)
        assert await caller.post() == (200, 4)
        assert (await caller.post(x="five"))[0] == 422
        document = await caller.get("/openapi.json")
        assert document["info"]["description"] == "Square it."
    async with served(adapt(functions.wait)) as caller:
        assert await caller.post(seconds=0.01) == (200, "done")


async def test_bytes_are_files():
    async with served(adapt(functions.flip)) as caller:
        assert (await caller.raw(picture=b64(b"abc")))[2] == b"cba"
        picture = ("in.bin", "application/octet-stream", b"abc")
        assert await caller.form(picture=picture) == (200, "application/octet-stream", b"cba")
    async with served(adapt(functions.sizes)) as caller:
        status, answer = await caller.post(pictures=[b64(b"abc"), b64(b"d")])
        assert status == 200, answer
        assert answer["count"] == 2
        assert base64.b64decode(answer["first"]) == b"abc"


async def test_responses_of_fastapi_are_answered_as_they_are():
    async with served(adapt(functions.draw)) as caller:
        assert await caller.raw(prompt="a") == (200, "image/png", b"a None")
        assert await caller.raw(prompt="a", seed=3) == (200, "image/png", b"a 3")
        status, answer = await caller.post(prompt="a", seed=0)
        assert (status, answer["detail"]) == (404, "not that one")
    async with served(adapt(functions.tell)) as caller:
        assert await caller.events(count=2) == ["word 0", "word 1"]
    async with served(adapt(functions.thumbnails)) as caller:
        assert await caller.post(names=["a"]) == (200, {"a": b64(b"\xffa")})


async def test_a_generator_is_a_stream():
    async with served(adapt(functions.count)) as caller:
        assert await caller.events(to=2) == [0, 1]
        *items, error = await caller.events(to=5)
        assert items == [0, 1, 2]
        assert "three is enough" in str(error["error"])


async def test_batched_functions_take_and_give_single_values():
    async with served(adapt(functions.add)) as caller:
        assert await caller.post(xs=1, ys=2) == (200, 3)
        assert (await caller.post(xs=[1], ys=[2]))[0] == 422
    async with served(adapt(text.Batched)) as caller:
        assert await caller.post(xs=4) == (200, 8)


def test_what_cannot_be_carried_over_is_said():
    with pytest.raises(PipelineDefinitionError, match="web application"):
        adapt(functions.web)
    with pytest.raises(PipelineDefinitionError, match="neither"):
        adapt(print)


async def test_the_example_of_the_docs(tmp_path: Path):
    async with served(example("Modal", tmp_path)) as caller:
        assert await caller.post(name="Ada") == (200, "Hi, Ada!")
