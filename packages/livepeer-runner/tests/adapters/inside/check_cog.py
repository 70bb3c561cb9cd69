# ruff: noqa: B006, UP045 - as authors of Cog write it
"""Cog predictors as they are, over real sockets."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Optional

import pytest
from calls import b64, example, of_data_url, png, served, serving, size_of
from cog import BasePredictor, Opaque
from cog_programs import frames, inspect_files, story

from livepeer.runner.adapters.cog import adapt
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.spec import path_of

PROGRAMS = Path(__file__).parent / "cog_programs"


async def test_a_picture_is_sent_as_a_form_and_comes_back_as_its_bytes():
    async with served(adapt(f"{PROGRAMS / 'resize.py'}:Predictor")) as caller:
        picture = ("in.png", "image/png", png(8, 6))
        status, kind, body = await caller.form(image=picture, scale="3")
        assert (status, kind) == (200, "image/png"), body
        assert size_of(body) == (26, 20)
        status, kind, body = await caller.form(
            image=picture, mask=("mask.png", "image/png", png(4, 4, "white"))
        )
        assert status == 200
        assert size_of(body) == (10, 10)


async def test_a_picture_in_json_is_base64_or_a_data_url():
    async with served(adapt(PROGRAMS / "resize.py")) as caller:
        url = f"data:image/png;base64,{b64(png(8, 6))}"
        status, kind, body = await caller.raw(image=url, filter="bicubic")
        assert (status, kind, size_of(body)) == (200, "image/png", (18, 14))
        assert (await caller.post(image="https://example.com/a.png"))[0] == 422
        assert (await caller.post(image="/etc/passwd"))[0] == 422


async def test_inputs_have_their_constraints():
    async with served(adapt(PROGRAMS / "resize.py")) as caller:
        fields = await caller.fields()
        assert list(fields) == ["image", "mask", "scale", "filter", "name"]
        assert fields["scale"]["minimum"] == 1
        assert fields["scale"]["maximum"] == 4
        assert fields["scale"]["default"] == 2
        assert fields["scale"]["description"] == "How many times"
        assert fields["scale"]["x-order"] == 2
        assert fields["filter"]["enum"] == ["nearest", "bicubic"]
        assert fields["name"]["pattern"] == "[a-z]+$"
        image = f"data:image/png;base64,{b64(png(2, 2))}"
        for wrong in (
            {},
            {"image": image, "scale": 5},
            {"image": image, "filter": "cubist"},
            {"image": image, "name": "9"},
            {"image": image, "name": "muchtoolong"},
            {"image": image, "other": 1},
        ):
            status, answer = await caller.post(**wrong)
            assert status == 422, (wrong, answer)


async def test_weights_come_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COG_WEIGHTS", "weights.bin")
    pipeline = adapt(PROGRAMS / "resize.py")()
    pipeline.setup()
    assert str(pipeline.unit.weights) == "weights.bin"


async def test_an_iterator_is_a_stream_that_says_how_it_ended():
    async with served(adapt(story.Predictor)) as caller:
        assert "".join(await caller.events(prompt="So,")) == "So, once upon a"
        *items, error = await caller.events(prompt="So,", fail_at=1)
        assert items == ["So,", " once"]
        assert "out of words" in json.dumps(error["error"])
        assert (await caller.post(prompt="So,", max_tokens=0))[0] == 422
        closed = story.Predictor.closed
        assert closed == 2
        async with caller._session.post("/predict", json={"prompt": "a", "max_tokens": 1000}) as go:
            await go.content.readany()
        async with asyncio.timeout(10):
            while story.Predictor.closed == closed:  # noqa: ASYNC110 - the author's class has no event
                await asyncio.sleep(0.01)


async def test_files_secrets_and_objects():
    async with served(adapt(inspect_files.Runner)) as caller:
        files = [b64(b"abc"), f"data:text/plain;base64,{b64(b'defg')}"]
        status, answer = await caller.post(files=files, token="open", options={"a": [1]})
        assert status == 200, answer
        kind, report = of_data_url(answer.pop("report"))
        assert (kind, report) == ("text/plain", b"2 files, 3, {'a': [1]}")
        assert answer == {
            "names": ["file.bin", "file.txt"],
            "total": 7,
            "mood": "calm",
            "note": None,
        }
        status, answer = await caller.post(files=files, token="knock")
        assert status == 500
        assert "knock" not in json.dumps(answer)
        assert (await caller.post(files=files, token="open", sizes=[10]))[0] == 422
        assert (await caller.post(files=files, token="open", mood="odd"))[0] == 422
        fields = await caller.fields()
        assert fields["token"]["format"] == "password"
        assert fields["token"]["writeOnly"] is True
        assert fields["sizes"]["items"]["maximum"] == 9


async def test_a_function_is_a_predictor():
    async with served(adapt(frames.predict)) as caller:
        items = await caller.events(count=3)
        assert [size_of(of_data_url(item)[1]) for item in items] == [(1, 1), (2, 2), (3, 3)]
        assert (await caller.post(color="ab"))[0] == 422


async def test_a_plain_instance_is_callable():
    pipeline = adapt(story.Predictor)()
    pipeline.setup()
    assert list(pipeline.predict(prompt="x", max_tokens=1)) == ["x", " once"]


class Storyteller(adapt(story.Predictor)):
    """Stories."""

    def healthcheck(self) -> str | None:
        return None if self.unit.words else "no words"


async def test_a_class_of_ones_own_has_a_name_and_more_hooks():
    assert path_of(Storyteller).endswith(":Storyteller")
    async with served(Storyteller) as caller:
        assert await caller.events(prompt="a", max_tokens=1) == ["a", " once"]
        document = await caller.get("/openapi.json")
        assert document["info"]["title"] == "Storyteller"
        assert document["info"]["description"] == "Stories."


def test_what_is_no_predictor_is_refused():
    class Neither(BasePredictor):
        pass

    with pytest.raises(PipelineDefinitionError, match="neither run"):
        adapt(Neither)
    with pytest.raises(PipelineDefinitionError, match="has no Nobody"):
        adapt(f"{PROGRAMS / 'story.py'}:Nobody")


class Checked(BasePredictor):
    well = True

    def healthcheck(self) -> bool:
        return self.well

    def predict(
        self, text: Optional[str], extra: Annotated[Path, Opaque] = {}, unwell: bool = False
    ) -> str:
        self.well = not unwell
        return f"{text} {extra}"


async def test_its_health_and_what_may_be_left_out():
    async with served(adapt(Checked)) as caller:
        assert await caller.post() == (200, "None {}")
        assert await caller.post(text="a", extra=[1]) == (200, "a [1]")
        await caller.health("OK")
        await caller.post(unwell=True)
        await caller.health("ERROR")


async def test_a_script_serves_it_in_model_processes(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(
        f"""
from livepeer.runner import serve
from livepeer.runner.adapters.cog import adapt

class Story(adapt("{PROGRAMS / "story.py"}:Predictor")):
    pass

serve(Story)
"""
    )
    async with serving(script, workers=2) as (caller, process):
        health = await caller.get("/health")
        pids = [worker["pid"] for worker in health["workers"]]
        assert len(set(pids)) == 2
        assert (await caller.post(prompt="a", max_tokens=0))[0] == 422
        assert await caller.events(prompt="a", max_tokens=1) == ["a", " once"]
        process.terminate()
        assert await process.wait() == 0
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


async def test_the_example_of_the_docs(tmp_path: Path):
    async with served(example("Cog", tmp_path)) as caller:
        assert await caller.post(name="Ada", times=2) == (200, "Hello, Ada! Hello, Ada! ")
