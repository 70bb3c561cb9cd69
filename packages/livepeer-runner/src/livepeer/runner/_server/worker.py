"""The session source of go-livepeer's own AI worker: `POST /live-video-to-video`.

An operator's `aiModels.json` names the runner by its `url`. Source: go-livepeer
`server/ai_http.go`, `StartLiveVideoToVideo`; `ai/worker/container.go`, `NewRunnerContainer`;
`ai/worker/runner.gen.go` for the shapes. No call updates or ends a session: updates come over the
control channel, and when the caller has gone the orchestrator closes all four channels at once.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING
from uuid import uuid4

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from livepeer.runner._network.sessions import Channels
from livepeer.runner._server.hardware import (
    GPUComputeInfo,
    GPUUtilizationInfo,
    gpu_info,
    gpu_stats,
)
from livepeer.runner._server.urls import ChannelURL
from livepeer.runner._server.worker_answers import HTTPError, faults_in_words
from livepeer.runner.errors import HookFailed, InvalidParams

if TYPE_CHECKING:
    from livepeer.runner._network.sessions import Sessions

_log = logging.getLogger(__name__)

PIPELINE = "live-video-to-video"
"""The orchestrator's name for what a live runner does; the model's name tells runners apart."""

START_PATH = "/live-video-to-video"


class LiveVideoToVideoParams(BaseModel):
    """What the orchestrator sends to begin a session; unknown keys are ignored."""

    model_config = ConfigDict(extra="ignore")

    subscribe_url: ChannelURL = Field(description="Trickle channel of the media coming in")
    publish_url: ChannelURL = Field(description="Trickle channel of the media going out")
    control_url: ChannelURL = Field(description="Trickle channel of updates, to read")
    events_url: ChannelURL = Field(description="Trickle channel of events, to publish")
    params: dict[str, JsonValue] | None = Field(None, description="The caller's parameters")
    model_id: str | None = Field(None, description="The pipeline that is meant")
    manifest_id: str | None = Field(None, description="The orchestrator's id of the session")
    stream_id: str | None = Field(None, description="The gateway's id of the stream, for the log")
    gateway_request_id: str | None = Field(None, description="The gateway's id, for the log")


class LiveVideoToVideoResponse(BaseModel):
    """The session's channels, as they were given; the orchestrator does not read them."""

    subscribe_url: str
    publish_url: str
    control_url: str
    events_url: str
    manifest_id: str = Field(description="The id by which `/stream/stop` knows the session")


class Version(BaseModel):
    """Which runner this is."""

    pipeline: str
    model_id: str
    version: str = Field(description="A semantic version, or the orchestrator shows none")


class HardwareInformation(BaseModel):
    """The GPUs, by their index."""

    pipeline: str
    model_id: str
    gpu_info: dict[str, GPUComputeInfo]


class HardwareStats(BaseModel):
    """What the GPUs are doing, by their index."""

    pipeline: str
    model_id: str
    gpu_stats: dict[str, GPUUtilizationInfo]


class WorkerSessionSource:
    """The AI worker's routes over the sessions of a pipeline.

    The application needs `WorkerAnswers` around it, or the orchestrator takes some errors for
    successes.

    Args:
        sessions: What to drive.
        model_id: The pipeline's name, which must be the `model_id` of `aiModels.json`.
        version: The version to report.
        start_timeout_s: How long `on_stream_start()` may take. The gateway waits 5 s for its
            whole start (`server/ai_process.go`, `submitLiveVideoToVideo`) and then tells nobody
            that it has gone elsewhere.
    """

    def __init__(
        self, sessions: Sessions, *, model_id: str, version: str, start_timeout_s: float
    ) -> None:
        self._sessions = sessions
        self._model_id = model_id
        self._version = version
        self._start_timeout_s = start_timeout_s

    def router(self) -> APIRouter:
        """The routes, documented."""
        router = APIRouter(tags=["AI worker"])
        router.add_api_route(
            START_PATH,
            self._start,
            methods=["POST"],
            operation_id="genLiveVideoToVideo",
            summary="Begin a session; it ends when its channels are closed",
            response_model=LiveVideoToVideoResponse,
            responses={
                400: {"model": HTTPError, "description": "The pipeline refuses the parameters"},
                401: {"model": HTTPError, "description": "The bearer token is wrong"},
                500: {
                    "model": HTTPError,
                    "description": "Not ready, or no more sessions can run here (then the text"
                    " has `insufficient capacity`), another model, or a failed hook",
                },
            },
        )
        for path, answer, summary in (
            ("/version", self._get_version, "Which runner this is"),
            ("/hardware/info", self._get_info, "The GPUs of this machine"),
            ("/hardware/stats", self._get_stats, "What the GPUs of this machine are doing"),
        ):
            router.add_api_route(path, answer, methods=["GET"], summary=summary)
        return router

    async def _start(self, body: LiveVideoToVideoParams) -> LiveVideoToVideoResponse:
        if body.model_id and body.model_id != self._model_id:
            raise HTTPException(404, f"this is {self._model_id}, not {body.model_id}")
        session_id = body.manifest_id or body.stream_id or body.gateway_request_id or uuid4().hex
        channels = Channels(
            events=body.events_url,
            control=body.control_url,
            subscribe=body.subscribe_url,
            publish=body.publish_url,
            keep_alives=True,
        )
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await self._sessions.start(session_id, channels, body.params)
        except InvalidParams as error:
            faults = faults_in_words(error.under("params").errors)
            raise HTTPException(400, faults or str(error)) from error
        except TimeoutError as error:
            raise HookFailed(
                f"the stream did not begin within {self._start_timeout_s:g} s, and the gateway"
                " waits no longer: load in setup() what on_stream_start() needs"
            ) from error
        _log.info(
            "stream %s begins; at the gateway it is stream %r, request %r",
            session_id,
            body.stream_id,
            body.gateway_request_id,
        )
        return LiveVideoToVideoResponse(
            **body.model_dump(
                include={"subscribe_url", "publish_url", "control_url", "events_url"}
            ),
            manifest_id=session_id,
        )

    async def _get_version(self) -> Version:
        return Version(pipeline=PIPELINE, model_id=self._model_id, version=self._version)

    # Not async: NVML blocks, and so these run on a thread.
    def _get_info(self) -> HardwareInformation:
        return HardwareInformation(pipeline=PIPELINE, model_id=self._model_id, gpu_info=gpu_info())

    def _get_stats(self) -> HardwareStats:
        return HardwareStats(pipeline=PIPELINE, model_id=self._model_id, gpu_stats=gpu_stats())
