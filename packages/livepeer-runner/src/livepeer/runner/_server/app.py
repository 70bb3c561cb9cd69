"""Put an application together: lifespan, guard, routes, documents."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI

from livepeer.runner._network.byoc import byoc_registrar
from livepeer.runner._server import problems
from livepeer.runner._server.batch import BatchEngine
from livepeer.runner._server.guard import Guard
from livepeer.runner._server.health import health_router
from livepeer.runner._server.lifecycle import Lifecycle
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.batch import Pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from livepeer.runner._server.engine import Engine
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.settings import Settings


def build_app(pipeline: Pipeline | LivePipeline, settings: Settings) -> FastAPI:
    """Build the application of a pipeline; its `Lifecycle` is `app.state.lifecycle`.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        SettingsError: The registration is not described well enough.
    """
    engine = engine_for(pipeline, settings)
    name = type(pipeline).__name__
    registrar = byoc_registrar(settings, name) if settings.orch_url else None
    lifecycle = Lifecycle(engine, registrar, linger_s=settings.setup_failure_linger_s)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.close()

    app = FastAPI(
        title=name,
        description=type(pipeline).__doc__ or "",
        version=version("livepeer-runner"),
        lifespan=lifespan,
    )
    app.state.lifecycle = lifecycle
    app.add_middleware(Guard, lifecycle=lifecycle, max_body_bytes=settings.max_body_bytes)
    problems.install(app)
    app.include_router(health_router(lambda: lifecycle.state))
    app.include_router(engine.router())
    return app


def engine_for(pipeline: object, settings: Settings) -> Engine:
    """Choose what runs a pipeline.

    Raises:
        PipelineDefinitionError: It is no instance of either base class.
    """
    if isinstance(pipeline, Pipeline):
        return BatchEngine(pipeline, settings)
    from livepeer.runner.live import LivePipeline

    if isinstance(pipeline, LivePipeline):
        from livepeer.runner._server.live import LiveEngine  # lazy: it loads the codecs

        return LiveEngine(pipeline, settings)
    if isinstance(pipeline, type):
        raise PipelineDefinitionError(
            f"{pipeline.__name__} is a class; serve an instance: {pipeline.__name__}()"
        )
    raise PipelineDefinitionError(
        f"a {type(pipeline).__name__} cannot be served; derive the class from"
        " livepeer.runner.Pipeline or LivePipeline"
    )
