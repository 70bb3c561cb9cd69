"""Put an application together: lifespan, guard, routes, documents."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from livepeer.runner._metrics import LiveMetrics
from livepeer.runner._network.byoc import byoc_registrar
from livepeer.runner._server import problems
from livepeer.runner._server.batch import BatchEngine
from livepeer.runner._server.guard import Guard
from livepeer.runner._server.health import health_router
from livepeer.runner._server.lifecycle import Lifecycle
from livepeer.runner._server.scrape import metrics_router
from livepeer.runner._server.worker import START_PATH
from livepeer.runner._server.worker_answers import WorkerAnswers
from livepeer.runner._target import resolve
from livepeer.runner.batch import Pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from livepeer.runner._live.stage import StageHost
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._target import Servable, ServeTarget
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.settings import Settings


def build_app(pipeline: Servable | ServeTarget, settings: Settings) -> FastAPI:
    """Build the application of a pipeline; its `Lifecycle` is `app.state.lifecycle`.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        SettingsError: The registration is not described well enough.
    """
    target = resolve(pipeline, settings.isolation)
    engine = engine_for(target, settings)
    registrar = byoc_registrar(settings, target.capability) if settings.orch_url else None
    lifecycle = Lifecycle(engine, registrar, linger_s=settings.setup_failure_linger_s)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.close()

    app = FastAPI(
        title=target.name,
        description=target.description,
        version=version("livepeer-runner"),
        lifespan=lifespan,
    )
    app.state.lifecycle = lifecycle
    app.add_middleware(
        Guard,
        lifecycle=lifecycle,
        max_body_bytes=settings.max_body_bytes,
        token=settings.auth_token.get_secret_value() if settings.auth_token else None,
    )
    app.add_middleware(WorkerAnswers, path=START_PATH)
    problems.install(app)
    app.include_router(health_router(lambda: lifecycle.state, lambda: lifecycle.message))
    if settings.metrics:
        app.include_router(metrics_router(engine.metrics))
    app.include_router(engine.router())
    return app


def engine_for(target: ServeTarget, settings: Settings) -> Engine:
    """Choose what runs a pipeline.

    Raises:
        PipelineDefinitionError: It does not load, or cannot be served as it is written.
    """
    pipeline = None if target.isolated else target.pipeline()
    if isinstance(pipeline, Pipeline):
        return BatchEngine(pipeline, settings)
    from livepeer.runner._server.live import LiveEngine

    metrics = LiveMetrics(settings.capability_capacity)
    host = _host(target, pipeline, settings, metrics)
    return LiveEngine(host, target.capability, settings, metrics)


def _host(
    target: ServeTarget, pipeline: LivePipeline | None, settings: Settings, metrics: LiveMetrics
) -> StageHost:
    # Lazy, each: they load the codecs, and the second numpy as well.
    if pipeline is not None:
        from livepeer.runner._live.in_process import InProcessHost

        return InProcessHost(pipeline, settings, target.initial_params)
    assert target.spec is not None
    from livepeer.runner._live.isolated.host import IsolatedHost

    return IsolatedHost(target.spec, settings, metrics.restarted)
