# ruff: noqa: RUF013 - as authors of Modal write it
"""Functions: plain, of bytes, async, generators, batched."""

import asyncio
from collections.abc import Iterator
from io import BytesIO

import modal
from fastapi.responses import StreamingResponse

app = modal.App("functions", secrets=[modal.Secret.from_dict({"TOKEN": "x"})])


@app.function(retries=2, timeout=60)
def square(x: int = 2) -> int:
    """Square it."""
    return x * x


@app.function()
def flip(picture: bytes) -> bytes:
    return picture[::-1]


@app.function()
def sizes(pictures: list[bytes]) -> dict[str, bytes | int]:
    return {"count": len(pictures), "first": BytesIO(pictures[0]).read()}


@app.function()
async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return "done"


@app.function()
def count(to: int) -> Iterator[int]:
    for n in range(to):
        if n == 3:
            raise OverflowError("three is enough")
        yield n


@app.function()
@modal.batched(max_batch_size=4, wait_ms=10)
def add(xs: list[int], ys: list[int]) -> list[int]:
    return [x + y for x, y in zip(xs, ys, strict=True)]


@app.function()
@modal.fastapi_endpoint(method="POST")
def draw(prompt: str, seed: int = None):
    from fastapi.responses import Response

    if seed == 0:
        return Response("not that one", status_code=404)
    return Response(content=f"{prompt} {seed}".encode(), media_type="image/png")


@app.function()
@modal.fastapi_endpoint()
async def tell(count: int = 2):
    async def words():
        for n in range(count):
            yield f"data: word {n}\n\n"

    return StreamingResponse(words(), media_type="text/event-stream")


@app.function()
def thumbnails(names: list[str]):
    return {name: b"\xff" + name.encode() for name in names}


@app.function()
@modal.asgi_app()
def web():
    raise AssertionError
