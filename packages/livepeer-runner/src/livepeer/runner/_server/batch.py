"""A batch pipeline as an engine: its endpoints behind one gate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.routing import Route

from livepeer.runner._server.calls import Endpoint, Limits
from livepeer.runner._server.gate import Gate
from livepeer.runner._server.intake import Intake
from livepeer.runner._server.threads import ThreadCaller

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.runner._batch_metrics import Load
    from livepeer.runner._schema.contract import Contract
    from livepeer.runner._server.caller import Caller, Pool, WorkerReport
    from livepeer.runner.batch import Pipeline
    from livepeer.runner.settings import Settings
    from livepeer.runner.state import PipelineState


class BatchEngine:
    """Runs a `Pipeline` behind `POST /predict`, and behind the paths of what `@endpoint` marks.

    Args:
        pipeline: The author's instance.
        contracts: What callers may call of it.
        settings: How many calls run and wait, and how long they may take.
        pool: Runs the author's code, in processes; without it threads of this one do.
    """

    metrics = None

    def __init__(
        self,
        pipeline: Pipeline,
        contracts: Sequence[Contract],
        settings: Settings,
        pool: Pool | None = None,
    ) -> None:
        self._contracts = contracts
        self._pool = pool
        self._caller: Caller = pool or ThreadCaller(pipeline, self._contracts, settings)
        self._gate = Gate(settings.concurrency, settings.queue)
        if pool is not None:
            pool.watch(self._gate.offer)
        calls = settings.workers * settings.concurrency + settings.queue
        self._intake = Intake(settings.body_timeout_s, calls * settings.max_body_bytes)
        self._limits = Limits(
            settings.predict_timeout_s, settings.first_item_wait_s, settings.sse_keep_alive_s
        )

    async def setup(self) -> None:
        """Run the author's `setup()`."""
        await self._caller.setup()

    async def close(self) -> None:
        """Run the author's `teardown()` if `setup()` succeeded, and end what runs his code."""
        await self._caller.close()

    @property
    def state(self) -> PipelineState:
        """A batch pipeline that is ready is OK, with or without work."""
        return self._caller.state

    @property
    def message(self) -> str | None:
        """What a person should know of the state; None when there is nothing."""
        return self._caller.message

    @property
    def load(self) -> Load:
        """What runs and waits at the moment."""
        return self._gate.load

    @property
    def workers(self) -> Sequence[WorkerReport]:
        """What there is to tell of each model process."""
        return () if self._pool is None else self._pool.reports()

    def router(self) -> APIRouter:
        """The routes, which nothing of FastAPI's parses or checks.

        What `/openapi.json` says of them is made from the contracts.
        """
        return APIRouter(
            routes=[
                Route(contract.path, self._endpoint(number), methods=["POST"], name=contract.method)
                for number, contract in enumerate(self._contracts)
            ]
        )

    def _endpoint(self, number: int) -> Endpoint:
        contract = self._contracts[number]
        return Endpoint(
            self._caller,
            number,
            contract.where,
            contract.streams,
            self._gate,
            self._intake,
            self._limits,
        )
