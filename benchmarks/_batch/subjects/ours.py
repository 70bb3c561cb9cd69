"""Ours, as an author serves it: `python -m _batch.subjects.ours WORK CONCURRENCY PORT`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator  # noqa: TC003 - read by the service
from importlib import import_module

from _batch.models import Data, Nap, Prompt, Said, Token, Words, base64_of
from _batch.work import PAUSE_S, atokens, negative, repeated, tokens
from livepeer.runner import Pipeline, serve
from livepeer.runner.settings import load_settings


class Sync(Pipeline):
    def predict(self, body: Words) -> Said:
        return Said(text=repeated(body.text, body.times))


class Async(Pipeline):
    async def predict(self, body: Words) -> Said:
        return Said(text=repeated(body.text, body.times))


class Image(Pipeline):
    def predict(self, body: Data) -> Data:
        return base64_of(negative(body.data))


class Base64(Pipeline):
    def predict(self, body: Data) -> Data:
        return base64_of(body.data)


class Items(Pipeline):
    def predict(self, body: Prompt) -> Iterator[Token]:
        for text in tokens(body.count):
            yield Token(text=text)


class Paced(Pipeline):
    def predict(self, body: Prompt) -> Iterator[Token]:
        for text in tokens(body.count, PAUSE_S):
            yield Token(text=text)


class AItems(Pipeline):
    async def predict(self, body: Prompt) -> AsyncIterator[Token]:
        async for text in atokens(body.count):
            yield Token(text=text)


class APaced(Pipeline):
    async def predict(self, body: Prompt) -> AsyncIterator[Token]:
        async for text in atokens(body.count, PAUSE_S):
            yield Token(text=text)


class Rest(Pipeline):
    async def predict(self, body: Nap) -> Said:
        await asyncio.sleep(body.seconds)
        return Said(text="rested")


WORKS: dict[str, type[Pipeline]] = {
    "sync": Sync,
    "async": Async,
    "image": Image,
    "base64": Base64,
    "items": Items,
    "aitems": AItems,
    "paced": Paced,
    "apaced": APaced,
    "nap": Rest,
}


def main(work: str, concurrency: int, port: int) -> None:
    # In a module of its own, for only this work needs files.
    cls: type[Pipeline] = (
        import_module("_batch.subjects.ours_binary").Binary if work == "binary" else WORKS[work]
    )
    settings = load_settings(
        host="127.0.0.1", port=port, concurrency=concurrency, log_level="warning"
    )
    serve(cls, settings=settings)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
