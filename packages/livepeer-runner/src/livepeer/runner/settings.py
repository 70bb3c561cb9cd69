"""Every option of a runner, in one place; nothing else reads the environment."""

from __future__ import annotations

import os
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from livepeer.runner.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_PREFIX: Final = "LIVEPEER_"
_NEAR: Final = 0.65
"""How much two names have in common, as difflib counts, where one may be meant for the other."""

Seconds = Annotated[float, Field(ge=0)]


def _listed(value: object) -> object:
    if isinstance(value, str):
        return tuple(item for item in (part.strip() for part in value.split(",")) if item)
    return value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


_CONTAINER_FILES = (Path("/.dockerenv"), Path("/run/.containerenv"))


def _host() -> str:
    """Loopback, or in a container all interfaces, since nobody could reach it there otherwise."""
    contained = any(file.exists() for file in _CONTAINER_FILES)
    return "0.0.0.0" if contained or "KUBERNETES_SERVICE_HOST" in os.environ else "127.0.0.1"


LogFormat = Annotated[Literal["text", "json", "auto"], BeforeValidator(_lower)]
LogLevel = Annotated[
    Literal["debug", "info", "warning", "error", "critical"], BeforeValidator(_lower)
]


class Settings(BaseSettings):
    """Options of one runner process.

    Each field is read from the environment variable `LIVEPEER_` plus its name in upper case,
    unless other names are given; arguments win over the environment. Empty variables count as
    absent. An argument that is no setting is refused.
    """

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a refused value may be a secret
        populate_by_name=True,
    )

    # Serving
    host: str = Field(default_factory=_host)
    """Address to listen on; by default loopback, and in a container (Docker, Podman, Kubernetes)
    all interfaces, `0.0.0.0`."""
    port: int = Field(5000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""
    keep_alive_s: int = Field(75, gt=60)
    """How long an idle connection is kept. The orchestrator reuses its connections for 60 s and
    unregisters a capability when one of them breaks, so it must be longer than that."""
    auth_token: SecretStr | None = None
    """Bearer token that callers must have, beside the one that a registration makes; the `token`
    of go-livepeer's `aiModels.json`."""
    model_id: str | None = None
    """Name of the pipeline for go-livepeer's AI worker, the `model_id` of `aiModels.json`; by
    default `capability_name`, or the pipeline's own name."""
    version: str | None = Field(None, validation_alias=AliasChoices("VERSION", "LIVEPEER_VERSION"))
    """What `/version` answers, a semantic version; by default that of livepeer-runner."""
    token_file: Path | None = None
    """Where the bearer token of a registration is written for its owner to read, with mode 0600; by
    default a file of this process in the runtime folder of the user. The log says where."""
    max_body_bytes: int = Field(64 * 1024 * 1024, ge=1)
    """Largest request body; a larger one is refused with 413."""
    body_timeout_s: float = Field(60.0, gt=0)
    """How long the head of a request may take to come in, and then the body of a call, which is
    refused with 408 after it."""
    write_timeout_s: float = Field(60.0, gt=0)
    """How long a caller may take nothing of an answer that waits for him; then he counts as one who
    has left."""
    drain_timeout_s: int = Field(30, ge=0)
    """How long running requests may go on after the order to stop."""
    teardown_timeout_s: float = Field(30.0, gt=0)
    """How long the end of the pipeline may take, `teardown()` included, before the process ends
    without it."""
    setup_failure_linger_s: Seconds = 5.0
    """How long `/health` shows ERROR after `setup()` failed, before the process ends."""
    tracing: bool = False
    """Make an OpenTelemetry span of each request that does work, and send it where
    `OTEL_EXPORTER_OTLP_ENDPOINT` says; needs `livepeer-runner[otel]`."""

    # Models
    model_dir: Path = Field(
        Path("/models"), validation_alias=AliasChoices("MODEL_DIR", "LIVEPEER_MODEL_DIR")
    )
    """Where `prepare_models()` puts models and `setup()` finds them; see `model_dir()`."""
    prepare_models: bool = Field(
        False, validation_alias=AliasChoices("PREPARE_MODELS", "LIVEPEER_PREPARE_MODELS")
    )
    """Run the class's `prepare_models()` and end, instead of serving; as `--prepare-models`."""

    # What the runner tells of itself
    log_format: LogFormat = "auto"
    """`text`, `json` (one object a line), or `auto`: text on a terminal, JSON elsewhere."""
    log_level: LogLevel = "info"
    """Least severe level that is logged: `debug`, `info`, `warning`, `error`, `critical`."""
    metrics: bool = True
    """Answer `GET /metrics`, for Prometheus; like `/health` without a token."""
    stats_log_interval_s: Seconds = 10.0
    """Time between lines of statistics in the log, one for each stream; 0 for none."""

    # Batch
    concurrency: int = Field(1, ge=1)
    """Calls of `predict()` that run at the same time."""
    workers: int = Field(1, ge=1, le=64)
    """Model processes of a batch pipeline; 1 runs the model in this process. The capacity is
    `workers` times `concurrency`."""
    queue: int = Field(0, ge=0)
    """Requests that may wait for a slot; the next one is refused with 503, so that the gateway asks
    another orchestrator."""
    predict_timeout_s: Seconds = 0.0
    """How long a call of `predict()` may take, its wait in the queue included, before its caller is
    answered 504; 0 for no limit. The slot is free when the work has really ended; with several
    `workers`, a model process in which it has not within `stop_timeout_s` more is ended and
    replaced."""
    sse_keep_alive_s: float = Field(15.0, gt=0)
    """Time without an item after which a stream gets a comment, so that nobody in between ends the
    connection."""
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed)] = ()
    """Origins whose pages may call the runner from a browser, with commas between; `*` for all of
    them."""
    healthcheck_interval_s: float = Field(10.0, gt=0)
    """Time between two calls of the author's `healthcheck()`."""
    healthcheck_timeout_s: float = Field(5.0, gt=0)
    """How long `healthcheck()` may take before the pipeline counts as not well."""
    out_of_memory_limit: int = Field(2, ge=1)
    """Calls in a row that a GPU's memory does not suffice for, before `/health` says ERROR. Each is
    answered 503."""
    first_item_wait_s: Seconds = 0.5
    """How long the first item of a generator is awaited before the headers are sent, so that an
    early failure keeps its status."""

    # Live
    isolation: Literal["auto", "thread", "process"] = "auto"
    """Where hooks run: on a thread of this process, or in a process of their own that is started
    again when it fails; `auto` is the process for what is served by its name alone."""
    live_policy: Literal["drop", "wait"] = "drop"
    """When hooks are slower than the source: drop the oldest waiting video frame, or wait."""
    video_queue: int = Field(32, ge=1)
    """Decoded video frames that may wait for the hook, however short the time."""
    video_wait_s: float = Field(0.2, gt=0)
    """How long a decoded video frame may wait for the hook while newer ones wait behind it; with
    the time that the hook takes, this bounds the latency. Not with the policy `wait`."""
    overlay_after_s: float = Field(1.0, gt=0)
    """When a hook has kept a frame for so long, and for three times what it usually takes, the
    loading overlay is published in the place of pictures until it answers. Not with the policy
    `wait`."""
    emit_drain_s: Seconds = 1.0
    """When the input has ended, how long after the last emitted frame another one is awaited."""
    hardware: Literal["none", "auto", "cuda"] = "none"
    """Where video is decoded and encoded: `cuda` on an NVIDIA GPU, `auto` there if it can be; what
    cannot be done there is done by the CPU, with a line in the log."""
    segment_s: float = Field(1.0, gt=0)
    """Length of an output segment."""
    heartbeat_interval_s: float = Field(10.0, gt=0)
    """Time between heartbeats on the events channel; the gateway gives up after 30 s."""
    stats_interval_s: float = Field(1.0, gt=0)
    """Time between statistics on the events channel."""
    control_silence_s: float = Field(60.0, gt=0)
    """A session ends when its control channel, on which the gateway has sent keep-alives, was
    silent for so long."""
    hook_timeout_s: float = Field(10.0, gt=0)
    """How long a frame hook may keep one frame before it counts as hanging: a model process is
    then begun anew, and `/health` of one without says ERROR."""
    hook_start_timeout_s: float = Field(60.0, gt=0)
    """How long `on_stream_start()` may take."""
    worker_start_timeout_s: float = Field(4.0, gt=0)
    """The same for streams that an AI worker's orchestrator begins: its gateway waits 5 s for all
    of its start."""
    hook_update_timeout_s: float = Field(60.0, gt=0)
    """How long `on_params_update()` may take."""
    setup_timeout_s: float = Field(600.0, gt=0)
    """How long `setup()` may take in a model process, before that is ended and begun anew."""
    restart_backoff_s: float = Field(0.5, gt=0)
    """First wait before a model process that failed soon after another is begun anew; it doubles
    up to 10 s. After one that worked there is no wait."""
    stop_timeout_s: float = Field(5.0, gt=0)
    """How long a session, or a worker thread, may take to end once told to; `/stream/stop` answers
    within it."""
    output_linger_s: Seconds = 5.0
    """How long an ended output is kept for readers who are behind."""

    trickle_tls_verify: bool = True
    """Check the certificate of trickle channels; orchestrators sign their own by default."""

    # Registration (BYOC)
    orch_url: str | None = Field(
        None, validation_alias=AliasChoices("ORCH_URL", "LIVEPEER_ORCH_URL")
    )
    """Orchestrator to register with; without it the runner registers nowhere."""
    orch_token: SecretStr | None = Field(
        None, validation_alias=AliasChoices("ORCH_TOKEN", "ORCH_SECRET", "LIVEPEER_ORCH_TOKEN")
    )
    """The orchestrator's secret (its `-orchSecret`)."""
    orch_tls_verify: bool = True
    """Check the orchestrator's certificate; orchestrators sign their own by default."""
    capability_name: str | None = Field(
        None, validation_alias=AliasChoices("CAPABILITY_NAME", "LIVEPEER_CAPABILITY_NAME")
    )
    """Name to register; by default the class name in kebab case."""
    capability_url: str | None = Field(
        None, validation_alias=AliasChoices("CAPABILITY_URL", "LIVEPEER_CAPABILITY_URL")
    )
    """Base URL at which the orchestrator reaches this runner; by default `host`, or the name of
    this machine where that means all interfaces."""
    capability_token: bool = Field(
        True,
        validation_alias=AliasChoices("CAPABILITY_TOKEN", "LIVEPEER_CAPABILITY_TOKEN"),
    )
    """Take only requests with the bearer token that is made for, and sent with, a registration;
    without it `auth_token`, where there is one, is registered."""
    capability_description: str = Field(
        "",
        validation_alias=AliasChoices("CAPABILITY_DESCRIPTION", "LIVEPEER_CAPABILITY_DESCRIPTION"),
    )
    """Text that goes with the registration."""
    capability_capacity: int = Field(
        1,
        ge=1,
        validation_alias=AliasChoices("CAPABILITY_CAPACITY", "LIVEPEER_CAPABILITY_CAPACITY"),
    )
    """Jobs that the orchestrator may offer at the same time; of a batch pipeline by default as many
    as can run, which is `workers` times `concurrency`."""
    capability_price: Decimal = Field(
        Decimal(0),
        ge=0,
        max_digits=18,
        validation_alias=AliasChoices("CAPABILITY_PRICE", "LIVEPEER_CAPABILITY_PRICE"),
    )
    """Price of one second of compute, in `capability_currency`."""
    capability_currency: str = Field(
        "wei",
        validation_alias=AliasChoices("CAPABILITY_CURRENCY", "LIVEPEER_CAPABILITY_CURRENCY"),
    )
    """`wei`, `eth`, or a currency for which the orchestrator has a price feed."""
    register_timeout_s: float = Field(5.0, gt=0)
    """Time for one attempt to register."""
    register_backoff_s: float = Field(0.5, gt=0)
    """First wait between attempts; it doubles, with jitter, up to 10 s."""
    register_give_up_s: float = Field(600.0, ge=0)
    """When attempts end for good; the runner goes on serving."""
    withdraw_timeout_s: float = Field(3.0, gt=0)
    """Time to unregister when stopping."""

    @model_validator(mode="before")
    @classmethod
    def _are_settings(cls, given: Mapping[str, object]) -> Mapping[str, object]:
        """Refuse a name that nobody reads: it may be the misspelt one of a token."""
        for name in given:
            if name not in cls.model_fields and name not in _aliases():
                raise PydanticCustomError(
                    "unknown_setting",
                    "{name} is no setting{hint}",
                    {"name": name, "hint": _hint(name, cls.model_fields)},
                )
        return given


def load_settings(**options: object) -> Settings:
    """Read the settings from the environment; options that are not None win.

    Raises:
        SettingsError: A value does not fit; the text names each option and what is wrong.
    """
    given = {name: value for name, value in options.items() if value is not None}
    try:
        # Runs the constructor, and so reads the environment as well.
        return Settings.model_validate(given)
    except ValidationError as exc:
        faults = "; ".join(
            ": ".join(filter(None, (".".join(map(str, error["loc"])), error["msg"])))
            for error in exc.errors()
        )
        raise SettingsError(f"settings are not valid: {faults}") from None


def misspelt_variables() -> list[str]:
    """What to tell of each variable of the environment that is close to one that is read, but none.

    Those that are close to none may be somebody else's.
    """
    known = _variables()
    names = [name.removeprefix(_PREFIX) for name in known if name.startswith(_PREFIX)]
    told: list[str] = []
    for variable in os.environ:
        name = variable.upper()
        if not name.startswith(_PREFIX) or name in known:
            continue
        near = get_close_matches(name.removeprefix(_PREFIX), names, n=1, cutoff=_NEAR)
        told += [f"{variable} is no setting; did you mean {_PREFIX}{one}?" for one in near]
    return told


def model_dir() -> Path:
    """Where models are: `MODEL_DIR`, by default `/models`.

    `prepare_models()` is called with the folder made; `setup()` loads from it.

    Raises:
        SettingsError: A variable of the environment does not fit.
    """
    return load_settings().model_dir


def _variables() -> set[str]:
    """The variables that settings are read from."""
    return {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields} | _aliases()


def _aliases() -> set[str]:
    """Those that have other names than their settings."""
    aliases = (field.validation_alias for field in Settings.model_fields.values())
    return {
        str(name) for alias in aliases if isinstance(alias, AliasChoices) for name in alias.choices
    }


def _hint(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name.lower(), list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
