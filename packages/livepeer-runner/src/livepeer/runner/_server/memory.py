"""A GPU whose memory does not suffice: by which exceptions it shows, and when it is an error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from livepeer.runner._isolation.faults import causes

if TYPE_CHECKING:
    from collections.abc import Callable

# By name, because none of these libraries is imported here.
_CLASSES: Final = frozenset({"OutOfMemoryError", "CUDAOutOfMemoryError"})
_HOMES: Final = ("torch", "cupy", "cupy_backends", "rmm", "pycuda", "numba")
# Where a library raises a class of its own for everything, its text has to tell.
_TEXTS: Final = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDA failure 2: out of memory",  # onnxruntime
    "RESOURCE_EXHAUSTED: Out of memory",  # jax and its XLA
    "cudaErrorMemoryAllocation",  # rmm, as a MemoryError
)


class MemoryWatch:
    """Counts the calls in a row that the GPU's memory did not suffice for.

    The error ends with the next call that succeeds. It ends after a while too: whoever sends no
    calls to what says ERROR would never see the end of it. One more that fails then begins it anew.

    Args:
        limit: From how many on it is an error of the runner, and not of one large call.
        lasts_s: How long after the last of them.
        clock: In seconds.
    """

    def __init__(
        self, limit: int, lasts_s: float = 60.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._lasts_s = lasts_s
        self._clock = clock
        self._last = 0.0
        self._in_a_row = 0
        self.total = 0
        """How many there were since the beginning."""

    refuses = False
    """The next call may be a smaller one, and only a call can show that there is memory again."""

    @property
    def message(self) -> str | None:
        """What is wrong; None while nothing is."""
        if self._in_a_row < self._limit or self._clock() - self._last >= self._lasts_s:
            return None
        return f"the GPU's memory did not suffice for the last {self._in_a_row} calls"

    def ran_out(self) -> None:
        """A call failed for it."""
        self.total += 1
        self._in_a_row += 1
        self._last = self._clock()

    def sufficed(self) -> None:
        """A call succeeded."""
        self._in_a_row = 0


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception, or what it was raised from, says that a GPU has no memory left.

    Known are torch (and what is built on it), cupy, rmm, pycuda, numba, onnxruntime and jax. A
    plain `MemoryError` is none: it is the host's, and often no more than a caller's number that
    the author's code has multiplied. The call fails, as with any other exception.
    """
    return any(_names(cause) or _says(cause) for cause in causes(error))


def _names(error: BaseException) -> bool:
    return any(
        cls.__name__ in _CLASSES and cls.__module__.partition(".")[0] in _HOMES
        for cls in type(error).__mro__
    )


def _says(error: BaseException) -> bool:
    if not isinstance(error, (RuntimeError, MemoryError)):
        return False
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the author's exception, whose text is code
        return False
    return any(known in text for known in _TEXTS)
