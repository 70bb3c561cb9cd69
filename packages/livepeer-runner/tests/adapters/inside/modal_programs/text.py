"""A class with lifecycle, parameters and several methods."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import modal
from pydantic import Field

app = modal.App("text")
image = modal.Image.debian_slim().pip_install("torch")
EVENTS: list[str] = []

with image.imports():
    import a_package_that_is_only_in_the_image  # noqa: F401


@app.cls(image=image, gpu="A10G", scaledown_window=60, enable_memory_snapshot=True)
@modal.concurrent(max_inputs=4)
class Model:
    """Text of a size."""

    size: str = modal.parameter(default="small")
    count: int = modal.parameter(default=2)

    @modal.enter(snap=True)
    def load(self):
        EVENTS.append("load")
        self.words = [f"{self.size}-{n}" for n in range(self.count)]

    @modal.enter()
    async def connect(self):
        await asyncio.sleep(0)
        EVENTS.append("connect")

    @modal.exit()
    def leave(self):
        EVENTS.append("leave")

    @modal.method()
    def predict(self, prompt: str, n: Annotated[int, Field(ge=1, le=9)] = 1) -> str:
        """Answer it."""
        return f"{prompt} {self.words[0]}" * n

    @modal.method()
    async def stream(self, prompt: str) -> AsyncIterator[str]:
        for word in self.words:
            await asyncio.sleep(0)
            yield f"{prompt} {word}"

    @modal.method()
    def both_lengths(self, prompt: str) -> list[int]:
        return [len(prompt), len(self.predict.local(prompt))]

    @modal.asgi_app()
    def page(self):
        raise AssertionError

    @modal.fastapi_endpoint(method="POST")
    def web(self, prompt: str = "nothing") -> dict:
        return {"prompt": prompt}


@app.cls()
class Sized:
    path: str = modal.parameter()

    @modal.method()
    def where(self) -> str:
        return self.path


@app.cls()
class Batched:
    @modal.batched(max_batch_size=4, wait_ms=10)
    async def double(self, xs: list[int]) -> list[int]:
        return [x * 2 for x in xs]
