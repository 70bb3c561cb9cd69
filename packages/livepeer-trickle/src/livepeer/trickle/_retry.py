"""How long a failing server is asked again: by time, not by count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, TypeVar

import tenacity

from .errors import TrickleError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 1.0


async def persist(
    attempt: Callable[[], Awaitable[T]],
    failure: TrickleError,
    *,
    began: float,
    limit_s: float,
    again: Callable[[TrickleError], bool],
    on_retry: Callable[[int, float, TrickleError], None],
    stood: Callable[[TrickleError], bool] = lambda _: False,
) -> T:
    """Make an attempt again that failed, for as long as it fails in a way that `again` accepts.

    The first attempt is the caller's: most need no second, and should not pay for the possibility.

    Args:
        attempt: What is tried; it raises `TrickleError` when it fails.
        failure: How the first attempt failed.
        began: When it began, by `time.monotonic`.
        limit_s: For how long failures in a row are borne.
        again: Whether to go on after this error.
        on_retry: Told before each wait: the number of the failed attempt, how long the wait is in
            seconds, and the error.
        stood: Whether the attempt was well before this error, as a request is that waits at the
            edge; one that was for longer than `limit_s` begins the count anew.

    Raises:
        TrickleError: The last failure.
    """
    if not again(failure):
        raise failure
    patience = _Patience(limit_s, stood, began)
    failures = [failure]

    async def replay_then_attempt() -> T:
        if failures:
            raise failures.pop()
        patience.begin()
        return await attempt()

    def before_sleep(state: tenacity.RetryCallState) -> None:
        assert state.next_action is not None
        on_retry(state.attempt_number, state.next_action.sleep, _error(state))

    def retryable(error: BaseException) -> bool:
        return isinstance(error, TrickleError) and again(error)

    retrying = tenacity.AsyncRetrying(
        stop=patience.is_over,
        wait=tenacity.wait_exponential(FIRST_WAIT_S, LONGEST_WAIT_S)
        + tenacity.wait_random(0, FIRST_WAIT_S),
        retry=tenacity.retry_if_exception(retryable),
        before_sleep=before_sleep,
        reraise=True,
    )
    return await retrying(replay_then_attempt)


def _error(state: tenacity.RetryCallState) -> TrickleError:
    error = state.outcome.exception() if state.outcome is not None else None
    assert isinstance(error, TrickleError)
    return error


class _Patience:
    """Is over when attempts have failed in a row for so long."""

    def __init__(self, limit_s: float, stood: Callable[[TrickleError], bool], began: float) -> None:
        self._limit_s = limit_s
        self._stood = stood
        self._began = began
        self._failing_since: float | None = None

    def begin(self) -> None:
        self._began = time.monotonic()

    def is_over(self, state: tenacity.RetryCallState) -> bool:
        now = time.monotonic()
        if now - self._began > self._limit_s and self._stood(_error(state)):
            self._failing_since = now
        elif self._failing_since is None:
            self._failing_since = self._began
        return now - self._failing_since >= self._limit_s
