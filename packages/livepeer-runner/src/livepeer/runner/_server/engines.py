"""Which engine runs what is served; each is loaded only where it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from livepeer.runner._metrics import LiveMetrics
from livepeer.runner.batch import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.runner._live.stage import StageHost
    from livepeer.runner._schema.contract import Contract
    from livepeer.runner._server.caller import Pool
    from livepeer.runner._server.engine import Engine
    from livepeer.runner._target import ServeTarget
    from livepeer.runner.live import LivePipeline
    from livepeer.runner.settings import Settings


def batch_pipeline(target: ServeTarget) -> Pipeline | None:
    """The instance that answers calls; None of what takes streams.

    Raises:
        PipelineDefinitionError: The class does not load, or its constructor failed.
    """
    pipeline = None if target.isolated else target.pipeline()
    return pipeline if isinstance(pipeline, Pipeline) else None


def engine_for(target: ServeTarget, contracts: Sequence[Contract], settings: Settings) -> Engine:
    """Choose what runs a pipeline.

    Args:
        target: What is served.
        contracts: Those of a batch pipeline; none of what takes streams.
        settings: The runner's.

    Raises:
        PipelineDefinitionError: It does not load, or cannot be served as it is written.
    """
    pipeline = None if target.isolated else target.pipeline()
    if isinstance(pipeline, Pipeline):
        from livepeer.runner._server.batch import BatchEngine

        return BatchEngine(pipeline, contracts, settings, _pool(target, settings))
    from livepeer.runner._server.live import LiveEngine

    metrics = LiveMetrics(settings.capability_capacity)
    host = _host(target, pipeline, settings, metrics)
    return LiveEngine(host, target.capability, settings, metrics)


def _pool(target: ServeTarget, settings: Settings) -> Pool | None:
    if not target.pooled:
        return None
    assert target.spec is not None
    from livepeer.runner._server.pool.caller import PoolCaller

    return PoolCaller(target.spec.pipeline_cls, settings)


def _host(
    target: ServeTarget, pipeline: LivePipeline | None, settings: Settings, metrics: LiveMetrics
) -> StageHost:
    # Lazy, each: they load the codecs, and the second numpy as well.
    if pipeline is not None:
        from livepeer.runner._live.in_process import InProcessHost

        return InProcessHost(pipeline, settings, target.initial_params)
    assert target.spec is not None
    from livepeer.runner._live.isolated.host import IsolatedHost

    return IsolatedHost(target.spec, settings, metrics.restarted)
