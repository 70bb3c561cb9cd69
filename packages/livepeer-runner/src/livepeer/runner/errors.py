"""What can go wrong in a runner.

```
RunnerError
├── PipelineDefinitionError (TypeError)        the class cannot be served as it is written
├── SettingsError           (ValueError)       an option or environment variable is wrong
├── PortInUse               (OSError)          somebody else listens there
├── PipelineNotReady        (RuntimeError)     setup() has not finished: 503
├── SetupFailed             (RuntimeError)     setup() raised
├── HookFailed              (RuntimeError)     another hook of the author's raised: 500
├── StageAway               (RuntimeError)     the model is being loaded, or gone: 503
├── InvalidResult           (TypeError)        predict() returned what it does not declare: 500
├── InvalidParams           (ValueError)       the caller's values do not fit: 422
├── InputError              (ValueError)       the author says so of a caller's values: 400, or
│                                              another 4xx that a subclass names
├── Unauthorized            (PermissionError)  the bearer token is missing or wrong: 401
├── BodyTooLarge            (ValueError)       the request is larger than the limit: 413
├── BodyTooSlow             (TimeoutError)     the request did not come in in time: 408
├── UnsupportedEncoding     (ValueError)       the request is compressed: 415
├── AtCapacity              (RuntimeError)     no slot and no place in the queue: 503
├── OutOfMemory             (MemoryError)      the GPU has not enough memory for the call: 503
├── DeadlinePassed          (TimeoutError)     the call took longer than it may: 504
├── SessionExists           (RuntimeError)     a stream of that id is running: 409
├── NoSession               (LookupError)      no stream of that id: 404
└── RegistrationError       (ConnectionError)  the orchestrator did not take the registration
```

The statuses are those of the HTTP face, which turns these into
`{"detail": ..., "type": ..., "request_id": ...}`; `type` is the name of the class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def describe(error: BaseException, limit: int = 2000) -> str:
    """An exception in one short text, whatever its own text does."""
    try:
        text = str(error)
    except Exception as broken:  # noqa: BLE001 - the author's exception, whose text is code
        text = f"(its text cannot be had: {type(broken).__name__})"
    return f"{type(error).__name__}: {text}"[:limit]


class RunnerError(Exception):
    """Root of everything that `livepeer.runner` raises on purpose."""


class PipelineDefinitionError(RunnerError, TypeError):
    """The pipeline class cannot be served as it is written; the text names the mend."""


class SettingsError(RunnerError, ValueError):
    """An option or an environment variable is wrong; the text names it."""


class PortInUse(RunnerError, OSError):
    """The address to listen on is taken."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"port {port} on {host} is in use; stop what listens there or choose another port"
        )
        self.host = host
        self.port = port


class PipelineNotReady(RunnerError, RuntimeError):
    """The pipeline takes no requests yet, or no longer."""


class SetupFailed(RunnerError, RuntimeError):
    """`setup()` raised; the cause is chained."""


class HookFailed(RunnerError, RuntimeError):
    """A hook of the author's raised; the cause is chained."""


class StageAway(RunnerError, RuntimeError):
    """The author's hooks cannot be called now; they can when the model is loaded (again)."""


class InvalidResult(RunnerError, TypeError):
    """`predict()` returned a value that its return annotation, or JSON, does not allow."""


class InvalidParams(RunnerError, ValueError):
    """The caller's values do not fit.

    Attributes:
        errors: One mapping per fault with `type`, `loc` and `msg`, as Pydantic and FastAPI
            write them.
    """

    def __init__(self, message: str, errors: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message)
        self.errors = [dict(error) for error in errors]

    def under(self, *place: str) -> InvalidParams:
        """The same faults, located below a place in the request."""
        located = [{**error, "loc": (*place, *_place(error))} for error in self.errors]
        return InvalidParams(str(self), located)


def _place(error: Mapping[str, object]) -> tuple[object, ...]:
    loc = error.get("loc", ())
    return cast("tuple[object, ...]", loc) if isinstance(loc, tuple) else (loc,)


class InputError(RunnerError, ValueError):
    """Raise it in `predict()` where the caller's values cannot be worked on; its text is answered.

    A gateway hands a status below 500 to its caller, and asks another orchestrator for any other:
    what fails everywhere should not be tried everywhere.

    Attributes:
        status: The status of the answer; a subclass may name another one from 400 to 499, but not
            401, which tells an orchestrator that the capability is gone.
    """

    status: ClassVar[int] = 400

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if not 400 <= cls.status <= 499 or cls.status == 401:
            raise TypeError(
                f"{cls.__name__}.status is {cls.status}: write one from 400 to 499, but not 401"
            )


class Unauthorized(RunnerError, PermissionError):
    """The bearer token is missing, or is not the one that callers must have."""


class BodyTooLarge(RunnerError, ValueError):
    """The request is larger than the runner takes."""


class BodyTooSlow(RunnerError, TimeoutError):
    """The body of a request did not come in in time."""


class UnsupportedEncoding(RunnerError, ValueError):
    """The body of a request has a `Content-Encoding`, of which none is read."""


class OutOfMemory(RunnerError, MemoryError):
    """The GPU has not enough memory for a call; a smaller one, or a later one, may fit."""


class DeadlinePassed(RunnerError, TimeoutError):
    """A call took longer than it may."""


class AtCapacity(RunnerError, RuntimeError):
    """Every slot is taken, and so is every place in the queue.

    Attributes:
        retry_after_s: When another attempt is worth making, in whole seconds.
    """

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SessionExists(RunnerError, RuntimeError):
    """A stream of the same id is running."""


class NoSession(RunnerError, LookupError):
    """There is no stream of that id."""


class RegistrationError(RunnerError, ConnectionError):
    """The orchestrator did not take, or could not be asked for, a registration.

    Attributes:
        retryable: Whether the same attempt can succeed later.
        status: The HTTP status of the answer, if there was one.
    """

    def __init__(self, message: str, *, retryable: bool, status: int | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.status = status
