"""The author's face of a batch capability."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable


class Pipeline(ABC):
    """A batch capability: one request in, one answer or a stream of items out.

    Subclass it, annotate `predict()`, and hand an instance to `serve()`. An instance is a plain
    object: `MyPipeline().predict("x")` works without a server.

    Each hook may be sync or async. Sync hooks run on worker threads and never block the server;
    with the default `concurrency` of 1, all of them run on one and the same thread.
    """

    def setup(self) -> Awaitable[None] | None:  # noqa: B027 - optional
        """Load what `predict()` needs; called once, before the first request.

        Until it returns, `/health` says LOADING and requests are answered 503. If it raises,
        `/health` says ERROR for a moment and the process ends with a non-zero status.
        """

    @abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Any:  # the author's signature replaces this one
        """Answer one request.

        The signature is the contract of `POST /predict`. One parameter that is a Pydantic model
        receives the whole body; any other parameters are the fields of the body, and fields that
        are not among them are refused. The return annotation is the response model. A generator
        (sync or async) is answered as server-sent events, one per item.

        Raises:
            Exception: Whatever it raises is answered with status 500, except FastAPI's
                `HTTPException`, whose status is kept (401 is sent as 403: to an orchestrator
                a 401 from a runner means that the capability is gone).
        """

    def teardown(self) -> Awaitable[None] | None:  # noqa: B027 - optional
        """Let go of what `setup()` took; called once, after the last request."""
