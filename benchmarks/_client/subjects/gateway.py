"""`submit_byoc_job` of `livepeer-gateway`, the one BYOC call that it has; it blocks its thread."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from livepeer_gateway.byoc import ByocJobRequest, submit_byoc_job

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from _client.load import Load


def prepared(payload: dict[str, object], load: Load) -> ByocJobRequest:
    # It takes the capability for the runner's path as well. Without parameters it leaves the field
    # out, which a gateway refuses.
    return ByocJobRequest(
        capability=load.route, payload=payload, timeout_seconds=60, parameters={"callers": 1}
    )


def right(prepared: ByocJobRequest, answer: object) -> bool:
    return answer == prepared.payload


@contextmanager
def opened_sync(load: Load) -> Generator[Callable[[ByocJobRequest], object]]:
    yield lambda request: submit_byoc_job(request, orch_url=load.url).data
