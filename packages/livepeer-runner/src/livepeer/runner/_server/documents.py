"""What is told of a pipeline: the JSON of `/schema`, and its contracts in the OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._schema.documents import complete, describe
from livepeer.runner._server.openapi import complete_document
from livepeer.runner.live import LivePipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI

    from livepeer.runner._schema.contract import Contract
    from livepeer.runner._target import ServeTarget


def add_contracts(app: FastAPI, contracts: Sequence[Contract]) -> None:
    """Let the OpenAPI document of an application have the contracts of its pipeline."""
    complete_document(app, lambda document: complete(document, contracts))


def schema_of(
    target: ServeTarget, contracts: Sequence[Contract], version: str
) -> dict[str, object]:
    """The JSON of `/schema`.

    `kind` is `batch`, with the `endpoints` of the pipeline, or `live`, with the JSON Schema of the
    parameters of a stream as `params` (null where it takes any).

    Args:
        target: What is served.
        contracts: Those of a batch pipeline; none of what takes streams.
        version: As in `/version`.
    """
    known: dict[str, object] = {
        "name": target.capability,
        "description": target.description,
        "version": version,
    }
    if contracts:
        return {**known, "kind": "batch", **describe(contracts)}
    pipeline = None if target.isolated else target.pipeline()
    model = pipeline.Params if isinstance(pipeline, LivePipeline) else None
    if target.isolated and target.spec is not None:
        model = target.spec.load_params()
    return {**known, "kind": "live", "params": None if model is None else model.model_json_schema()}
