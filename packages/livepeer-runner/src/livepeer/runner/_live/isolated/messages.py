"""What a runner and its model process say to each other, besides the pixels."""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any, Final, NamedTuple, TypeAlias, cast

import msgspec

from livepeer.runner.errors import HookFailed, InvalidParams, RunnerError, StageAway, describe
from livepeer.trickle.media import memory

SAME: Final = -1
"""The slot of a result that lies where its source does."""

JSONObject: TypeAlias = dict[str, Any]

_TRACE_CHARS: Final = 16_000
# By name: torch is not imported for it.
_FATAL: Final = {("torch", "OutOfMemoryError"), ("torch", "AcceleratorError")}


class Model(NamedTuple):
    """What to load and how to behave."""

    name: str
    pipeline_cls: str
    params_cls: str | None
    initial_params: JSONObject
    settings: JSONObject
    path: list[str]

    def to_json(self) -> bytes:
        """For `Hello`; ValueError for what is nested too deeply."""
        return to_json(self._asdict())

    @classmethod
    def from_json(cls, text: bytes) -> Model:
        """The same again."""
        return cls(**json.loads(text))


def to_json(values: JSONObject) -> bytes:
    """An author's or a caller's values, in which numbers may be of any size and text is not always
    Unicode; json.loads gives them back.

    Raises:
        ValueError: They are nested too deeply, or not JSON.
    """
    try:
        return json.dumps(values).encode()
    except RecursionError:
        raise ValueError("they are nested too deeply") from None
    except TypeError as error:
        raise ValueError(str(error)) from None


class _Message(msgspec.Struct, array_like=True, tag=True):
    """One is decoded only if each field has its type: what runs in the model is not trusted."""


class Picture(_Message):
    """A slot of an arena, and the picture that lies there."""

    slot: int
    about: memory.VideoDescription


class Sound(_Message):
    """A slot of an arena, and the sound that lies there."""

    slot: int
    about: memory.AudioDescription


Placed: TypeAlias = Picture | Sound


def placed(slot: int, about: memory.Description) -> Placed:
    """What lies in a slot."""
    if isinstance(about, memory.VideoDescription):
        return Picture(slot, about)
    return Sound(slot, about)


class Hello(_Message):
    """To the model process, first.

    Attributes:
        slots: Of each arena.
        model: What to load and how to behave, as `Model` has it.
    """

    slots: int
    model: bytes


class Start(_Message):
    """A session begins, perhaps anew after a crash; answered by `Reply`. Parameters are JSON."""

    request: int
    stage: int
    stream_id: str
    params: bytes


class Update(_Message):
    """Parameters that change, as JSON; answered by `Reply`."""

    request: int
    stage: int
    params: bytes


class Stop(_Message):
    """`on_stream_stop`; answered by `Reply`."""

    request: int
    stage: int


class Ask(_Message):
    """A frame for a hook, in a slot of the runner's arena; answered by one or more `Result`."""

    stage: int
    frame: int
    placed: Placed


class Interrupt(_Message):
    """Nobody waits for the open frames of a session any more."""

    stage: int


class Release(_Message):
    """A session is over."""

    stage: int


class Close(_Message):
    """Run `teardown()` and end."""


class Ready(_Message):
    """From the model process: `setup()` has returned."""

    kinds: list[str]
    frames_in_flight: int


class Failed(_Message):
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


class Began(_Message):
    """The author's thread gets to the hook of a request; `Reply` follows."""

    request: int


class Reply(_Message):
    """The end of a request."""

    request: int
    fault: Fault | None


class Result(_Message):
    """A part of the answer to a frame.

    Attributes:
        frame: Which.
        given: Where in the model's arena, or at `SAME`.
        done: Whether it is the last part.
        fault: What the hook raised.
    """

    frame: int
    given: list[Placed]
    done: bool
    fault: Fault | None


class Emitted(_Message):
    """A frame that the author sends in its own time, in the model's arena."""

    stage: int
    placed: Placed


class Event(_Message):
    """An event, as the JSON that it was when the author emitted it."""

    stage: int
    body: bytes


class Data(_Message):
    """A line of data; as `Event`."""

    stage: int
    body: bytes


ToModel: TypeAlias = Hello | Start | Update | Stop | Ask | Interrupt | Release | Close
FromModel: TypeAlias = Ready | Failed | Began | Reply | Result | Emitted | Event | Data
Message: TypeAlias = ToModel | FromModel

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final[msgspec.msgpack.Decoder[Message]] = msgspec.msgpack.Decoder(Message)


class NoMessage(Exception):
    """What came is no message; the peer cannot be understood any more."""


def encode(message: Message) -> bytes:
    """The bytes of a message.

    Raises:
        ValueError: It has a number of more than 64 bits, or half of a character.
    """
    try:
        return _encoder.encode(message)
    except OverflowError as error:
        raise ValueError(str(error)) from None


def decode(data: bytes) -> Message:
    """The message in bytes.

    Raises:
        NoMessage: They are none, or a field of it has not its type.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise NoMessage(f"this is no message: {error}") from None


class _ModelTraceback(Exception):
    """The traceback of an exception in the model process; shown as the cause."""


def to_fault(error: RunnerError) -> Fault:
    """An exception on its way to the runner."""
    cause, text = error.__cause__, sendable(str(error))
    trace = "" if cause is None else sendable("".join(traceback.format_exception(cause)))
    if isinstance(error, InvalidParams):
        return Fault("params", text, [_field_fault(fault) for fault in error.errors], "")
    return Fault("away" if isinstance(error, StageAway) else "hook", text, [], _tail(trace))


def sendable(text: str) -> str:
    """An author's text, in which halves of characters are written out."""
    return text.encode(errors="backslashreplace").decode()


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
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
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
        sendable(str(fault.get("type", ""))),
        tuple(step if isinstance(step, int) else sendable(str(step)) for step in place),
        sendable(str(fault.get("msg", ""))),
    )


def _tail(text: str) -> str:
    return text if len(text) <= _TRACE_CHARS else f"...\n{text[-_TRACE_CHARS:]}"
