"""What the front of a batch pipeline and its model processes say to each other."""

from __future__ import annotations

import json
from typing import Final, NamedTuple, TypeAlias, cast

from livepeer.runner._isolation import codec
from livepeer.runner._isolation.codec import Codec, JSONObject, to_json
from livepeer.runner._isolation.messages import Close, Failed
from livepeer.runner._server.pool.faults import Fault  # noqa: TC001 - msgspec reads it


class Model(NamedTuple):
    """What to load and how to behave.

    Attributes:
        pipeline_cls: The class, as `PipelineSpec` has it.
        settings: The runner's, without its secrets.
        path: Where modules are looked for.
    """

    pipeline_cls: str
    settings: JSONObject
    path: list[str]

    def to_json(self) -> bytes:
        """For `Hello`: paths are not always Unicode."""
        return to_json(self._asdict())

    @classmethod
    def from_json(cls, text: bytes) -> Model:
        """The same again."""
        return cls(**json.loads(text))


class Hello(codec.Message):
    """To the model process, first.

    Attributes:
        model: What to load and how to behave, as `Model` has it.
        number: Which of the processes it is, from 0 up.
    """

    model: bytes
    number: int


class Ask(codec.Message):
    """A request; answered by `End`, after `Items` where it gives items.

    Attributes:
        call: The front's number of it.
        endpoint: Which contract.
        body: As the caller sent it.
        content_type: As the caller sent it.
        request_id: What logs and the author's code call it.
        window: How many items may come before `More`; 0 where it gives one answer.
    """

    call: int
    endpoint: int
    body: bytes
    content_type: str
    request_id: str | None
    window: int


class More(codec.Message):
    """So many more items may come."""

    call: int
    count: int


class Cancel(codec.Message):
    """Nobody waits for a call any more; its `End` comes when the work has ended."""

    call: int


class Ready(codec.Message):
    """From the model process: `setup()` has returned."""


class Progress(codec.Message):
    """How far `setup()` is, from 0 to 1 where that is known."""

    text: str
    fraction: float | None


class Health(codec.Message):
    """What `healthcheck()` says is wrong; None when it is well."""

    wrong: str | None


class Items(codec.Message):
    """Some items of a call, in order."""

    call: int
    items: list[bytes]


class End(codec.Message):
    """The work of a call has ended.

    Attributes:
        call: Which.
        body: The answer; None for items, a fault, or a call that was cancelled.
        media_type: What the body is.
        fault: What was raised.
    """

    call: int
    body: bytes | None
    media_type: str
    fault: Fault | None


ToModel: TypeAlias = Hello | Ask | More | Cancel | Close
FromModel: TypeAlias = Ready | Progress | Failed | Health | Items | End
Message: TypeAlias = ToModel | FromModel

CODEC: Final[Codec[Message]] = Codec(cast("type[Message]", Message))

_ROOM: Final = 1024 * 1024
_LEAST: Final = 128 * 1024 * 1024


def max_message_bytes(max_body_bytes: int) -> int:
    """The largest message where bodies may be so large; answers have at least 128 MiB."""
    return max(_LEAST, max_body_bytes + _ROOM)
