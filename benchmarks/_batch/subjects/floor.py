"""Bare FastAPI: the handler that an author would write, on uvicorn with its extras.

Run as `python -m _batch.subjects.floor WORK CONCURRENCY PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated

import anyio.to_thread
import uvicorn
from fastapi import FastAPI, File
from fastapi.responses import Response, StreamingResponse

from _batch.models import Data, Nap, Prompt, Said, Token, Words, base64_of
from _batch.work import PAUSE_S, atokens, negative, repeated, tokens

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

EVENTS = "text/event-stream"


def sync_work(body: Words) -> Said:
    return Said(text=repeated(body.text, body.times))


async def async_work(body: Words) -> Said:
    return Said(text=repeated(body.text, body.times))


def image(body: Data) -> Data:
    return base64_of(negative(body.data))


def base64(body: Data) -> Data:
    return base64_of(body.data)


def binary(data: Annotated[bytes, File()]) -> Response:
    return Response(data, media_type="application/octet-stream")


def items(body: Prompt) -> StreamingResponse:
    return StreamingResponse(_framed(tokens(body.count)), media_type=EVENTS)


def paced(body: Prompt) -> StreamingResponse:
    return StreamingResponse(_framed(tokens(body.count, PAUSE_S)), media_type=EVENTS)


async def aitems(body: Prompt) -> StreamingResponse:
    return StreamingResponse(_aframed(atokens(body.count)), media_type=EVENTS)


async def apaced(body: Prompt) -> StreamingResponse:
    return StreamingResponse(_aframed(atokens(body.count, PAUSE_S)), media_type=EVENTS)


async def nap(body: Nap) -> Said:
    await asyncio.sleep(body.seconds)
    return Said(text="rested")


def _framed(texts: Iterator[str]) -> Iterator[str]:
    for text in texts:
        yield f"data: {Token(text=text).model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"


async def _aframed(texts: AsyncIterator[str]) -> AsyncIterator[str]:
    async for text in texts:
        yield f"data: {Token(text=text).model_dump_json()}\n\n"
    yield "data: [DONE]\n\n"


async def health() -> dict[str, str]:
    return {"status": "OK"}


WORKS: dict[str, Callable[..., object]] = {
    "sync": sync_work,
    "async": async_work,
    "image": image,
    "base64": base64,
    "binary": binary,
    "items": items,
    "aitems": aitems,
    "paced": paced,
    "apaced": apaced,
    "nap": nap,
}


def main(work: str, concurrency: int, port: int) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = concurrency
        yield

    app = FastAPI(lifespan=lifespan)
    app.get("/health")(health)
    app.post("/predict")(WORKS[work])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
