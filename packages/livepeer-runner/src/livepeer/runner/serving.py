"""`serve()` and `make_app()`: from an instance to a server."""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from livepeer.runner.errors import (
    PipelineDefinitionError,
    PortInUse,
    SettingsError,
    SetupFailed,
)

if TYPE_CHECKING:
    from collections.abc import Generator

    from fastapi import FastAPI

    from livepeer.runner.live import LivePipeline
    from livepeer.runner.batch import Pipeline
    from livepeer.runner.settings import Settings


_loading: ContextVar[bool] = ContextVar("a command loads the pipeline", default=False)


@contextmanager
def loading() -> Generator[None, None, None]:
    """Let `serve()` do nothing while a command imports an author's file, for its class alone."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def make_app(pipeline: Pipeline | LivePipeline, settings: Settings | None = None) -> FastAPI:
    """Build the ASGI application of a pipeline, for a server of your own.

    `setup()` runs when the server starts the application's lifespan. Give that server a
    keep-alive of more than 60 s: an orchestrator unregisters a capability when a connection that
    it keeps is closed under it.

    Raises:
        PipelineDefinitionError: `predict()` cannot be served as it is written.
        SettingsError: An environment variable does not fit.
    """
    from livepeer.runner._server.app import build_app
    from livepeer.runner.settings import load_settings

    return build_app(pipeline, settings if settings is not None else load_settings())


def serve(
    pipeline: Pipeline | LivePipeline,
    *,
    host: str | None = None,
    port: int | None = None,
    settings: Settings | None = None,
) -> None:
    """Serve a pipeline over HTTP until SIGINT or SIGTERM; a second SIGINT ends at once.

    Args:
        pipeline: An instance of a `Pipeline` or a `LivePipeline`.
        host: Address to listen on, in the place of the setting's; that is 0.0.0.0 by default,
            because a runner usually lives in a container and must be reached from outside.
        port: Port to listen on, in the place of the setting's, which is 5000 by default.
        settings: Options; read from the environment when not given.

    Raises:
        SystemExit: With a non-zero status when the class or a setting is wrong, the port is in
            use (one line on standard error each), or `setup()` failed.
    """
    if _loading.get():
        return
    from livepeer.runner._server.uvicorn import bind, serve_until_stopped
    from livepeer.runner.settings import load_settings

    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        chosen = load_settings(host=host, port=port) if settings is None else settings
        given = {"host": host or chosen.host, "port": chosen.port if port is None else port}
        chosen = chosen.model_copy(update=given)
        with bind(chosen.host, chosen.port) as sock:
            asyncio.run(serve_until_stopped(pipeline, chosen, sock))
    except (PipelineDefinitionError, PortInUse, SettingsError) as exc:
        sys.exit(f"error: {exc}")
    except SetupFailed:
        sys.exit(1)  # logged, with its stack, when it happened
    except KeyboardInterrupt:
        sys.exit(130)
