"""`GET /metrics` of a runner whose streams come and go."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import aiohttp
import av
import numpy as np
import pytest
from aiohttp import web
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from livepeer.runner import LivePipeline, Pipeline
from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import serve
from livepeer.trickle import TricklePublisher, TrickleServer
from livepeer.trickle.media import TIME_BASE, Segmenter, VideoEncoder
from livepeer.trickle.testing import serve as serve_app

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
FRAMES = 20


class Picky(LivePipeline):
    def on_stream_start(self, params: object) -> None:
        if params:
            raise ValueError("no parameters here")

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        if frame.pts == 0:
            raise ValueError("not the first one")
        return frame


class Echo(Pipeline):
    def predict(self, text: str) -> str:
        return text


def clip() -> bytes:
    encoder, segmenter = VideoEncoder(), Segmenter({"video": "h264"})
    body = b""
    for n in range(FRAMES):
        raw = av.VideoFrame.from_ndarray(np.full((90, 160, 3), n, np.uint8), format="rgb24")
        raw.pts, raw.time_base = n * 3600, TIME_BASE
        body += b"".join(segmenter.add(unit).data for unit in encoder.encode(VideoFrame(raw)))
    return body


class Network:
    """A runner with a trickle server, and what a scrape of it brings."""

    def __init__(self, runner: str, trickle: TrickleServer, base: str) -> None:
        self.runner = runner
        self._trickle = trickle
        self._base = base
        self._http = aiohttp.ClientSession()

    async def close(self) -> None:
        await self._http.close()

    async def start(self, name: str, *, media: bool = False, params: object = None) -> int:
        url = f"{self._base}/{name}"
        for channel in ("", "-out", "-control", "-events"):
            self._trickle.create_channel(name + channel)
        body = {
            "gateway_request_id": name,
            "control_url": f"{url}-control",
            "events_url": f"{url}-events",
            "params": params,
        }
        if media:
            body |= {"subscribe_url": url, "publish_url": f"{url}-out"}
        async with self._http.post(f"{self.runner}/stream/start", json=body) as response:
            return response.status

    async def stop(self, name: str) -> None:
        url, headers = f"{self.runner}/stream/stop", {"X-Stream-Id": name}
        async with self._http.post(url, headers=headers) as response:
            assert response.status == 200

    async def send(self, name: str, body: bytes, segments_in: int = 1) -> None:
        """Publish a segment, and close the channel when the runner has read it."""
        publisher = TricklePublisher(f"{self._base}/{name}")
        segment = await publisher.open_segment()
        await segment.write(body)
        await segment.close()
        await self.until(("livepeer_segments_total", "in"), segments_in)
        await publisher.close()

    async def text(self, accept: str = "") -> tuple[str, str]:
        async with self._http.get(f"{self.runner}/metrics", headers={"accept": accept}) as response:
            assert response.status == 200
            return response.headers["content-type"], await response.text()

    async def samples(self) -> dict[tuple[str, ...], float]:
        """Values by name and label values, in the order of the label names."""
        _, text = await self.text()
        return {
            (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
            for family in parse(text)
            for sample in family.samples
        }

    async def until(self, key: tuple[str, ...], value: float) -> dict[tuple[str, ...], float]:
        async with asyncio.timeout(20):
            while (samples := await self.samples()).get(key) != value:  # noqa: ASYNC110 - a scrape
                await asyncio.sleep(0.02)
            return samples


@asynccontextmanager
async def network(pipeline: Pipeline | LivePipeline, **options: object) -> AsyncGenerator[Network]:
    trickle, app = TrickleServer(), web.Application()
    trickle.add_routes(app, "/t")
    async with serve_app(app) as base, serve(pipeline, **options) as server:
        net = Network(server.url, trickle, base + "/t")
        try:
            yield net
        finally:
            await net.close()


async def test_a_stream_is_counted_while_it_runs_and_stays_counted_when_it_has_ended():
    async with network(Picky(), live_policy="wait") as net:
        before = await net.samples()
        assert before["livepeer_sessions",] == before["livepeer_sessions_started_total",] == 0
        assert await net.start("a", media=True) == 200
        await net.send("a", clip())
        sent = ("livepeer_frames_total", "out", "video")
        running = await net.until(sent, FRAMES - 1)
        assert running["livepeer_sessions",] == 1
        await net.stop("a")
        ended = await net.until(("livepeer_sessions",), 0)
    assert ended["livepeer_sessions_started_total",] == 1
    assert ended["livepeer_sessions_ended_total",] == 1
    assert ended["livepeer_frames_total", "in", "video"] == FRAMES
    assert ended[sent] == FRAMES - 1
    assert ended["livepeer_frames_total", "in", "audio"] == 0
    assert ended["livepeer_hook_errors_total",] == 1
    assert ended["livepeer_frames_dropped_total", "hook_error"] == 1
    assert ended["livepeer_frames_dropped_total", "slow"] == 0
    assert ended["livepeer_segments_total", "in"] == 1
    assert ended["livepeer_segments_total", "out"] == 1
    assert ended["livepeer_latency_seconds_count",] == FRAMES - 1
    assert 0 < ended["livepeer_latency_seconds_sum",] < 20
    assert ended["livepeer_latency_seconds_bucket", "+Inf"] == FRAMES - 1
    assert ended["livepeer_stage_seconds_count", "hook"] >= FRAMES - 1


async def test_counters_never_go_back():
    async with network(Picky(), live_policy="wait") as net:
        readings = [await net.samples()]
        for n, name in enumerate(("a", "b"), start=1):
            await net.start(name, media=True)
            await net.send(name, clip(), segments_in=n)
            readings.append(await net.samples())
            await net.stop(name)
            readings.append(await net.samples())
    for earlier, later in pairwise(readings):
        for key, value in earlier.items():
            if key[0].startswith("livepeer_") and key[0].endswith(("_total", "_count", "_bucket")):
                assert later[key] >= value, key


async def test_refusals_are_counted_by_reason_and_no_stream_id_is_a_label():
    async with network(Picky(), capability_capacity=2) as net:
        assert await net.start("secret-1") == 200
        assert await net.start("secret-1") == 409
        assert await net.start("secret-2", params={"no": "such"}) == 500
        assert await net.start("secret-3") == 200
        assert await net.start("secret-4") == 503
        samples = await net.samples()
        _, text = await net.text()
        refused = {key[1]: n for key, n in samples.items() if key[0].endswith("_refused_total")}
        assert refused == {"exists": 1, "hook": 1, "capacity": 1, "params": 0, "away": 0}
        assert (samples["livepeer_sessions",], samples["livepeer_sessions_limit",]) == (2, 2)
        assert "secret" not in text


@pytest.mark.parametrize("open_metrics", [False, True])
async def test_both_formats_parse_and_have_the_same_metrics(open_metrics: bool):
    async with network(Picky()) as net:
        kind, text = await net.text(OPEN_METRICS if open_metrics else "text/plain")
        usual, _ = await net.text("*/*")
    assert kind.split(";")[0] == ("application/openmetrics-text" if open_metrics else "text/plain")
    assert usual.startswith("text/plain")
    names = {family.name for family in (parse_open if open_metrics else parse)(text)}
    assert {"livepeer_frames", "livepeer_stage_seconds", "process_cpu_seconds"} <= names


async def test_metrics_need_no_token_and_no_finished_setup():
    class Slow(LivePipeline):
        async def setup(self) -> None:
            await asyncio.sleep(3600)

    async with (
        serve(Slow(), ready=False, stop_timeout_s=0.1) as server,
        aiohttp.ClientSession() as http,
        http.get(server.url + "/metrics") as response,
    ):
        assert response.status == 200
        assert "livepeer_sessions 0.0" in await response.text()


async def test_a_batch_pipeline_tells_of_its_process():
    async with network(Echo()) as net:
        names = {key[0] for key in await net.samples()}
    assert "process_resident_memory_bytes" in names
    assert not any(name.startswith("livepeer_sessions") for name in names)


async def test_metrics_can_be_switched_off():
    async with (
        serve(Echo(), metrics=False) as server,
        aiohttp.ClientSession() as http,
        http.get(server.url + "/metrics") as response,
    ):
        assert response.status == 404
