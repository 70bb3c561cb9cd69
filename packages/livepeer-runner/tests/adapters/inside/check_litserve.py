"""LitServe APIs as they are, over real sockets."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import litserve
import pytest
from calls import b64, example, png, served
from litserve_programs import picture, square, tokens, uploads

from livepeer.runner.adapters.litserve import adapt
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from pathlib import Path


async def test_json_in_and_out():
    async with served(adapt(square.SquareAPI)) as caller:
        assert await caller.post(input=4) == (200, {"output": 16, "device": "cpu"})
        status, answer = await caller.post(input=-1)
        assert status == 406
        assert answer["detail"] == "no roots here"
        assert (await caller.post(other=1))[0] == 500
        await caller.health("OK")


async def test_an_api_that_is_unwell_says_so():
    async with served(adapt(square.SquareAPI, device="elsewhere")) as caller:
        await caller.health("ERROR")


async def test_a_typed_request_is_the_schema_and_a_response_its_bytes():
    async with served(adapt(picture.FlipAPI())) as caller:
        status, kind, body = await caller.raw(image_data=b64(png(3, 2)), blur=2)
        assert (status, kind) == (200, "image/png")
        assert body.startswith(b"\x89PNG")
        fields = await caller.fields()
        assert fields["blur"]["maximum"] == 3
        assert fields["blur"]["description"] == "How much"
        assert (await caller.post(image_data=b64(png(3, 2)), blur=9))[0] == 422


async def test_files_of_a_form_and_a_response_that_nobody_declared():
    async with served(adapt(uploads.Recognize)) as caller:
        large = ("in.png", "image/png", png(8, 6))
        status, _, body = await caller.form(request=large)
        assert (status, body) == (200, b'{"class":"large"}')
        assert await caller.post(request=b64(png(2, 2))) == (200, {"class": "small"})
        assert (await caller.post())[0] == 422
    async with served(adapt(uploads.Speak)) as caller:
        voice = ("ada.txt", "text/plain", b"calm")
        assert await caller.form(voice=voice, text="hi") == (200, "audio/wav", b"calm ada.txt: hi")


async def test_streams():
    async with served(adapt(tokens.Tokens(stream=True))) as caller:
        assert await caller.events(prompt="a", count=2) == [{"token": "a one"}, {"token": "a two"}]
        *items, error = await caller.events(prompt="a", count=4)
        assert len(items) == 3
        assert "IndexError" in str(error["error"])
        assert tokens.Tokens.closed == 2


async def test_async_streams_and_values():
    async with served(adapt(tokens.AsyncTokens(stream=True, enable_async=True))) as caller:
        assert [one["token"] for one in await caller.events(prompt="a")] == [
            "a one",
            "a two",
            "a three",
        ]
    with pytest.warns(UserWarning, match="asyncify"):
        api = tokens.AsyncUpper(enable_async=True)
    async with served(adapt(api)) as caller:
        assert await caller.post(text="loud") == (200, "LOUD")
        await caller.health("OK")


async def test_what_is_written_for_batches_gets_batches_of_one():
    async with served(adapt(tokens.Batched(max_batch_size=8))) as caller:
        assert await caller.post(input=1) == (200, {"output": 2})
    api = tokens.BatchedTokens(max_batch_size=4, stream=True)
    async with served(adapt(api)) as caller:
        assert await caller.events(count=3) == [{"n": 0}, {"n": 1}, {"n": 2}]


async def test_any_json_is_a_request():
    class Count(litserve.LitAPI):
        def setup(self, device):
            pass

        def predict(self, x):
            return len(x)

    async with served(adapt(Count)) as caller:
        assert await caller.send("/predict", [1, 2, 3]) == (200, 3)
        assert await caller.send("/predict", "ab") == (200, 2)


def test_what_cannot_be_carried_over_is_said(caplog: pytest.LogCaptureFixture):
    class Guarded(square.SquareAPI):
        def authorize(self, auth):
            raise AssertionError

    with caplog.at_level(logging.WARNING):
        adapt(Guarded)
    assert "authorize" in caplog.text
    with pytest.raises(PipelineDefinitionError, match="OpenAISpec"):
        adapt(square.SquareAPI(spec=litserve.OpenAISpec()))
    with pytest.raises(PipelineDefinitionError, match="no LitAPI"):
        adapt(object())


async def test_the_example_of_the_docs(tmp_path: Path):
    async with served(example("LitServe", tmp_path)) as caller:
        assert await caller.post(input=3) == (200, {"output": 9})
