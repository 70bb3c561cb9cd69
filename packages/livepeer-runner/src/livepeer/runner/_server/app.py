"""Put an application together: lifespan, guard, routes, documents."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from starlette.routing import Route

from livepeer.runner._batch_metrics import BatchMetrics
from livepeer.runner._server import problems
from livepeer.runner._server.about import about_router, version_router
from livepeer.runner._server.application import Application
from livepeer.runner._server.engines import batch_pipeline, engine_for
from livepeer.runner._server.guard import OPEN
from livepeer.runner._server.health import health_router
from livepeer.runner._server.lifecycle import Lifecycle
from livepeer.runner._server.memory import MemoryWatch
from livepeer.runner._server.pages import pages_router
from livepeer.runner._server.registration import Registration
from livepeer.runner._server.scrape import metrics_router
from livepeer.runner._server.token_file import TokenFile
from livepeer.runner._server.traffic import Traffic
from livepeer.runner._target import resolve
from livepeer.runner.batch import Pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from fastapi import FastAPI
    from fastapi.telemetry import TelemetryConfig

    from livepeer.runner._schema.contract import Contract
    from livepeer.runner._server.checkup import Checkup
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._server.tracing import Tracing
    from livepeer.runner._target import Servable, ServeTarget
    from livepeer.runner.settings import Settings

# FastAPI would trace by itself as soon as a program has OpenTelemetry, what callers send included.
_NO_TELEMETRY: Final[TelemetryConfig] = {"tracing": False, "metrics": False, "logs": False}


def build_app(pipeline: Servable | ServeTarget, settings: Settings) -> FastAPI:
    """Build the application of a pipeline; its `Lifecycle` is `app.state.lifecycle`, and what it
    works on `app.state.traffic`.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        SettingsError: The registration is not described well enough, or an extra is missing.
    """
    target = resolve(pipeline, settings.isolation, settings.workers)
    batch = batch_pipeline(target)
    contracts = [] if batch is None else _contracts(batch)
    engine = engine_for(target, contracts, settings)
    memory = MemoryWatch(settings.out_of_memory_limit)
    metrics = engine.metrics or BatchMetrics()
    traffic = Traffic(metrics if isinstance(metrics, BatchMetrics) else None, memory)
    lifecycle = Lifecycle(
        engine,
        _registration(target, settings),
        linger_s=settings.setup_failure_linger_s,
        teardown_s=settings.teardown_timeout_s,
        checkup=_checkup(batch, settings),
        concerns=[memory],
    )
    shown = settings.version or version("livepeer-runner")
    tracing = _tracing(target.capability, shown) if settings.tracing else None
    app = _bare(target, lifecycle, tracing, settings)
    app.state.lifecycle = lifecycle
    app.state.traffic = traffic
    problems.install(app)
    routes = [] if batch is None else engine.router().routes
    app.guard(
        traced=tracing is not None,
        lifecycle=lifecycle,
        traffic=traffic,
        max_body_bytes=settings.max_body_bytes,
        version=shown,
        token=settings.auth_token.get_secret_value() if settings.auth_token else None,
        calls={route.path: route.app for route in routes if isinstance(route, Route)},
        mark=tracing.mark if tracing else None,
    )
    # For what looks for routes; calls do not come by there.
    app.router.routes[:0] = routes
    app.include_router(health_router(lifecycle, engine, shown))
    if settings.metrics:
        app.include_router(metrics_router(metrics, engine))
    app.include_router(pages_router(target.name))
    app.include_router(about_router(lambda: _schema(target, contracts, shown)))
    if batch is None:
        _complete_live(app, engine)
    else:
        _complete_batch(app, batch, contracts, target, shown, settings)
    if settings.cors_origins:
        _allow_origins(app, settings.cors_origins)
    return app


def _bare(
    target: ServeTarget, lifecycle: Lifecycle, tracing: Tracing | None, settings: Settings
) -> Application:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
        lifecycle.start()
        try:
            yield
        finally:
            await lifecycle.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close, settings.withdraw_timeout_s)

    return Application(
        title=target.name,
        description=target.description,
        version=version("livepeer-runner"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        strict_content_type=False,
        redirect_slashes=False,
        telemetry=tracing.config if tracing else _NO_TELEMETRY,
    )


def _complete_live(app: FastAPI, engine: Engine) -> None:
    from livepeer.runner._server.openapi import complete_document
    from livepeer.runner._server.worker import START_PATH
    from livepeer.runner._server.worker_answers import WorkerAnswers

    app.include_router(engine.router())
    app.add_middleware(WorkerAnswers, path=START_PATH)
    complete_document(app)


def _complete_batch(
    app: FastAPI,
    pipeline: Pipeline,
    contracts: Sequence[Contract],
    target: ServeTarget,
    shown: str,
    settings: Settings,
) -> None:
    from livepeer.runner._server.author_routes import author_router
    from livepeer.runner._server.documents import add_contracts

    model_id = settings.model_id or settings.capability_name or target.capability
    app.include_router(version_router(target.capability, model_id, shown))
    add_contracts(app, contracts)
    router = author_router(pipeline, {contract.path for contract in contracts})
    if router is not None:
        app.include_router(router)


def _allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    from starlette.middleware.cors import CORSMiddleware

    # The outermost, so that a page can read refusals too. No credentials: a bearer token is none
    # in the sense of CORS, and nobody asks for a cookie here.
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=["X-Request-ID", "X-Metadata", "Retry-After"],
    )


def _registration(target: ServeTarget, settings: Settings) -> Registration:
    if not settings.orch_url:
        return Registration(None)
    if not target.live and "capability_capacity" not in settings.model_fields_set:
        capacity = settings.workers * settings.concurrency
        settings = settings.model_copy(update={"capability_capacity": capacity})
    # With it comes an HTTP client, as large as the rest of a batch runner that nobody registers.
    from livepeer.runner._network.byoc import byoc_registrar

    registrar = byoc_registrar(settings, target.capability)
    return Registration(registrar, TokenFile(settings.token_file))


def _checkup(pipeline: Pipeline | None, settings: Settings) -> Checkup | None:
    # Of models in processes of their own the processes are asked.
    if pipeline is None or settings.workers > 1:
        return None
    if type(pipeline).healthcheck is Pipeline.healthcheck:
        return None  # and nothing of it is loaded
    from livepeer.runner._server.checkup import checkup_of

    return checkup_of(pipeline, settings)


def _tracing(name: str, shown: str) -> Tracing:
    from livepeer.runner._server.tracing import Tracing

    return Tracing(name, shown, OPEN)


def _contracts(pipeline: Pipeline) -> list[Contract]:
    from livepeer.runner._schema.signature import contracts_of

    return contracts_of(pipeline)


def _schema(target: ServeTarget, contracts: Sequence[Contract], shown: str) -> dict[str, object]:
    from livepeer.runner._server.documents import schema_of

    return schema_of(target, contracts, shown)
