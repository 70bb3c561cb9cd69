"""Where the author's batch code runs: on threads of this process, or in processes of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from livepeer.runner._context import Call
    from livepeer.runner._server.answered import Answered
    from livepeer.runner.state import PipelineState


class Caller(Protocol):
    """Runs one pipeline's hooks and endpoints; whoever asks has admitted the call.

    Bodies go in and answers come out as bytes, so that nothing of the author's has to leave the
    process that it runs in.
    """

    @property
    def state(self) -> PipelineState:
        """LOADING until `setup()` has returned, then OK; ERROR while it fails."""
        ...

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        ...

    async def setup(self) -> None:
        """Run the author's `setup()`. Raises what it raises."""
        ...

    async def close(self) -> None:
        """Run `teardown()` where `setup()` succeeded, and let go of everything."""
        ...

    async def call(self, endpoint: int, body: bytes, content_type: str, call: Call) -> Answered:
        """Parse a body, call an endpoint, and serialize what it returns.

        It comes back when the work has really ended, also when it is cancelled: async work is
        cancelled with it, sync work sees `call.cancelled`.

        Args:
            endpoint: Which contract, by its place among those of the pipeline.
            body: As the caller sent it.
            content_type: As the caller sent it; perhaps empty.
            call: What the author's code can ask about the request.

        Raises:
            InvalidParams: The body does not fit.
            StageAway: What ran it is gone.
            AtCapacity: Nothing is free to run it.
            Exception: What the author's code raised.
        """
        ...

    def stream(
        self, endpoint: int, body: bytes, content_type: str, call: Call
    ) -> AsyncGenerator[list[bytes], None]:
        """As `call`, for an endpoint that gives items: as JSON, those that are ready together.

        Closing it closes the author's generator within one item, and waits for that.
        """
        ...


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What there is to tell of one model process.

    Attributes:
        number: Which, from 0 up.
        state: OK, LOADING or ERROR.
        message: What happened to the last one, or how far `setup()` is; None when all is well.
        pid: Its number in the system; None where none can be used now.
        gpus: Its `CUDA_VISIBLE_DEVICES`; None where there was nothing to deal out.
        busy: Calls that run in it.
        restarts: How many followed another.
    """

    number: int
    state: PipelineState
    message: str | None
    pid: int | None
    gpus: str | None
    busy: int
    restarts: int


class Pool(Caller, Protocol):
    """A caller with model processes, of which some may be away."""

    def reports(self) -> Sequence[WorkerReport]:
        """What there is to tell of each process."""
        ...

    def watch(self, offer: Callable[[int], None]) -> None:
        """Call `offer` with how many calls can run, now and whenever that has changed."""
        ...
