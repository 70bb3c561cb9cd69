"""Refusals by the route of go-livepeer's AI worker: statuses and shapes that it reads."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field

from livepeer.runner import LivePipeline

if TYPE_CHECKING:
    from livepeer.runner.frames import VideoFrame


class Sample(LivePipeline):
    def __init__(self) -> None:
        self.starts = 0

    def on_stream_start(self, params: Any) -> None:
        self.starts += 1
        if params.get("wrong"):
            raise ValueError("no such style")


class Slow(Sample):
    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def on_stream_start(self, params: Any) -> None:
        assert self.go.wait(10)


class Held(Sample):
    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()

    def setup(self) -> None:
        assert self.go.wait(10)


class Strict(LivePipeline):
    class Params(BaseModel):
        strength: float = Field(0.5, le=1)

    def process_video(self, frame: VideoFrame) -> VideoFrame:
        return frame


async def test_one_more_than_the_capacity_sends_the_gateway_elsewhere(working):
    async with working(Sample()) as orchestrator:
        await orchestrator.start("m1")
        status, answer = await orchestrator.start("m2")
    assert status == 500
    assert answer["detail"]["msg"].startswith("insufficient capacity: ")


async def test_a_second_start_of_a_running_session(working):
    pipeline = Sample()
    async with working(pipeline, capability_capacity=2) as orchestrator:
        await orchestrator.start("m1")
        status, answer = await orchestrator.start("m1")
        assert await orchestrator.health() == "OK"
    assert status == 500
    assert answer == {"detail": {"msg": "stream m1 is running"}}
    assert pipeline.starts == 1


async def test_before_it_is_ready_it_says_what_it_is_and_refuses_streams(working):
    pipeline = Held()
    async with working(pipeline, ready=False, version="1.2.3") as orchestrator:
        assert await orchestrator.health() == "LOADING"
        assert await orchestrator.get("/version") == (
            200,
            {"pipeline": "live-video-to-video", "model_id": "sample", "version": "1.2.3"},
        )
        assert (await orchestrator.get("/hardware/info"))[0] == 200
        status, answer = await orchestrator.start()
        pipeline.go.set()
        await orchestrator.until_idle()
        assert (await orchestrator.start())[0] == 200
    assert status == 500
    assert answer["detail"]["msg"].startswith("insufficient capacity: ")
    assert "LOADING" in answer["detail"]["msg"]


async def test_a_hook_that_refuses_a_stream_leaves_nothing_behind(working):
    async with working(Sample()) as orchestrator:
        status, answer = await orchestrator.start(params={"wrong": True})
        assert await orchestrator.health() == "IDLE"
        assert (await orchestrator.start("m2"))[0] == 200
    assert status == 500
    assert "no such style" in answer["detail"]["msg"]


async def test_a_start_ends_before_the_gateway_gives_up(working):
    pipeline = Slow()
    async with working(pipeline, worker_start_timeout_s=0.1) as orchestrator:
        status, answer = await orchestrator.start()
        pipeline.go.set()
        await orchestrator.until_idle()
        assert (await orchestrator.start("m2"))[0] == 200, "the slot is free again"
    assert status == 500
    assert "did not begin within 0.1 s" in answer["detail"]["msg"]


async def test_params_that_the_model_refuses_are_the_callers_affair(working):
    async with working(Strict()) as orchestrator:
        status, answer = await orchestrator.start(params={"strength": 2})
        assert await orchestrator.health() == "IDLE"
    # Not 422: a gateway ends the request at a 400, and tries every orchestrator at a 422.
    assert status == 400
    assert "params.strength: Input should be less than or equal to 1" in answer["detail"]["msg"]


@pytest.mark.parametrize("key", ["subscribe_url", "publish_url", "control_url", "events_url"])
async def test_a_body_without_a_channel_is_refused_by_name(working, key):
    async with working(Sample()) as orchestrator:
        status, answer = await orchestrator.start(**{key: ...})
        assert await orchestrator.health() == "IDLE"
    assert status == 422
    assert [fault["loc"] for fault in answer["detail"]] == [["body", key]]


async def test_another_model_is_refused_by_name(working):
    async with working(Sample()) as orchestrator:
        status, answer = await orchestrator.start(model_id="other")
        assert (await orchestrator.start(model_id=None))[0] == 200
    assert (status, answer) == (500, {"detail": {"msg": "this is sample, not other"}})


async def test_a_body_that_is_too_large(working):
    async with working(Sample(), max_body_bytes=1000) as orchestrator:
        status, answer = await orchestrator.start(params={"prompt": "x" * 1000})
    assert status == 400
    assert "larger than 1000 bytes" in answer["detail"]["msg"]


async def test_a_body_that_is_no_json(working):
    async with (
        working(Sample()) as orchestrator,
        orchestrator.http.post(
            orchestrator.runner + "/live-video-to-video",
            data=b"{",
            headers={"Content-Type": "application/json"},
        ) as response,
    ):
        assert response.status == 400
        assert "JSON decode error" in (await response.json())["detail"]["msg"]


async def test_the_token_of_the_operator(working):
    async with working(Sample(), auth_token="a secret") as orchestrator:
        status, answer = await orchestrator.start()
        assert await orchestrator.health() == "IDLE"
        orchestrator.http.headers["Authorization"] = "Bearer a secret"
        assert (await orchestrator.start("m2"))[0] == 200
    assert status == 401
    assert "token" in answer["detail"]["msg"]
