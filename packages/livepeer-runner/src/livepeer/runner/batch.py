"""The author's face of a batch capability."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from fastapi import APIRouter


class Pipeline(ABC):
    """A batch capability: one request in, one answer or a stream of items out.

    Subclass it, annotate `predict()`, and hand an instance to `serve()`. An instance is a plain
    object: `MyPipeline().predict("x")` works without a server.

    Each hook may be sync or async. Sync hooks run on worker threads and never block the server;
    with the default `concurrency` of 1, all of them run on one and the same thread.

    Further methods are called by callers where `livepeer.runner.endpoints.endpoint` marks them.
    """

    router: APIRouter | None = None
    """Routes of the author's own, set in the class or in `__init__`. They are FastAPI's, need the
    bearer token as `/predict` does, and take no slot; a path of the runner's own is refused.

    With `workers` above 1 they run in the process that speaks HTTP, which has no instance and calls
    no `setup()`: set the router in the class then, and let its routes need neither. What needs the
    model is a method with `@endpoint`."""

    if TYPE_CHECKING:

        @classmethod
        def prepare_models(cls) -> Awaitable[None] | None:
            """Download and compile what `setup()` loads, into `livepeer.runner.model_dir()`.

            Run when an image is built (`PREPARE_MODELS=1`, `--prepare-models`), never when serving.
            A class that has it finds Hugging Face's libraries offline when it is served.
            """

    def setup(self) -> Awaitable[None] | None:  # noqa: B027 - optional
        """Load what `predict()` needs; called once, before the first request.

        Until it returns, `/health` says LOADING and requests are answered 503. If it raises,
        `/health` says ERROR for a moment and the process ends with a non-zero status. What takes
        long tells how far it is with `livepeer.runner.context.progress()`.
        """

    @abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Any:  # the author's signature replaces this one
        """Answer one request.

        The signature is the contract of `POST /predict`. One parameter that is a Pydantic model
        receives the whole body; any other parameters are the fields of the body. Fields that
        neither they nor a model in them knows are refused, unless a model says otherwise
        (`extra="ignore"`). The return annotation is the response model. A generator (sync or
        async) is answered as server-sent events, one per item; `bytes` and
        `livepeer.runner.files.File` as the bytes themselves.

        Raises:
            Exception: Whatever it raises is answered with status 500, except
                `livepeer.runner.InputError` (400, or what a subclass says) and FastAPI's
                `HTTPException`, whose status is kept (401 is sent as 403: to an orchestrator
                a 401 from a runner means that the capability is gone).
        """

    def healthcheck(self) -> Awaitable[bool | str | None] | bool | str | None:
        """Whether the pipeline is well; asked every `healthcheck_interval_s`, once it is set up.

        Keep it quick. None or True: it is. A text, which says why, or False: it is not; then
        `/health` says ERROR and no work is taken. So it is when this raises, or does not return
        within `healthcheck_timeout_s`.
        """
        return None

    def teardown(self) -> Awaitable[None] | None:  # noqa: B027 - optional
        """Let go of what `setup()` took; called once, after the last request."""
