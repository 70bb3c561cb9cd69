"""What is said of things that are no frames, and cannot be made into one."""

from __future__ import annotations

from concurrent.futures import Future

from av.frame import Frame

from ._numpy import np
from ._timed import Timed


def named(value: object) -> str:
    """The type of a value with its article, for messages."""
    kind = type(value)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def check_array(array: object, others: str = "") -> None:
    """Refuse what is no array.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(array, np.ndarray):
        raise TypeError(f"{named(array)} is no numpy array{others}")


def check_like(like: object, kind: type) -> None:
    """Refuse a source that is not a frame of this kind.

    Raises:
        TypeError: It is none.
    """
    if not isinstance(like, kind):
        raise TypeError(
            f"like= is {named(like)}: give the {kind.__name__} whose time and coding are taken"
        )


def channels_first(shape: tuple[int, ...]) -> str:
    """What to say of a shape that begins with its channels; nothing of others."""
    if len(shape) != 3 or shape[0] not in (1, 3, 4):
        return ""
    return "; this looks like channels first: .transpose(1, 2, 0)"


def misfit(value: object, kind: str) -> str:
    """What to say of something that is no frame of this kind, with the mend where it is known."""
    text = f"{named(value)} is no {kind}"
    if isinstance(value, Frame):
        return f"{text} of ours: return the frame, not its raw, or VideoFrame(raw), AudioFrame(raw)"
    if isinstance(value, Timed):
        return f"{text}: emit_frame sends a frame of the other kind"
    if isinstance(value, Future):
        return f"{text}: return await asyncio.wrap_future(future), from a hook that is async"
    return f"{text}, nor an array or a tensor to make one of"
