"""Exceptions from one process to another, by name: nothing of the author's is loaded for them.

Ours, the web framework's and Python's come over as what they are. One of the author's comes over as
a class of that name, derived from the nearest of those, so that it is answered by its class and
named by its name as if it had been raised here.
"""

from __future__ import annotations

import sys
from typing import Any, Final, NamedTuple

import msgspec

from livepeer.runner._isolation.codec import JSONObject  # noqa: TC001 - msgspec reads it
from livepeer.runner._isolation.faults import ModelTraceback, sendable, trace_of
from livepeer.runner.errors import describe

_KNOWN: Final = ("livepeer", "fastapi", "starlette", "builtins")
# A loop or a generator means something by them, or they cannot be made of a text.
_NEVER: Final = (StopIteration, StopAsyncIteration, ExceptionGroup)
_MAX_TEXT: Final = 16_000
_MAX_ATTRIBUTE: Final = 256 * 1024
_MAX_ATTRIBUTES: Final = 16


class Fault(NamedTuple):
    """An exception.

    Attributes:
        name: Its class's name.
        kinds: Module and name of its class and of those above, where both processes have them.
        text: What it says.
        attributes: What else it has, as far as JSON has it.
        trace: Its traceback.
    """

    name: str
    kinds: list[tuple[str, str]]
    text: str
    attributes: JSONObject
    trace: str


def to_fault(error: BaseException) -> Fault:
    """An exception on its way to the front."""
    cls = type(error)
    return Fault(
        sendable(cls.__name__),
        [(kind.__module__, kind.__qualname__) for kind in cls.__mro__ if _is_known(kind)],
        sendable(describe(error, _MAX_TEXT).partition(": ")[2]),
        _attributes(error),
        trace_of(error),
    )


def from_fault(fault: Fault) -> Exception:
    """The exception again, with its traceback as the cause."""
    found = (_find(module, name) for module, name in fault.kinds)
    base = next((kind for kind in found if kind is not None), Exception)
    error = _made(base, fault.name)
    error.args = (fault.text,)
    vars(error).update(fault.attributes)
    error.__cause__ = ModelTraceback(fault.trace)
    return error


def _is_known(kind: type[object]) -> bool:
    return kind.__module__.partition(".")[0] in _KNOWN


def _find(module: str, name: str) -> type[Exception] | None:
    if module.partition(".")[0] not in _KNOWN:
        return None
    found: object = getattr(sys.modules.get(module), name, None)
    if isinstance(found, type) and issubclass(found, Exception) and not issubclass(found, _NEVER):
        return found
    return None


def _made(base: type[Exception], name: str) -> Exception:
    """One of a class of that name; it has what it has by its attributes, not by its making."""
    says: dict[str, object] = {"__init__": _nothing, "__module__": base.__module__}
    # Python's own say what their arguments make them say, and those stayed where they were.
    if base.__module__ == "builtins":
        says["__str__"] = _text
    try:
        made: type[Exception] = type(name, (base,), says)
        return made()
    except (TypeError, ValueError):  # a name, or a class, that lets none be derived
        return Exception()


def _nothing(_error: Exception) -> None:
    pass


def _text(error: Exception) -> str:
    return str(error.args[0])


def _attributes(error: BaseException) -> JSONObject:
    found: dict[str, Any] = {}
    # An author's class may say something, such as a status, of all its instances.
    own = [kind for kind in type(error).__mro__ if not _is_known(kind)]
    for values in (*(vars(kind) for kind in reversed(own)), vars(error)):
        for name, value in values.items():
            if name.startswith("__") or callable(value):
                continue
            plain = _plain(value)
            if plain is not None and len(found) < _MAX_ATTRIBUTES:
                found[sendable(name)] = plain
    return found


def _plain(value: object) -> object:
    """A value as JSON has it; None where it has it not."""
    try:
        data = msgspec.msgpack.encode(value)
    except Exception:  # noqa: BLE001 - the author's value, which may be asked by code of its own
        return None
    return msgspec.msgpack.decode(data) if len(data) <= _MAX_ATTRIBUTE else None
