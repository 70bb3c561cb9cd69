"""cog's HTTP server: `python -m cog.server.http`, whose environment names a class of this file.

It takes no Pydantic models, and files as data URLs in JSON alone. Not `cog.py`, for it calls the
module by the name of its file.
"""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator

from cog import BaseRunner, streaming

from _batch.work import PAUSE_S, atokens, negative, repeated, tokens


class Sync(BaseRunner):
    def run(self, text: str, times: int = 1) -> str:
        return repeated(text, times)


class Async(BaseRunner):
    async def run(self, text: str, times: int = 1) -> str:
        return repeated(text, times)


class Image(BaseRunner):
    def run(self, data: str) -> str:
        return base64.b64encode(negative(base64.b64decode(data))).decode()


class Base64(BaseRunner):
    def run(self, data: str) -> str:
        return base64.b64encode(base64.b64decode(data)).decode()


class Items(BaseRunner):
    @streaming
    def run(self, count: int) -> Iterator[str]:
        yield from tokens(count)


class Paced(BaseRunner):
    @streaming
    def run(self, count: int) -> Iterator[str]:
        yield from tokens(count, PAUSE_S)


class AItems(BaseRunner):
    @streaming
    async def run(self, count: int) -> AsyncIterator[str]:
        async for text in atokens(count):
            yield text


class APaced(BaseRunner):
    @streaming
    async def run(self, count: int) -> AsyncIterator[str]:
        async for text in atokens(count, PAUSE_S):
            yield text


class Rest(BaseRunner):
    async def run(self, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "rested"
