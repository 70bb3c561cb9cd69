"""What `livepeer dev` puts together: the pipeline, its server, the local network, a caller."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import secrets
import signal
import sys
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livepeer.runner import _allocator
from livepeer.runner._local.errors import LocalNetworkError, PortInUse as LocalPortInUse
from livepeer.runner._local.network import LocalNetwork
from livepeer.runner._logs import configure
from livepeer.runner._server.address import bind
from livepeer.runner._server.uvicorn import running
from livepeer.runner._target import resolve
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import PortInUse, RunnerError, SetupFailed
from livepeer.runner.live import LivePipeline
from livepeer.runner.settings import load_settings, misspelt_variables
from livepeer.trickle.aio import cancel_and_wait

from ._caller import BatchCall, StreamCall, check_client, fresh_key, run_caller
from ._load import load_pipeline
from ._sample import batch_commands, live_commands, payload, text_commands

if TYPE_CHECKING:
    from pathlib import Path

    from livepeer.runner._server.uvicorn import RunningServer

    from ._load import Loaded

_log = logging.getLogger(__name__)

_PORTS = (5000, 8935, 9935)
_STATS_INTERVAL_S = 0.25
_INTERRUPTED = 130
_DRAIN_S = 2
_LOG_FORMAT = "log_format"


class UsageError(Exception):
    """The options do not go together, or one is no JSON; the text names it."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """The options of the command; see there."""

    path: str
    input: Path | None
    output: Path | None
    params: str
    fast: bool
    live: bool
    call: str | None
    verify: bool
    price: int | None
    ports: tuple[int | None, int | None, int | None]

    @property
    def once(self) -> bool:
        """Whether the command ends by itself."""
        return self.input is not None or self.call is not None

    @property
    def chosen_ports(self) -> tuple[int, int, int]:
        """Of the runner, the orchestrator and the gateway; 0 is a free one."""
        defaults = (0, 0, 0) if self.once else _PORTS
        given = zip(self.ports, defaults, strict=True)
        runner, orchestrator, gateway = (usual if port is None else port for port, usual in given)
        return runner, orchestrator, gateway

    def check(self) -> None:
        """Raise `UsageError` for options that exclude each other, and for JSON that is none."""
        if self.input is not None and self.call is not None:
            raise UsageError("--input and --call exclude each other")
        if self.input is None and self.fast:
            raise UsageError("--fast goes with --input")
        if not self.once and self.output is not None:
            raise UsageError("--output goes with --input or --call")
        if self.fast and self.live:
            raise UsageError("--fast and --live exclude each other: a live stream has its own pace")
        for option, text in (("--call", self.call), ("--params", self.params)):
            if text is not None and not text.startswith("@"):
                try:
                    json.loads(text)
                except ValueError as error:
                    raise UsageError(f"{option} is no JSON: {error}") from None

    def fits(self, pipeline: Loaded) -> None:
        """Raise `UsageError` when the pipeline is of the other kind than the options."""
        target = resolve(pipeline)
        if not target.live and self.input is not None:
            raise UsageError(f"{target.name} is a batch pipeline: use --call, not --input")
        if target.live and self.call is not None:
            raise UsageError(f"{target.name} is a live pipeline: use --input, not --call")


def run_dev(request: Request) -> int:
    """Run the command; the exit status."""
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.WARNING if request.once else logging.INFO,
        format="%(levelname)s %(name)s: %(message)s",
    )
    # The answer alone goes to standard output: what the author prints goes where logs go.
    answers = os.dup(1)
    os.dup2(2, 1)
    try:
        request.check()
        if request.once:
            check_client()
        settings = load_settings()
        if _LOG_FORMAT in settings.model_fields_set:
            configure(settings)
        for told in misspelt_variables():
            _log.warning("%s", told)
        pipeline = load_pipeline(request.path, settings.isolation, settings.workers)
        request.fits(pipeline)
        if resolve(pipeline).live:
            _allocator.configure()
        return asyncio.run(_until_done(request, pipeline, answers))
    except UsageError as error:
        _say(f"error: {error}")
        return 2
    except (RunnerError, LocalNetworkError, OSError, ImportError) as error:
        _say(f"error: {_told(error, request)}")
        return 1
    except KeyboardInterrupt:
        return _INTERRUPTED
    finally:
        os.dup2(answers, 1)
        os.close(answers)


def _told(error: Exception, request: Request) -> str:
    """The error for whoever typed the command."""
    if isinstance(error, SetupFailed):
        cause = error.__cause__
        return f"{error}" if str(cause) == str(error) else f"{error}: {cause}"
    if isinstance(error, PortInUse):
        return f"--port: {error}"
    if isinstance(error, LocalPortInUse):
        _, orchestrator, _ = request.chosen_ports
        which = "--orchestrator-port" if error.port == orchestrator else "--gateway-port"
        return f"{which}: {error}"
    return str(error)


async def _until_done(request: Request, pipeline: Loaded, answers: int) -> int:
    """Run all of it until the work is done or a signal comes; then nothing is left."""
    work = asyncio.create_task(_work(request, pipeline, answers), name="dev")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            # From here on another Ctrl-C ends the process at once, and what the server has to say
            # of requests that are cut short is no news.
            with suppress(NotImplementedError):
                loop.remove_signal_handler(signal.SIGINT)
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    finally:
        await cancel_and_wait(stopping)
        if not work.done():
            await cancel_and_wait(work)
    if work.cancelled():
        return _INTERRUPTED if request.once else 0
    return work.result()


async def _work(request: Request, pipeline: Loaded, answers: int) -> int:
    ports = request.chosen_ports
    name = resolve(pipeline).capability
    secret = secrets.token_urlsafe(16)
    with bind("127.0.0.1", ports[0]) as sock:
        async with LocalNetwork(
            orchestrator_port=ports[1],
            gateway_port=ports[2],
            secret=secret,
            verify=request.verify,
            charge=request.price is not None,
        ) as network:
            settings = load_settings(
                host="127.0.0.1",
                port=ports[0],
                # All that concerns the registration, so that an environment which is set for
                # another orchestrator does not reach this one.
                orch_url=network.orchestrator_url,
                orch_token=secret,
                capability_price=request.price or 0,
                capability_currency="wei",
                # So that the documents' "Try it out" and a plain curl reach the runner.
                capability_token=False,
                capability_name=name,
                capability_url=f"http://127.0.0.1:{sock.getsockname()[1]}",
                log_format=_log_format(),
                live_policy="drop" if request.live else "wait",
                stats_interval_s=_STATS_INTERVAL_S,
                setup_failure_linger_s=0.0,
                drain_timeout_s=_DRAIN_S,
                stop_timeout_s=_DRAIN_S,
            )
            async with running(pipeline, settings, sock) as server:
                await server.wait_registered()
                if request.once:
                    pays = request.input is not None and bool(request.price)
                    with fresh_key() if pays else nullcontext() as key_file:
                        arguments = _caller_arguments(request, name, network, key_file)
                        return await run_caller(arguments, answers)
                _show(pipeline, name, server, network, request.price)
                await server.wait_over()
                return 1


def _log_format() -> str:
    """Text for whoever sits before it, unless the environment says what it is to be."""
    settings = load_settings()
    return settings.log_format if _LOG_FORMAT in settings.model_fields_set else "text"


def _caller_arguments(
    request: Request, name: str, network: LocalNetwork, key_file: Path | None
) -> list[str]:
    if request.input is None:
        assert request.call is not None
        call = BatchCall(payload=request.call, output=request.output)
        return call.arguments(name, network.gateway_url)
    stream = StreamCall(
        input=request.input,
        output=request.output,
        params=request.params,
        fast=request.fast,
        live=request.live,
        key_file=key_file,
    )
    return stream.arguments(name, network.orchestrator_url)


def _show(
    pipeline: Loaded,
    name: str,
    server: RunningServer,
    network: LocalNetwork,
    price: int | None,
) -> None:
    commands = _samples(pipeline, name, network, price or 0)
    _say(
        f"{name} is on the local network.\n"
        f"  runner        {server.url}  (documents: {server.url}/docs)\n"
        f"  orchestrator  {network.orchestrator_url}\n"
        f"  gateway       {network.gateway_url}\n"
        + (f"  price         {price} wei per second; the gateway pays\n" if price else "")
        + "Try:\n"
        + "".join(f"  {command}\n" for command in commands)
        + "Ctrl-C ends it."
    )


def _samples(pipeline: Loaded, name: str, network: LocalNetwork, price: int) -> list[str]:
    """Commands that call it."""
    target = resolve(pipeline)
    made = None if target.live else target.pipeline()
    if isinstance(made, Pipeline):
        from livepeer.runner._schema.signature import read_contract

        contract = read_contract(made)
        sample = payload(contract.body.model_json_schema())
        files = [field for field in sample if contract.form[field].binary]
        raw = contract.raw is not None
        return batch_commands(name, network.gateway_url, sample, files=files, raw=raw)
    if isinstance(pipeline, LivePipeline) and _takes_texts_alone(pipeline):
        schema = {} if pipeline.Params is None else pipeline.Params.model_json_schema()
        params = payload({**schema, "required": list(schema.get("properties", ()))})
        return text_commands(name, network.orchestrator_url, params, price=price)
    return live_commands(name, network.orchestrator_url, price=price)


def _takes_texts_alone(pipeline: LivePipeline) -> bool:
    from livepeer.runner._live.in_process import processed_kinds

    updated = type(pipeline).on_params_update is not LivePipeline.on_params_update
    return updated and not processed_kinds(pipeline)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - the command's own words
