"""BentoML services as they are, over real sockets."""

from __future__ import annotations

from pathlib import Path

import bentoml
import pytest
from bentoml_programs import arrays, pictures, summarize
from calls import b64, example, of_data_url, png, served, size_of
from fastapi import FastAPI
from pydantic import BaseModel

from livepeer.runner.adapters.bentoml import adapt
from livepeer.runner.errors import PipelineDefinitionError


async def test_methods_hooks_and_dependencies():
    summarize.EVENTS.clear()
    async with served(adapt(summarize.Summarization, method="summarize")) as caller:
        assert summarize.EVENTS == ["deployed", "made", "cleaner up", "up"]
        status, answer = await caller.post(text="a   b c", options={"words": 3})
        assert (status, answer) == (200, {"text": "a b c", "length": 3})
        assert (await caller.post())[1] == {"text": "nothing at", "length": 2}
        assert await caller.post("/v1/count", texts=["a", "b"]) == (200, 2)
        assert await caller.events("/words", text="a b") == ["a", "b"]
        assert await caller.post("/summarization/health", loud=True) == (200, "POST TRUE")
        assert (await caller.fields())["text"]["description"] == "What to shorten"
        assert (await caller.post(options={"words": 0}))[0] == 422
        status, answer = await caller.post(text="secret")
        assert status == 400
        assert "not that one" in answer["detail"]
        await caller.health("OK")
        await caller.post(text="dead")
        await caller.health("ERROR")
    assert summarize.EVENTS[-1] == "down"


async def test_files_and_pictures():
    async with served(adapt(pictures.Pictures, method="rotate")) as caller:
        picture = ("in.png", "image/png", png(8, 2))
        status, kind, body = await caller.form(image=picture)
        assert (status, kind, size_of(body)) == (200, "image/png", (2, 8))
        status, kind, body = await caller.raw(image=b64(png(8, 2)), times=2)
        assert (status, kind, size_of(body)) == (200, "image/png", (8, 2))
        status, kind, body = await caller.form("/convert", source=picture)
        assert (status, kind) == (200, "image/jpeg")
        assert body.startswith(b"\xff\xd8")
        wrong = await caller.form("/convert", source=("in.gif", "image/gif", b"GIF89a"))
        assert wrong[0] == 422
        status, answer = await caller.post("/names", files=[b64(b"abc"), b64(b"d")])
        assert status == 200
        assert answer["names"] == ["file.bin", "file.bin"]
        assert of_data_url(answer["first"])[1] == b"abc"
        assert (await caller.post("/names", files=["/etc/passwd"]))[0] == 422


async def test_arrays_generators_and_input_specs():
    async with served(adapt(arrays.Arrays)) as caller:
        assert await caller.post(values=[[1, 2], [3, 4]]) == (200, [[2.0, 4.0], [6.0, 8.0]])
        assert (await caller.fields())["values"]["items"]["type"] == "array"
        assert await caller.post("/double", inputs=[1, 2]) == (200, [2, 4])
        assert await caller.events("/arrays/stream", prompt="hi") == ["hi 0", "hi 1"]
        assert (await caller.post("/arrays/stream", prompt=""))[0] == 422
        sound = await caller.events("/speak", voice=b64(b"\xff"), text="a b")
        assert sound == [b64(b"\xffa"), b64(b"\xffb")]
        assert (await caller.post("/arrays/stream", prompt="a", count=6))[0] == 422


class Holder(BaseModel):
    file: Path


def test_what_cannot_be_carried_over_is_said(caplog: pytest.LogCaptureFixture):
    @bentoml.asgi_app(FastAPI(), path="/v1")
    @bentoml.service
    class Mounted:
        @bentoml.api
        def read(self) -> str:
            raise AssertionError

    adapt(Mounted)
    assert "Mounted: the applications" in caplog.text

    @bentoml.service
    class Hidden:
        @bentoml.api
        def read(self, holder: Holder) -> str:
            return holder.file.read_text()

    with pytest.raises(PipelineDefinitionError, match="model with files"):
        adapt(Hidden)
    with pytest.raises(PipelineDefinitionError, match="has several"):
        adapt(summarize.Summarization)
    with pytest.raises(PipelineDefinitionError, match="no service"):
        adapt(object())


async def test_the_example_of_the_docs(tmp_path: Path):
    async with served(example("BentoML", tmp_path)) as caller:
        assert await caller.post(text="a b c d") == (200, "a b c")
