"""A pipeline behind its HTTP face, on a free port."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

from livepeer.runner._server.uvicorn import RunningServer, running
from livepeer.runner.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator
    from pathlib import Path

    from livepeer.runner._target import Servable


@asynccontextmanager
async def serve(
    pipeline: Servable, *, ready: bool = True, **options: object
) -> AsyncGenerator[RunningServer, None]:
    """Serve a pipeline on a free loopback port for as long as the context lasts.

    Args:
        pipeline: As for `livepeer.runner.serve()`; its `prepare_models()` is not run, and Hugging
            Face's libraries are left on line.
        ready: Wait for `setup()`; if it fails, `SetupFailed` is raised.
        options: Fields of `Settings`, over those of the environment.

    Yields:
        The server; its `url` has no trailing slash.
    """
    settings = load_settings(**{"host": "127.0.0.1", "port": 0, **options})
    with _model_dir(settings.model_dir):
        async with running(pipeline, settings) as server:
            if ready:
                await server.wait_ready()
            yield server


@contextmanager
def _model_dir(path: Path) -> Generator[None, None, None]:
    """Let `model_dir()` be the one of the settings."""
    before = os.environ.get("MODEL_DIR")
    os.environ["MODEL_DIR"] = str(path.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ["MODEL_DIR"]
        else:
            os.environ["MODEL_DIR"] = before
