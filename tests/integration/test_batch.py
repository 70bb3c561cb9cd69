"""Batch jobs: answers, the author's and the caller's mistakes, time, bytes."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import TYPE_CHECKING, cast

import pytest
from pydantic import Base64Bytes, BaseModel, Field

from livepeer.client import ClientError, JobTimeout, NoOrchestrator, RunnerError
from livepeer.runner import Pipeline

if TYPE_CHECKING:
    from conftest import Network
    from livepeer.client import Client


class Answer(BaseModel):
    text: str
    length: int


class Doubler(Pipeline):
    async def predict(
        self, text: str, times: int = Field(2, ge=1), wait_s: float = 0, failure: str = ""
    ) -> Answer:
        await asyncio.sleep(wait_s)
        if failure:
            raise RuntimeError(failure)
        return Answer(text=text * times, length=len(text) * times)


class Blob(BaseModel):
    content: Base64Bytes


class Reverse(Pipeline):
    def predict(self, blob: Blob) -> Blob:
        return Blob.model_construct(content=blob.content[::-1])


@pytest.mark.signed
async def test_an_answer(network: Network, client: Client) -> None:
    text = 'a "quoted" <&>\n\u2028 [DONE] 雪 \U0001f600'
    async with network.serve(Doubler()) as runner:
        answer = await client.call(runner.name, {"text": text, "times": 3})
    assert answer == {"text": text * 3, "length": len(text) * 3}


async def test_many_answers_at_once(network: Network, client: Client) -> None:
    async with network.serve(Doubler()) as runner:
        answers = await asyncio.gather(
            *(client.call(runner.name, {"text": str(n), "wait_s": 0.05}) for n in range(4))
        )
    assert answers == [{"text": str(n) * 2, "length": 2} for n in range(4)]


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "text"),
        ({"text": "a", "times": 0}, "times"),
        ({"text": "a", "nonsense": 1}, "nonsense"),
    ],
)
async def test_a_payload_that_does_not_fit(
    network: Network, client: Client, payload: dict[str, object], field: str
) -> None:
    async with network.serve(Doubler()) as runner:
        with pytest.raises(RunnerError) as caught:
            await client.call(runner.name, payload)
    assert caught.value.status == 422
    assert not caught.value.retryable
    faults = cast("list[dict[str, list[str]]]", caught.value.detail)
    assert [fault["loc"][-1] for fault in faults] == [field]


async def test_what_the_author_raises(network: Network, way: str, client: Client) -> None:
    async with network.serve(Doubler()) as runner:
        with pytest.raises(ClientError) as caught:
            await client.call(runner.name, {"text": "a", "failure": "no luck"})
        if way == "direct":
            assert isinstance(caught.value, RunnerError)
            assert (caught.value.status, caught.value.detail) == (500, "RuntimeError: no luck")
        else:
            # A gateway goes on to its next orchestrator, and does not tell what the last one said.
            assert isinstance(caught.value, NoOrchestrator)
        assert await client.call(runner.name, {"text": "a"}) == {"text": "aa", "length": 2}


async def test_a_call_that_takes_too_long(network: Network, way: str, client: Client) -> None:
    async with network.serve(Doubler()) as runner:
        kind = JobTimeout if way == "direct" else NoOrchestrator
        with pytest.raises(kind) as caught:
            await client.call(runner.name, {"text": "a", "wait_s": 1.5}, timeout_s=1)
        assert caught.value.retryable
        # The capability stays, although the call's slot does not come back before it is over.
        assert await client.call(runner.name, {"text": "a"}) == {"text": "aa", "length": 2}


async def test_a_mebibyte_of_bytes_both_ways(network: Network, client: Client) -> None:
    content = random.Random(1).randbytes(1024 * 1024)
    payload = {"content": base64.b64encode(content).decode()}
    async with network.serve(Reverse()) as runner:
        answer = await client.call(runner.name, payload)
    assert isinstance(answer, dict)
    assert base64.b64decode(str(answer["content"])) == content[::-1]
