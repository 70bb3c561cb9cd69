"""BentoML, one worker: `bentoml serve _batch.subjects.bentoml:Service`.

The work and the concurrency are in the environment, for the service is imported by its workers.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Annotated

import bentoml
from bentoml.validators import ContentType

from _batch.models import Data, Nap, Prompt, Said, Token, Words, base64_of
from _batch.work import PAUSE_S, atokens, negative, repeated, tokens

CONCURRENCY = int(os.environ["BENCHMARK_CONCURRENCY"])
CONFIG = {
    "workers": 1,
    "threads": CONCURRENCY,
    "traffic": {"timeout": 300, "max_concurrency": CONCURRENCY},
    "logging": {"access": {"enabled": False}},
}


class Sync:
    @bentoml.api
    def predict(self, body: Words, /) -> Said:
        return Said(text=repeated(body.text, body.times))


class Async:
    @bentoml.api
    async def predict(self, body: Words, /) -> Said:
        return Said(text=repeated(body.text, body.times))


class Image:
    @bentoml.api
    def predict(self, body: Data, /) -> Data:
        return base64_of(negative(body.data))


class Base64:
    @bentoml.api
    def predict(self, body: Data, /) -> Data:
        return base64_of(body.data)


class Binary:
    @bentoml.api
    def predict(self, data: Path) -> Annotated[bytes, ContentType("application/octet-stream")]:
        return data.read_bytes()


class Items:
    @bentoml.api
    def predict(self, body: Prompt, /) -> Generator[str, None, None]:
        for text in tokens(body.count):
            yield f"data: {Token(text=text).model_dump_json()}\n\n"


class Paced:
    @bentoml.api
    def predict(self, body: Prompt, /) -> Generator[str, None, None]:
        for text in tokens(body.count, PAUSE_S):
            yield f"data: {Token(text=text).model_dump_json()}\n\n"


class AItems:
    @bentoml.api
    async def predict(self, body: Prompt, /) -> AsyncGenerator[str, None]:
        async for text in atokens(body.count):
            yield f"data: {Token(text=text).model_dump_json()}\n\n"


class APaced:
    @bentoml.api
    async def predict(self, body: Prompt, /) -> AsyncGenerator[str, None]:
        async for text in atokens(body.count, PAUSE_S):
            yield f"data: {Token(text=text).model_dump_json()}\n\n"


class Rest:
    @bentoml.api
    async def predict(self, body: Nap, /) -> Said:
        await asyncio.sleep(body.seconds)
        return Said(text="rested")


WORKS: dict[str, type[object]] = {
    "sync": Sync,
    "async": Async,
    "image": Image,
    "base64": Base64,
    "binary": Binary,
    "items": Items,
    "aitems": AItems,
    "paced": Paced,
    "apaced": APaced,
    "nap": Rest,
}

Service = bentoml.service(**CONFIG)(WORKS[os.environ["BENCHMARK_WORK"]])
