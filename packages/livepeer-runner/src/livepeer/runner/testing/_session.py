"""One live stream through a pipeline, with a caller's hands on its channels."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from livepeer.trickle import (
    JSONLSubscriber,
    JSONSubscriber,
    TricklePublisher,
    TrickleServer,
    TrickleSubscriber,
)
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.media import AudioFrame, BytePipe, MediaReader, VideoFrame

from ._clip import read_clip
from ._errors import Refused
from ._serve import serve

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping
    from pathlib import Path

    from pydantic import JsonValue

    from livepeer.runner._target import Servable

SEGMENTS = 1024
"""How many segments a channel of a session holds, so that nobody is ever too late."""

_SETTINGS: Mapping[str, object] = {
    "live_policy": "wait",
    "stats_interval_s": 0.1,
    "output_linger_s": 0.5,
}
_POLL_S = 0.01


class LiveSession:
    """A stream that runs. Made by `live_session`.

    Attributes:
        runner_url: The runner's base URL.
        stream_id: The network's name for the stream.
        control_url: The stream's control channel, to publish updates and keep-alives.
        events: What came on the events channel so far.
        data: What came on the data channel so far.
    """

    def __init__(
        self,
        runner_url: str,
        trickle: TrickleServer,
        base: str,
        http: aiohttp.ClientSession,
        timeout_s: float,
        stream_id: str = "stream",
    ) -> None:
        self.runner_url = runner_url
        self.stream_id = stream_id
        self._trickle = trickle
        self._trickle_url = base
        self.events: list[dict[str, object]] = []
        self.data: list[dict[str, object]] = []
        self._base = f"{base}/{self.stream_id}"
        self.control_url = f"{self._base}-control"
        self._http = http
        self._timeout_s = timeout_s
        self._input = TricklePublisher(f"{self._base}-in", session=http)
        self._published = 0
        self._output = bytearray()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def received(self) -> int:
        """How many bytes of the output came so far."""
        return len(self._output)

    async def publish(self, *segments: bytes) -> None:
        """Publish segments of MPEG-TS as the stream's input; up to 1024 in all."""
        for segment in segments:
            await self._input.write_segment(segment)
            self._published += 1

    async def publish_clip(
        self, path: Path, *, seconds: float | None = None, segment_s: float = 0.5
    ) -> None:
        """Publish a media file, as fast as it goes, without encoding it again.

        Args:
            path: A file with H.264 or H.265, AAC, or both.
            seconds: Only the beginning.
            segment_s: A segment is cut at the first key frame after so many seconds.

        Raises:
            MediaError: It is no media file, or its codecs cannot be published as they are.
        """
        await self.publish(*await read_clip(path, seconds=seconds, segment_s=segment_s))

    async def finish(self) -> None:
        """End the input, once the runner has read it all. Idempotent.

        Raises:
            TimeoutError: It did not.
        """
        if self._published:
            await self.event("stats", last_segment_in=self._published - 1)
        await self._input.close()

    async def output(self) -> bytes:
        """End the input, and wait for the end of the output: all that was published there.

        Raises:
            TimeoutError: It did not end.
        """
        await self.finish()
        async with asyncio.timeout(self._timeout_s):
            await asyncio.shield(self._tasks[0])
        return bytes(self._output)

    async def frames(self) -> list[VideoFrame | AudioFrame]:
        """End the input, wait for the end of the output, and decode it.

        Raises:
            TimeoutError: It did not end.
        """
        body = await self.output()
        pipe = BytePipe(limit_bytes=len(body) + 1)
        await pipe.write(body)
        pipe.close()
        reader = MediaReader(pipe, decode=frozenset({"video", "audio"}))
        items = await asyncio.to_thread(list, reader)
        return [item for item in items if isinstance(item, (VideoFrame, AudioFrame))]

    async def event(self, kind: str, **fields: object) -> dict[str, object]:
        """Wait for an event, perhaps one that came already.

        Args:
            kind: Its `type`.
            fields: What else it has to hold.

        Raises:
            TimeoutError: It did not come.
        """
        wanted = {"type": kind, **fields}.items()
        try:
            async with asyncio.timeout(self._timeout_s):
                while True:
                    for event in self.events:
                        if all(event.get(key) == value for key, value in wanted):
                            return event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            raise TimeoutError(
                f"no event {dict(wanted)} within {self._timeout_s:g} s; the last ones were"
                f" {self.events[-3:]}"
            ) from None

    async def update(self, params: Mapping[str, JsonValue]) -> None:
        """Change parameters; raises `Refused`."""
        await self._post("params", dict(params))

    async def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Ask the runner for a JSON document, such as `/health`: the status and the document."""
        async with self._http.get(self.runner_url + path) as response:
            return response.status, await response.json()

    async def stop(self) -> None:
        """End the stream at once, with what is under way. Idempotent."""
        await self._post("stop", {})

    async def start(self, params: Mapping[str, JsonValue] | None, *, media: bool) -> None:
        """Begin the stream, and to collect what comes out; raises `Refused`."""
        body: dict[str, object] = {
            "gateway_request_id": self.stream_id,
            "control_url": self.control_url,
            "events_url": f"{self._base}-events",
            "data_url": f"{self._base}-data",
            "params": None if params is None else dict(params),
        }
        if media:
            body |= {"subscribe_url": f"{self._base}-in", "publish_url": f"{self._base}-out"}
        await self._post("start", body)
        events = JSONSubscriber(f"{self._base}-events", start=0, session=self._http)
        data = JSONLSubscriber(f"{self._base}-data", start=0, session=self._http)
        self._tasks = [
            asyncio.create_task(self._collect_output(), name="session output"),
            asyncio.create_task(_collect(events, self.events), name="session events"),
            asyncio.create_task(_collect(data, self.data), name="session data"),
        ]

    @asynccontextmanager
    async def another(
        self,
        stream_id: str,
        params: Mapping[str, JsonValue] | None = None,
        *,
        media: bool = True,
    ) -> AsyncGenerator[LiveSession, None]:
        """Run one more stream through the same runner; raises `Refused`.

        Args:
            stream_id: Its name, which no stream had before.
            params: The caller's parameters.
            media: As for `live_session`.
        """
        session = LiveSession(
            self.runner_url,
            self._trickle,
            self._trickle_url,
            self._http,
            self._timeout_s,
            stream_id,
        )
        async with session.running(params, media=media):
            yield session

    @asynccontextmanager
    async def running(
        self, params: Mapping[str, JsonValue] | None, *, media: bool
    ) -> AsyncGenerator[None, None]:
        """Make the channels and begin; at the end of the context it is stopped."""
        for channel in ("in", "out", "control", "events", "data"):
            self._trickle.create_channel(f"{self.stream_id}-{channel}")
        await self.start(params, media=media)
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End the stream and let go of its channels."""
        await self.stop()
        await cancel_and_wait(*self._tasks)
        await self._input.close()

    async def _collect_output(self) -> None:
        url = f"{self._base}-out"
        async with TrickleSubscriber(url, start=0, session=self._http) as source:
            async for segment in source:
                async for chunk in segment:
                    self._output += chunk

    async def _post(self, verb: str, body: Mapping[str, object]) -> None:
        url = f"{self.runner_url}/stream/{verb}"
        headers = {"X-Stream-Id": self.stream_id}
        async with self._http.post(url, json=dict(body), headers=headers) as response:
            text = await response.text()
            if response.status != HTTPStatus.OK:
                raise Refused(verb, response.status, text)


@asynccontextmanager
async def live_session(
    pipeline: Servable,
    *,
    params: Mapping[str, JsonValue] | None = None,
    media: bool = True,
    timeout_s: float = 30.0,
    **options: object,
) -> AsyncGenerator[LiveSession, None]:
    """Run one stream through a pipeline: a real runner, real trickle channels, real codecs.

    The settings differ from those of a service in that no frame is dropped for want of time
    (`live_policy="wait"`) and that statistics come ten times a second.

    Args:
        pipeline: As for `livepeer.runner.serve()`.
        params: The caller's parameters.
        media: The stream has an input and an output; else only events and data.
        timeout_s: How long any one thing is waited for.
        options: Fields of `Settings`.

    Yields:
        The session, begun; it is stopped at the end of the context.

    Raises:
        Refused: The start was refused.
        SetupFailed: `setup()` raised.
    """
    trickle = TrickleServer(slots=SEGMENTS)
    async with AsyncExitStack() as stack:
        base = await stack.enter_async_context(trickle.listening())
        running = serve(pipeline, ready=True, **{**_SETTINGS, **options})
        server = await stack.enter_async_context(running)
        http = await stack.enter_async_context(aiohttp.ClientSession())
        session = LiveSession(server.url, trickle, base, http, timeout_s)
        async with session.running(params, media=media):
            yield session


async def _collect(source: JSONSubscriber | JSONLSubscriber, into: list[dict[str, object]]) -> None:
    async with source:
        async for message in source:
            into.append(message)
