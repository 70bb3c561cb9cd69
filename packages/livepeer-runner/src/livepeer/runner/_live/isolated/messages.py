"""What a runner and its model process say to each other, besides the pixels."""

from __future__ import annotations

import json
from typing import Final, NamedTuple, TypeAlias, cast

from livepeer.runner._isolation import codec
from livepeer.runner._isolation.codec import Codec, JSONObject, to_json
from livepeer.runner._isolation.faults import ModelTraceback, sendable, trace_of
from livepeer.runner._isolation.messages import Close, Failed
from livepeer.runner.errors import HookFailed, InvalidParams, RunnerError, StageAway, describe
from livepeer.trickle.media import memory

SAME: Final = -1
"""The slot of a result that lies where its source does."""


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


class Picture(codec.Message):
    """A slot of an arena, and the picture that lies there."""

    slot: int
    about: memory.VideoDescription


class Sound(codec.Message):
    """A slot of an arena, and the sound that lies there."""

    slot: int
    about: memory.AudioDescription


Placed: TypeAlias = Picture | Sound


def placed(slot: int, about: memory.Description) -> Placed:
    """What lies in a slot."""
    if isinstance(about, memory.VideoDescription):
        return Picture(slot, about)
    return Sound(slot, about)


class Hello(codec.Message):
    """To the model process, first.

    Attributes:
        slots: Of each arena.
        model: What to load and how to behave, as `Model` has it.
    """

    slots: int
    model: bytes


class Start(codec.Message):
    """A session begins, perhaps anew after a crash; answered by `Reply`. Parameters are JSON."""

    request: int
    stage: int
    stream_id: str
    params: bytes


class Update(codec.Message):
    """Parameters that change, as JSON; answered by `Reply`."""

    request: int
    stage: int
    params: bytes


class Stop(codec.Message):
    """`on_stream_stop`; answered by `Reply`."""

    request: int
    stage: int


class Ask(codec.Message):
    """A frame for a hook, in a slot of the runner's arena; answered by one or more `Result`."""

    stage: int
    frame: int
    placed: Placed


class Interrupt(codec.Message):
    """Nobody waits for the open frames of a session any more."""

    stage: int


class Release(codec.Message):
    """A session is over."""

    stage: int


class Ready(codec.Message):
    """From the model process: `setup()` has returned."""

    kinds: list[str]
    frames_in_flight: int


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


class Began(codec.Message):
    """The author's thread gets to the hook of a request; `Reply` follows."""

    request: int


class Reply(codec.Message):
    """The end of a request."""

    request: int
    fault: Fault | None


class Result(codec.Message):
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


class Emitted(codec.Message):
    """A frame that the author sends in its own time, in the model's arena."""

    stage: int
    placed: Placed


class Event(codec.Message):
    """An event, as the JSON that it was when the author emitted it."""

    stage: int
    body: bytes


class Data(codec.Message):
    """A line of data; as `Event`."""

    stage: int
    body: bytes


ToModel: TypeAlias = Hello | Start | Update | Stop | Ask | Interrupt | Release | Close
FromModel: TypeAlias = Ready | Failed | Began | Reply | Result | Emitted | Event | Data
Message: TypeAlias = ToModel | FromModel

CODEC: Final[Codec[Message]] = Codec(cast("type[Message]", Message))


def to_fault(error: RunnerError) -> Fault:
    """An exception on its way to the runner."""
    text = sendable(str(error))
    if isinstance(error, InvalidParams):
        return Fault("params", text, [_field_fault(fault) for fault in error.errors], "")
    kind = "away" if isinstance(error, StageAway) else "hook"
    return Fault(kind, text, [], trace_of(error.__cause__))


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
        error.__cause__ = ModelTraceback(fault.trace)
    return error


def _field_fault(fault: dict[str, object]) -> FieldFault:
    loc = fault.get("loc", ())
    place = cast("tuple[object, ...]", loc) if isinstance(loc, tuple) else (loc,)
    return FieldFault(
        sendable(str(fault.get("type", ""))),
        tuple(step if isinstance(step, int) else sendable(str(step)) for step in place),
        sendable(str(fault.get("msg", ""))),
    )
