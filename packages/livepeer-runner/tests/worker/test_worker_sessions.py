"""Sessions that come by the route of go-livepeer's AI worker."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

from livepeer.runner import LivePipeline
from livepeer.trickle import JSONPublisher

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner.frames import VideoFrame


class Sample(LivePipeline):
    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []

    def on_stream_start(self, params: Any) -> None:
        self.calls.append(("start", params))

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        frame.planes[0][:] = 255 - frame.planes[0]
        return frame

    def on_params_update(self, params: Any) -> None:
        self.calls.append(("update", params))

    def on_stream_stop(self) -> None:
        self.calls.append(("stop", None))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - other tasks and threads bring it about
            await asyncio.sleep(0.01)


async def test_a_session_turns_video_and_ends_with_its_channels(working):
    pipeline = Sample()
    async with working(pipeline, live_policy="wait", output_linger_s=0.3) as orchestrator:
        status, answer = await orchestrator.start(params={"strength": 0.5})
        assert status == 200
        assert answer == {
            "subscribe_url": orchestrator.url(),
            "publish_url": orchestrator.url("-out"),
            "control_url": orchestrator.url("-control"),
            "events_url": orchestrator.url("-events"),
            "manifest_id": "m1",
        }
        assert pipeline.calls == [("start", {"strength": 0.5})]
        assert await orchestrator.health() == "OK"
        watching = asyncio.create_task(orchestrator.watch())
        lumas = await orchestrator.play()
        assert await orchestrator.health() == "OK", "the end of the input is no end of the session"
        orchestrator.close_channels()
        await orchestrator.until_idle()
        await asyncio.wait_for(watching, 20)
    # 40 of 255 is a luma of 50 in the narrow range; what comes out is its negative.
    assert len(lumas) == 30
    assert all(200 < luma < 210 for luma in lumas)
    assert pipeline.calls[-1] == ("stop", None)
    assert {"start", "heartbeat", "end_of_stream"} <= {
        event["type"] for event in orchestrator.events
    }


async def test_updates_come_over_the_control_channel(working):
    pipeline = Sample()
    async with working(pipeline) as orchestrator:
        await orchestrator.start()
        control = JSONPublisher(orchestrator.url("-control"))
        await control.publish({"keep": "alive"})
        await control.publish({"strength": 0.7})
        await until(lambda: pipeline.calls[-1][0] == "update")
        await control.close()
    assert [call for call in pipeline.calls if call[0] == "update"] == [
        ("update", {"strength": 0.7})
    ]


async def test_a_closed_control_channel_alone_ends_a_session(working):
    async with working(Sample()) as orchestrator:
        await orchestrator.start()
        orchestrator.trickle.close_channel("m1-control")
        await orchestrator.until_idle()


async def test_sessions_are_told_apart_by_the_manifest(working):
    pipeline = Sample()
    async with working(pipeline, capability_capacity=2) as orchestrator:
        assert (await orchestrator.start("m1"))[0] == 200
        assert (await orchestrator.start("m2"))[0] == 200
        orchestrator.close_channels("m1")
        await until(lambda: ("stop", None) in pipeline.calls)
        assert await orchestrator.health() == "OK"
        orchestrator.close_channels("m2")
        await orchestrator.until_idle()
    assert [name for name, _ in pipeline.calls].count("stop") == 2


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"manifest_id": None}, "a stream"),
        ({"manifest_id": "", "stream_id": None, "gateway_request_id": "g"}, "g"),
        ({"manifest_id": ..., "stream_id": ..., "gateway_request_id": ...}, None),
    ],
)
async def test_a_session_without_a_manifest_has_the_next_best_id(working, ids, expected):
    async with working(Sample()) as orchestrator:
        status, answer = await orchestrator.start(params=None, **ids)
        assert status == 200
        assert answer["manifest_id"] == expected or (
            expected is None and re.fullmatch("[0-9a-f]{32}", answer["manifest_id"])
        )
        # The id is the one that the other source knows it by.
        stop = {"X-Stream-Id": answer["manifest_id"]}
        async with orchestrator.http.post(orchestrator.runner + "/stream/stop", headers=stop):
            assert await orchestrator.health() == "IDLE"


async def test_the_version_is_one_that_go_can_compare(working):
    async with working(Sample()) as orchestrator:
        _, answer = await orchestrator.get("/version")
    assert re.fullmatch(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?", answer["version"])


async def test_the_name_of_a_class_is_its_model(working):
    async with working(Sample(), model_id=None) as orchestrator:
        assert (await orchestrator.get("/version"))[1]["model_id"] == "sample"


async def test_the_routes_are_documented(working):
    async with working(Sample()) as orchestrator:
        _, documents = await orchestrator.get("/openapi.json")
    start = documents["paths"]["/live-video-to-video"]["post"]
    assert start["operationId"] == "genLiveVideoToVideo"
    assert {"200", "400", "401", "422", "500"} == set(start["responses"])
    assert {"/version", "/hardware/info", "/hardware/stats", "/health"} <= set(documents["paths"])
