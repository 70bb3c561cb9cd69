"""The client that authors' tests call a pipeline with."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read when it is served
from typing import TYPE_CHECKING, Annotated

import pytest

from livepeer.runner import ContentType, File, Pipeline, endpoint
from livepeer.runner.testing import Refused, StreamFailed, batch_session

if TYPE_CHECKING:
    from pathlib import Path


class Shop(Pipeline):
    def __init__(self) -> None:
        self.left_at: int | None = None

    def predict(self, name: str, times: int = 1) -> str:
        return f"Hello, {name}!" * times

    @endpoint
    def count(self, to: int, fail_at: int = -1) -> Iterator[dict[str, object]]:
        n = 0
        try:
            for n in range(to):
                if n == fail_at:
                    raise ValueError("no more")
                yield {"n": n, "text": "[DONE]\nand more: é"}
        finally:
            self.left_at = n

    @endpoint
    async def large(self) -> AsyncIterator[list[str]]:
        yield ["x" * 60_000] * 3

    @endpoint
    def turn(self, file: File, by: int) -> Annotated[bytes, ContentType("image/x-turned")]:
        return file.read()[::-1] * by


async def test_calls_and_their_answers(tmp_path: Path):
    picture = tmp_path / "picture.bin"
    picture.write_bytes(b"\x00\xff\x01")
    async with batch_session(Shop, auth_token="sesame") as session:
        assert await session.predict({"name": "Ada"}) == "Hello, Ada!"
        turned = await session.predict({"by": 2}, files={"file": picture}, path="/turn")
        assert turned == b"\x01\xff\x00" * 2
        assert (await session.get("/health"))[1]["status"] == "OK"
        with pytest.raises(Refused, match="times") as refused:
            await session.predict({"name": "Ada", "times": "many"})
        assert refused.value.status == 422
        assert json.loads(refused.value.body)["type"] == "InvalidParams"


async def test_items_as_they_come_their_errors_and_leaving_early():
    shop = Shop()
    async with batch_session(shop, queue=1) as session:
        items = [item async for item in session.stream({"to": 3}, path="/count")]
        assert items == [{"n": n, "text": "[DONE]\nand more: é"} for n in range(3)]
        assert [item async for item in session.stream(path="/large")] == [["x" * 60_000] * 3]

        failing = session.stream({"to": 9, "fail_at": 2}, path="/count")
        assert [await anext(failing) for _ in range(2)] == items[:2]
        with pytest.raises(StreamFailed, match="ValueError"):
            await anext(failing)

        endless = session.stream({"to": 10**9}, path="/count")
        assert await anext(endless) == items[0]
        await endless.aclose()
        assert await session.predict({"name": "Bob"}) == "Hello, Bob!"
        assert shop.left_at is not None
        assert 0 < shop.left_at < 10**9
