"""fal apps as they are, over real sockets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fal
import pytest
from calls import b64, example, of_data_url, png, served, size_of
from fal_programs import chat, files, text_to_image
from fastapi import BackgroundTasks  # noqa: TC002 - the adapter evaluates annotations

from livepeer.runner.adapters.fal import adapt
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_model_in_and_pictures_out():
    async with served(adapt(text_to_image.TextToImage)) as caller:
        status, answer = await caller.post(prompt="a cat", num_images=2, image_size="square_hd")
        assert status == 200, answer
        assert answer["seed"] == 7
        assert answer["request_id"]
        assert [size_of(of_data_url(one["url"])[1]) for one in answer["images"]] == [(16, 16)] * 2
        assert answer["images"][0]["content_type"] == "image/png"
        fields = await caller.fields()
        assert fields["num_images"]["maximum"] == 4
        assert fields["prompt"]["description"] == "What to draw"
        assert (await caller.post(prompt="a cat", num_images=5))[0] == 422
        assert (await caller.post(num_images=1))[0] == 422
    assert text_to_image.TextToImage.ended == 1


async def test_errors_of_the_author_keep_their_status():
    async with served(adapt(text_to_image.TextToImage)) as caller:
        status, answer = await caller.post(prompt="nsfw")
        assert status == 422
        assert answer["detail"][0]["loc"] == ["body", "prompt"]
        status, answer = await caller.post(prompt="missing")
        assert (status, answer["detail"]) == (404, "no such style")
        await caller.health("OK")
        await caller.post(prompt="break")
        await caller.health("ERROR")


async def test_further_endpoints_are_at_their_paths():
    async with served(adapt(text_to_image.TextToImage)) as caller:
        url = f"data:image/png;base64,{b64(png(3, 2))}"
        status, answer = await caller.post("/image-to-image", image=url)
        assert status == 200, answer
        assert size_of(of_data_url(answer["images"][0]["url"])[1]) == (6, 4)
        assert (await caller.post("/image-to-image", image="file:///etc/passwd"))[0] == 422


async def test_files():
    async with served(adapt(files.Convert)) as caller:
        url = f"data:text/plain;base64,{b64(b'quiet')}"
        status, answer = await caller.post(file=url)
        assert status == 200, answer
        assert of_data_url(answer["result"]["url"]) == ("text/plain", b"QUIET")
        assert answer["result"]["file_name"] == "out.txt"


async def test_events_and_bare_parameters_of_an_async_app():
    async with served(adapt(chat.Chat)) as caller:
        assert await caller.post(prompt="ab") == (200, {"text": "abab", "user": "nobody"})
        assert list(await caller.fields()) == ["prompt", "times"]
        await caller.health("OK")
    async with served(adapt(chat.Chat, method="stream")) as caller:
        assert await caller.events("/chat/stream", prompt="a") == [
            {"output": "héllo"},
            {"output": "there"},
            "plain",
        ]
        *items, error = await caller.events("/chat/stream", prompt="a", fail=True)
        assert len(items) == 2
        assert "no more words" in str(error["error"])
        assert await caller.events("/undeclared", prompt="a") == [1]
        assert await caller.raw("/speech", text="a") == (200, "audio/wav", b"a None")


def test_what_is_no_app_is_refused():
    with pytest.raises(PipelineDefinitionError, match="no fal app"):
        adapt(int)

    class Late(fal.App):
        @fal.endpoint("/")
        def run(self, tasks: BackgroundTasks) -> str:
            raise AssertionError

    with pytest.raises(PipelineDefinitionError, match="`tasks` is a BackgroundTasks"):
        adapt(Late)


async def test_the_example_of_the_docs(tmp_path: Path):
    async with served(example("fal", tmp_path)) as caller:
        assert await caller.post(prompt="hi") == (200, {"text": "hi!"})
