"""`serve()` and `make_app()`: from a pipeline, by whatever it is given, to a server."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from typing import TYPE_CHECKING

from livepeer.runner import _allocator
from livepeer.runner._logs import configure
from livepeer.runner._models import FLAG, go_offline, online, run_prepare
from livepeer.runner._target import (
    ServeTarget,
    pipeline_class,
    prepare_hook,
    prepares_models,
    resolve,
)
from livepeer.runner.errors import (
    PipelineDefinitionError,
    PortInUse,
    SettingsError,
    SetupFailed,
)
from livepeer.runner.spec import PipelineSpec, is_loading, loading

if TYPE_CHECKING:
    from pathlib import Path

    from fastapi import FastAPI

    from livepeer.runner._target import Servable
    from livepeer.runner.settings import Settings

__all__ = ["ServeTarget", "loading", "make_app", "resolve", "serve"]

_log = logging.getLogger(__name__)


def make_app(pipeline: Servable, settings: Settings | None = None) -> FastAPI:
    """Build the ASGI application of a pipeline, for a server of your own.

    `setup()` runs when the server starts the application's lifespan. Give that server a
    keep-alive of more than 60 s: an orchestrator unregisters a capability when a connection that
    it keeps is closed under it.

    Args:
        pipeline: As for `serve()`.
        settings: Options; read from the environment when not given.

    Raises:
        PipelineDefinitionError: The pipeline cannot be served as it is written.
        SettingsError: An environment variable does not fit.
    """
    from livepeer.runner._server.app import build_app
    from livepeer.runner.settings import load_settings

    chosen = settings if settings is not None else load_settings()
    return build_app(_to_serve(pipeline, chosen), chosen)


def serve(
    pipeline: Servable,
    *,
    host: str | None = None,
    port: int | None = None,
    settings: Settings | None = None,
) -> None:
    """Serve a pipeline over HTTP until SIGINT or SIGTERM; a second SIGINT ends at once.

    With `PREPARE_MODELS=1` in the environment, or `--prepare-models` among the arguments of the
    program, it runs the class's `prepare_models()` instead and ends.

    When serving, a pipeline that has that hook finds Hugging Face's libraries offline from before
    its instance is made, as with `HF_HUB_OFFLINE=1`: what was prepared is all there is to load. Set
    `HF_HUB_OFFLINE=0` to leave them on line. Without the hook nothing was prepared, so they stay as
    the environment has them, and `setup()` may download.

    Args:
        pipeline: What `@pipeline` made, a `Pipeline` or a `LivePipeline` (the class, or an
            instance), or a `PipelineSpec`. Which of them decides where the hooks of a live one
            run; see `Settings.isolation`.
        host: Address to listen on, in the place of the setting's, which is loopback by default,
            and all interfaces in a container.
        port: Port to listen on, in the place of the setting's, which is 5000 by default.
        settings: Options; read from the environment when not given.

    Raises:
        SystemExit: With a non-zero status when the class or a setting is wrong, the address cannot
            be had, `prepare_models()` failed (one line on standard error each), or `setup()`
            failed. With status 0 when the models are prepared.
    """
    if is_loading():
        return
    from livepeer.runner._server.address import bind
    from livepeer.runner._server.uvicorn import event_loop, serve_until_stopped
    from livepeer.runner.settings import load_settings, misspelt_variables

    try:
        chosen = load_settings(host=host, port=port) if settings is None else settings
        given = {"host": host or chosen.host, "port": chosen.port if port is None else port}
        chosen = chosen.model_copy(update=given)
        configure(chosen)
        for told in misspelt_variables():
            _log.warning("%s", told)
        if chosen.prepare_models or FLAG in sys.argv[1:]:
            sys.exit(prepare(pipeline, chosen))
        served = _to_serve(pipeline, chosen, alone=True)
        with (
            bind(chosen.host, chosen.port) as sock,
            asyncio.Runner(loop_factory=event_loop(served.live)) as runner,
        ):
            runner.run(serve_until_stopped(served, chosen, sock))
    except (PipelineDefinitionError, PortInUse, SettingsError) as exc:
        sys.exit(f"error: {exc}")
    except SetupFailed:
        sys.exit(1)  # logged, with its stack, when it happened
    except KeyboardInterrupt:
        sys.exit(130)


def prepare(pipeline: Servable, settings: Settings) -> int:
    """Run the `prepare_models()` of a class; the exit status.

    Raises:
        PipelineDefinitionError: The class does not load, or is no pipeline's.
    """
    folder = _publish(settings)
    with online():
        if isinstance(pipeline, PipelineSpec):
            cls = pipeline.load()
        else:
            cls = pipeline if isinstance(pipeline, type) else type(pipeline)
        return run_prepare(cls.__name__, prepare_hook(pipeline_class(cls)), folder)


def _to_serve(pipeline: Servable, settings: Settings, *, alone: bool = False) -> ServeTarget:
    _publish(settings)
    target = resolve(pipeline, settings.isolation, settings.workers)
    if alone and target.live:
        _allocator.configure()
    # Of one that is isolated, its own process sees to it.
    if not target.isolated:
        # A constructor may load a model as well as `setup()` does.
        if prepares_models(target.load()):
            go_offline()
        target.pipeline()
    return target


def _publish(settings: Settings) -> Path:
    """Let `model_dir()` be the one of the settings, here and in the processes that we start."""
    # Wherever an author's code goes afterwards.
    folder = settings.model_dir.absolute()
    os.environ["MODEL_DIR"] = str(folder)
    return folder
