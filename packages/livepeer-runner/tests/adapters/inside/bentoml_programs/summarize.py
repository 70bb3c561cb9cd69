# ruff: noqa: B008 - as authors of BentoML write it
"""Text in and out, with lifecycle hooks, checks and a service that another depends on."""

from __future__ import annotations

import asyncio

import bentoml
from pydantic import BaseModel, Field

EVENTS: list[str] = []


class Options(BaseModel):
    words: int = Field(default=2, ge=1)


class Summary(BaseModel):
    text: str
    length: int


@bentoml.service
class Cleaner:
    @bentoml.on_startup
    def warm(self) -> None:
        EVENTS.append("cleaner up")

    @bentoml.api
    def clean(self, text: str) -> str:
        return " ".join(text.split())


@bentoml.service(resources={"cpu": "2"}, traffic={"timeout": 10})
class Summarization:
    """Summaries of text."""

    cleaner = bentoml.depends(Cleaner)

    def __init__(self) -> None:
        EVENTS.append("made")
        self.alive = True

    @bentoml.on_deployment
    def prepare() -> None:
        EVENTS.append("deployed")

    @bentoml.on_startup
    async def connect(self) -> None:
        await asyncio.sleep(0)
        EVENTS.append("up")

    @bentoml.on_shutdown
    def bye(self) -> None:
        EVENTS.append("down")

    def __is_alive__(self) -> bool:
        return self.alive

    @bentoml.api
    def summarize(
        self,
        text: str = Field(default="nothing at all", description="What to shorten"),
        options: Options = Options(),
    ) -> Summary:
        """Keep the first words."""
        if text == "secret":
            raise bentoml.exceptions.InvalidArgument("not that one")
        if text == "dead":
            self.alive = False
        words = self.cleaner.clean(text).split()[: options.words]
        return Summary(text=" ".join(words), length=len(words))

    @bentoml.api(route="/v1/count")
    async def count(self, texts: list[str], /) -> int:
        await asyncio.sleep(0)
        return len(texts)

    @bentoml.api
    async def words(self, text: str):
        for word in text.split():
            await asyncio.sleep(0)
            yield word

    @bentoml.api
    def health(self, ctx: bentoml.Context, loud: bool = False) -> str:
        ctx.response.status_code = 201
        return f"{ctx.request.method} {loud}".upper() if loud else str(len(ctx.request.headers))
