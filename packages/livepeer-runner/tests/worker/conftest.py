"""An orchestrator of go-livepeer's kind: the channels, and the calls of its AI worker."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
import av
import numpy as np
import pytest

from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import serve
from livepeer.trickle import TricklePublisher, TrickleServer, TrickleSubscriber
from livepeer.trickle.media import TIME_BASE, BytePipe, MediaReader, Segmenter, VideoEncoder
from livepeer.trickle.messages import decode_message

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from livepeer.runner import LivePipeline
    from livepeer.trickle.media import AccessUnit

CHANNELS = ("", "-out", "-control", "-events")
READABLE = {200, 400, 401, 422, 500}
"""The statuses that go-livepeer's worker knows; it takes others for a success with no body."""


@dataclass
class Orchestrator:
    """The orchestrator: it has the channels, and calls the runner."""

    trickle: TrickleServer
    base: str
    runner: str
    http: aiohttp.ClientSession
    events: list[dict[str, Any]] = field(default_factory=list)

    def url(self, channel: str = "", name: str = "m1") -> str:
        return f"{self.base}/{name}{channel}"

    async def start(self, name: str = "m1", **body: object) -> tuple[int, Any]:
        """What the orchestrator sends for a stream; both its channels and its call."""
        for channel in CHANNELS:
            self.trickle.create_channel(name + channel)
        whole: dict[str, object] = {
            "model_id": "sample",
            "subscribe_url": self.url("", name),
            "publish_url": self.url("-out", name),
            "control_url": self.url("-control", name),
            "events_url": self.url("-events", name),
            "manifest_id": name,
            "gateway_request_id": "",
            "stream_id": "a stream",
            **body,
        }
        return await self.post({key: value for key, value in whole.items() if value is not ...})

    async def post(self, body: object) -> tuple[int, Any]:
        url = self.runner + "/live-video-to-video"
        async with self.http.post(url, json=body) as response:
            assert response.status in READABLE
            return response.status, await response.json()

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.http.get(self.runner + path) as response:
            return response.status, await response.json()

    async def health(self) -> str:
        return (await self.get("/health"))[1]["status"]

    def close_channels(self, name: str = "m1") -> None:
        """How an orchestrator ends a session: all at once, and without a word."""
        for channel in CHANNELS:
            self.trickle.close_channel(name + channel)

    async def until_idle(self) -> None:
        async with asyncio.timeout(20):
            while await self.health() != "IDLE":  # noqa: ASYNC110 - it says so to nobody
                await asyncio.sleep(0.01)

    async def watch(self) -> None:
        async for segment in TrickleSubscriber(self.url("-events"), start=0):
            self.events.append(decode_message(await segment.read()))

    async def play(self, luma: int = 40, frames: int = 30) -> list[float]:
        """Send a clip of one grey and close the input; the mean luma of each picture that comes."""
        receiving = asyncio.create_task(self._receive())
        publisher = await _publish(self.url(), _clip(frames, luma))
        await publisher.close()
        return await _mean_lumas(await asyncio.wait_for(receiving, 20))

    async def _receive(self) -> bytes:
        body = b""
        async for segment in TrickleSubscriber(self.url("-out"), start=0):
            body += await segment.read(1 << 26)
        return body


@asynccontextmanager
async def _working(
    pipeline: LivePipeline, *, ready: bool = True, **settings: object
) -> AsyncGenerator[Orchestrator, None]:
    trickle = TrickleServer()
    options = {"model_id": "sample", "heartbeat_interval_s": 0.2, "stats_interval_s": 0.1}
    async with (
        trickle.listening(base="/ai/trickle") as base,
        serve(pipeline, ready=ready, **{**options, **settings}) as server,
        aiohttp.ClientSession() as http,
    ):
        yield Orchestrator(trickle, base, server.url, http)


@pytest.fixture
def working() -> Callable[..., AbstractAsyncContextManager[Orchestrator]]:
    """`working(pipeline, **settings)`: an orchestrator, and the runner of the pipeline."""
    return _working


def _clip(frames: int, luma: int) -> list[AccessUnit]:
    encoder = VideoEncoder()
    units: list[AccessUnit] = []
    for n in range(frames):
        raw = av.VideoFrame.from_ndarray(np.full((90, 160, 3), luma, np.uint8), format="rgb24")
        raw.pts, raw.time_base = n * 3000, TIME_BASE
        units += encoder.encode(VideoFrame(raw))
    return units


async def _publish(url: str, units: list[AccessUnit]) -> TricklePublisher:
    segmenter = Segmenter({"video": "h264"}, segment_s=0.25)
    publisher, segment = TricklePublisher(url), None
    for unit in units:
        piece = segmenter.add(unit)
        if piece.starts:
            if segment is not None:
                await segment.close()
            segment = await publisher.open_segment()
        assert segment is not None
        await segment.write(piece.data)
    assert segment is not None
    await segment.close()
    return publisher


async def _mean_lumas(body: bytes) -> list[float]:
    pipe = BytePipe(limit_bytes=1 << 30)
    await pipe.write(body)
    pipe.close()
    frames = await asyncio.to_thread(lambda: list(MediaReader(pipe, decode={"video"})))
    return [float(f.planes[0].mean()) for f in frames if isinstance(f, VideoFrame)]
