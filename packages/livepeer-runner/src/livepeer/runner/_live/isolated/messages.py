"""What a runner and its model process say to each other, besides the pixels."""

from __future__ import annotations

import io
import pickle
import sys
import traceback
from typing import Any, Final, NamedTuple, TypeAlias, cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from livepeer.runner.errors import HookFailed, InvalidParams, RunnerError, StageAway, describe
from livepeer.trickle.media import memory

SAME: Final = -1
"""The slot of a result that lies where its source does."""

_TRACE_CHARS: Final = 16_000
# By name: torch is not imported for it.
_FATAL: Final = {("torch", "OutOfMemoryError"), ("torch", "AcceleratorError")}


class Hello(NamedTuple):
    """To the model process, first: what to load and how to behave."""

    name: str
    pipeline_cls: str
    params_cls: str | None
    initial_params: dict[str, JsonValue]
    settings: dict[str, JsonValue]
    path: list[str]
    slots: int


class Start(NamedTuple):
    """A session begins, perhaps anew after a crash; answered by `Reply`."""

    request: int
    stage: int
    stream_id: str
    params: dict[str, JsonValue]


class Update(NamedTuple):
    """Parameters that change; answered by `Reply`."""

    request: int
    stage: int
    params: dict[str, JsonValue]


class Stop(NamedTuple):
    """`on_stream_stop`; answered by `Reply`."""

    request: int
    stage: int


class Ask(NamedTuple):
    """A frame for a hook, in a slot of the runner's arena; answered by one or more `Result`."""

    stage: int
    frame: int
    slot: int
    about: memory.Description


class Interrupt(NamedTuple):
    """Nobody waits for the open frames of a session any more."""

    stage: int


class Release(NamedTuple):
    """A session is over."""

    stage: int


class Close(NamedTuple):
    """Run `teardown()` and end."""


class Ready(NamedTuple):
    """From the model process: `setup()` has returned."""

    kinds: list[str]
    frames_in_flight: int


class Failed(NamedTuple):
    """The model cannot be used, and its process ends.

    Attributes:
        reason: For a person.
        definition: The class cannot be loaded as it is written, so that trying again is no use.
    """

    reason: str
    definition: bool = False


class FieldFault(NamedTuple):
    """A parameter that was refused, as `InvalidParams` has it."""

    type: str
    loc: tuple[str | int, ...]
    msg: str


class Fault(NamedTuple):
    """An exception of a hook's."""

    kind: str
    message: str
    errors: list[FieldFault]
    trace: str


class Began(NamedTuple):
    """The author's thread gets to the hook of a request; `Reply` follows."""

    request: int


class Reply(NamedTuple):
    """The end of a request."""

    request: int
    fault: Fault | None


class Result(NamedTuple):
    """A part of the answer to a frame.

    Attributes:
        frame: Which.
        given: Slots of the model's arena, or `SAME`, and what lies there.
        done: Whether it is the last part.
        fault: What the hook raised.
    """

    frame: int
    given: list[tuple[int, memory.Description]]
    done: bool
    fault: Fault | None


class Emitted(NamedTuple):
    """A frame that the author sends in its own time, in a slot of the model's arena."""

    stage: int
    slot: int
    about: memory.Description


class Event(NamedTuple):
    """An event, as the JSON that it was when the author emitted it."""

    stage: int
    body: bytes


class Data(NamedTuple):
    """A line of data; as `Event`."""

    stage: int
    body: bytes


ToModel: TypeAlias = Hello | Start | Update | Stop | Ask | Interrupt | Release | Close
FromModel: TypeAlias = Ready | Failed | Began | Reply | Result | Emitted | Event | Data
Message: TypeAlias = ToModel | FromModel

_TO_MODEL: Final = (Hello, Start, Update, Stop, Ask, Interrupt, Release, Close)
_FROM_MODEL: Final = (Ready, Failed, Began, Reply, Result, Emitted, Event, Data)
_PARTS: Final = (Fault, FieldFault, memory.VideoDescription, memory.AudioDescription)
_OURS: Final = {(cls.__module__, cls.__name__): cls for cls in (*_TO_MODEL, *_FROM_MODEL, *_PARTS)}

# What comes from the runner is as its type says.
_CHECKS: Final[dict[type[object], TypeAdapter[Any]]] = {
    cls: TypeAdapter(cls) for cls in _FROM_MODEL
}


class _Unpickler(pickle.Unpickler):
    """Makes messages of plain values and nothing else: what runs in the model is not trusted."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return _OURS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module_name}.{global_name} is no message") from None


def encode(message: Message) -> bytes:
    """The bytes of a message."""
    return pickle.dumps(message, protocol=5)


def decode(data: bytes) -> Message:
    """The message in bytes.

    Raises:
        UnpicklingError: They are none, or a field of it has not its type.
        Exception: As `pickle` raises for broken bytes.
    """
    message: object = _Unpickler(io.BytesIO(data)).load()
    check = _CHECKS.get(type(message))
    if check is None and type(message) not in _TO_MODEL:
        raise pickle.UnpicklingError(f"a {type(message).__name__} is no message")
    if check is not None:
        try:
            message = check.validator.validate_python(message, strict=True)
        except ValidationError as error:
            place = ".".join(map(str, error.errors()[0]["loc"]))
            text = f"a {type(message).__name__} with such a {place} is no message"
            raise pickle.UnpicklingError(text) from None
    return message  # type: ignore[return-value]  # just checked; pyright: ignore[reportReturnType]


class _ModelTraceback(Exception):
    """The traceback of an exception in the model process; shown as the cause."""


def to_fault(error: RunnerError) -> Fault:
    """An exception on its way to the runner."""
    cause = error.__cause__
    trace = "" if cause is None else "".join(traceback.format_exception(cause))
    if isinstance(error, InvalidParams):
        return Fault("params", str(error), [_field_fault(fault) for fault in error.errors], "")
    return Fault("away" if isinstance(error, StageAway) else "hook", str(error), [], _tail(trace))


def as_runner_error(error: BaseException) -> RunnerError:
    """What a hook did, in the runner's words; also where nobody put it into such on the way."""
    if isinstance(error, RunnerError):
        return error
    failed = HookFailed(describe(error))
    failed.__cause__ = error
    return failed


def from_fault(fault: Fault) -> RunnerError:
    """The exception again."""
    if fault.kind == "params":
        return InvalidParams(fault.message, [field._asdict() for field in fault.errors])
    error = StageAway(fault.message) if fault.kind == "away" else HookFailed(fault.message)
    if fault.trace:
        error.__cause__ = _ModelTraceback(f"in the model process\n{fault.trace}")
    return error


def is_fatal(error: BaseException | None) -> bool:
    """Whether an exception, or its cause, means that the model cannot go on in its process.

    Used-up memory comes back in pieces at best, and after an error of the device every later call
    fails too (`torch.AcceleratorError`, from CUDA's "sticky" errors). A hook that exits means it.
    """
    while error is not None:
        names = {(cls.__module__.partition(".")[0], cls.__name__) for cls in type(error).__mro__}
        if isinstance(error, (MemoryError, SystemExit, KeyboardInterrupt)) or names & _FATAL:
            return True
        error = error.__cause__
    return False


def search_path() -> list[str]:
    """Where the model process is to look for modules: where this one does."""
    return [entry for entry in sys.path if entry]


def _field_fault(fault: dict[str, object]) -> FieldFault:
    loc = fault.get("loc", ())
    place = cast("tuple[object, ...]", loc) if isinstance(loc, tuple) else (loc,)
    return FieldFault(
        str(fault.get("type", "")),
        tuple(step if isinstance(step, (str, int)) else str(step) for step in place),
        str(fault.get("msg", "")),
    )


def _tail(text: str) -> str:
    return text if len(text) <= _TRACE_CHARS else f"...\n{text[-_TRACE_CHARS:]}"
