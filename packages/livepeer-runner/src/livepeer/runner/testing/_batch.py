"""A batch pipeline behind its HTTP face, with a caller's hands on it."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from ._errors import Refused, StreamFailed
from ._serve import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from livepeer.runner._target import Servable

_JSON = "application/json"
_LONGEST_LINE = 1024 * 1024


class BatchSession:
    """A runner that is ready for calls. Made by `batch_session`.

    Attributes:
        runner_url: The runner's base URL.
    """

    def __init__(self, runner_url: str, http: aiohttp.ClientSession) -> None:
        self.runner_url = runner_url
        self._http = http

    async def predict(
        self,
        payload: Mapping[str, object] | None = None,
        *,
        files: Mapping[str, bytes | Path] | None = None,
        path: str = "/predict",
    ) -> Any:
        """Call the pipeline and wait for its answer.

        Args:
            payload: The fields of the request, as JSON has them.
            files: Fields that are files; with any, the request is a form.
            path: Of the route; that of a method with `@endpoint` is its name in kebab case.

        Returns:
            What the JSON says; bytes where the answer is no JSON.

        Raises:
            Refused: The answer was not 200.
        """
        async with self._post(path, payload, files) as response:
            body = await response.read()
            return json.loads(body) if response.content_type == _JSON else body

    async def stream(
        self,
        payload: Mapping[str, object] | None = None,
        *,
        files: Mapping[str, bytes | Path] | None = None,
        path: str = "/predict",
    ) -> AsyncGenerator[Any, None]:
        """Call the pipeline and take its items as they come; closed early, the caller leaves.

        Args:
            payload: As for `predict()`.
            files: As for `predict()`.
            path: As for `predict()`.

        Yields:
            What the JSON of each event says.

        Raises:
            Refused: The answer was not 200.
            StreamFailed: It told of an error, or ended without `[DONE]`.
        """
        async with self._post(path, payload, files) as response:
            async for kind, data in _events(response.content):
                if data == "[DONE]":
                    return
                if kind == "error":
                    raise StreamFailed(data)
                yield json.loads(data)
            raise StreamFailed("it ended without [DONE]")

    async def get(self, path: str) -> tuple[int, Any]:
        """Ask the runner for a JSON document, such as `/health`: the status and the document."""
        async with self._http.get(self.runner_url + path) as response:
            return response.status, await response.json()

    @asynccontextmanager
    async def _post(
        self,
        path: str,
        payload: Mapping[str, object] | None,
        files: Mapping[str, bytes | Path] | None,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        url = self.runner_url + path
        body = json.dumps(dict(payload or {})).encode() if not files else _form(payload, files)
        headers = {"Content-Type": _JSON} if not files else {}
        async with self._http.post(url, data=body, headers=headers) as response:
            if response.status != HTTPStatus.OK:
                raise Refused(path, response.status, await response.text())
            yield response


def _form(
    payload: Mapping[str, object] | None, files: Mapping[str, bytes | Path]
) -> aiohttp.FormData:
    form = aiohttp.FormData()
    for name, value in (payload or {}).items():
        form.add_field(name, value if isinstance(value, str) else json.dumps(value))
    for name, file in files.items():
        content = file.read_bytes() if isinstance(file, Path) else file
        form.add_field(name, content, filename=file.name if isinstance(file, Path) else name)
    return form


async def _events(source: aiohttp.StreamReader) -> AsyncGenerator[tuple[str, str], None]:
    """The events of a stream, each with its kind; comments are left out."""
    kind, data = "message", list[str]()
    while line := await source.readline():
        field, _, value = line.decode().rstrip("\r\n").partition(":")
        if field == "event":
            kind = value.removeprefix(" ")
        elif field == "data":
            data.append(value.removeprefix(" "))
        elif not line.strip():
            if data:
                yield kind, "\n".join(data)
            kind, data = "message", []


@asynccontextmanager
async def batch_session(
    pipeline: Servable, *, timeout_s: float = 30.0, **options: object
) -> AsyncGenerator[BatchSession, None]:
    """Serve a batch pipeline on a free loopback port, and call it: a real runner, real HTTP.

    Args:
        pipeline: As for `livepeer.runner.serve()`.
        timeout_s: How long one call may take, the whole of its stream included.
        options: Fields of `Settings`; an `auth_token` is sent with each call.

    Yields:
        The session, when `setup()` has returned.

    Raises:
        SetupFailed: `setup()` raised.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    token = options.get("auth_token")
    headers = {"Authorization": f"Bearer {token}"} if isinstance(token, str) else {}
    async with (
        serve(pipeline, ready=True, **options) as server,
        # Room for the longest line that a runner sends.
        aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=_LONGEST_LINE) as http,
    ):
        yield BatchSession(server.url, http)
