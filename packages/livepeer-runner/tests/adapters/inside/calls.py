"""A caller of a served pipeline: JSON, forms and streams, over a real socket."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from livepeer.runner.spec import import_file
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Caller:
    """Calls what is served.

    Args:
        session: Whose base URL is the server's.
    """

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def post(self, path: str = "/predict", **body: Any) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        async with self._session.post(path, json=body) as answer:
            return answer.status, json.loads(await answer.read())

    async def send(self, path: str, body: object) -> tuple[int, Any]:
        """As `post`, with a body that is no object."""
        async with self._session.post(path, data=json.dumps(body)) as answer:
            return answer.status, json.loads(await answer.read())

    async def raw(self, path: str = "/predict", **body: Any) -> tuple[int, str, bytes]:
        """The status, the content type and the bytes of an answer."""
        async with self._session.post(path, json=body) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def form(self, path: str = "/predict", **parts: Any) -> tuple[int, str, bytes]:
        """Send a form; a part is text, or a name, a content type and bytes."""
        form = aiohttp.FormData()
        for name, part in parts.items():
            if isinstance(part, tuple):
                filename, content_type, content = part
                form.add_field(name, content, filename=filename, content_type=content_type)
            else:
                form.add_field(name, part)
        async with self._session.post(path, data=form) as answer:
            return answer.status, answer.content_type, await answer.read()

    async def events(self, path: str = "/predict", **body: Any) -> list[Any]:
        """The items of a stream that ends as it should; an error event as a mapping of its own."""
        async with self._session.post(path, json=body) as answer:
            assert answer.status == 200, await answer.text()
            assert answer.content_type == "text/event-stream"
            found = [one for one in (await answer.text()).split("\n\n") if one.strip()]
        assert found.pop() == "data: [DONE]"
        return [_item(event) for event in found if not event.startswith(":")]

    async def get(self, path: str) -> Any:
        """The JSON of a route that is read."""
        async with self._session.get(path) as answer:
            return await answer.json()

    async def ready(self) -> bool:
        """Whether it takes work."""
        async with self._session.get("/ready") as answer:
            return answer.status == 200

    async def health(self, status: str) -> None:
        """Wait until `/health` says so; the author's check is asked at an interval."""
        async with asyncio.timeout(10):
            while (await self.get("/health"))["status"] != status:  # noqa: ASYNC110 - by HTTP
                await asyncio.sleep(0.02)

    async def fields(self, path: str = "/predict") -> dict[str, Any]:
        """The properties of a route's body, as `/openapi.json` documents them."""
        document = await self.get("/openapi.json")
        content = document["paths"][path]["post"]["requestBody"]["content"]
        schema = content["application/json"]["schema"]
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        return schema.get("properties", {})


@asynccontextmanager
async def served(pipeline: Any, **options: Any) -> AsyncGenerator[Caller, None]:
    """Serve a pipeline, and call it."""
    chosen = {"healthcheck_interval_s": 0.05, **options}
    async with (
        serve(pipeline, **chosen) as server,
        aiohttp.ClientSession(server.url) as session,
    ):
        yield Caller(session)


@asynccontextmanager
async def serving(
    script: Path, **settings: object
) -> AsyncGenerator[tuple[Caller, asyncio.subprocess.Process], None]:
    """Run a script that serves, and call it once it is ready."""
    own = {f"LIVEPEER_{name.upper()}": str(value) for name, value in settings.items()}
    own["LIVEPEER_PORT"] = "0"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), env={**os.environ, **own}, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(20):
            while (said := b" at http://") not in (line := await process.stderr.readline()):
                assert line, "it has ended"
        url = "http://" + line.partition(said)[2].split()[0].decode()
        async with aiohttp.ClientSession(url) as session:
            caller = Caller(session)
            async with asyncio.timeout(20):
                while not await caller.ready():  # noqa: ASYNC110 - by HTTP
                    await asyncio.sleep(0.05)
            yield caller, process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def example(heading: str, folder: Path) -> Any:
    """The pipeline of a section's example in docs/adapters.md."""
    text = (Path(__file__).parents[5] / "docs" / "adapters.md").read_text(encoding="utf-8")
    section = text.partition(f"\n## {heading}\n")[2]
    source = section.partition("```python\n")[2].partition("```")[0]
    file = folder / f"example_{heading.lower()}.py"
    file.write_text(source)
    return import_file(file).pipeline


def b64(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode()


def png(width: int, height: int, color: str = "red") -> bytes:
    """A picture of one color."""
    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (width, height), color).save(buffer, "PNG")
    return buffer.getvalue()


def size_of(picture: bytes) -> tuple[int, int]:
    """Width and height of a picture."""
    from PIL import Image

    return Image.open(BytesIO(picture)).size


def of_data_url(url: str) -> tuple[str, bytes]:
    """The content type and the bytes of a `data:` URL."""
    head, _, text = url.partition(",")
    return head.removeprefix("data:").removesuffix(";base64"), base64.b64decode(text)


def _item(event: str) -> Any:
    lines = event.split("\n")
    data = json.loads("\n".join(line[6:] for line in lines if line.startswith("data: ")))
    return {"error": data} if "event: error" in lines else data
