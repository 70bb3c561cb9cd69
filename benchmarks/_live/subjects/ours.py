"""Ours: a runner as an author serves it, with all that it does beside the media."""

from __future__ import annotations

from typing import TYPE_CHECKING

from _face.roles import say
from _live.hooks import PIPELINES
from livepeer.runner import serve
from livepeer.runner.settings import load_settings

if TYPE_CHECKING:
    from _live.job import Job


def main(job: Job) -> None:
    """Serve the job's pipeline until the process is ended."""
    pipeline = PIPELINES[job.hook]
    settings = load_settings(
        host="127.0.0.1",
        port=job.port,
        capability_token=False,
        # Nobody keeps these sessions alive.
        control_silence_s=24 * 3600.0,
        live_policy="wait" if job.fast else "drop",
        isolation="process" if job.isolated else "thread",
    )
    say({"ready": True})
    if job.isolated:
        from livepeer.runner import PipelineSpec

        name = f"{pipeline.__module__}:{pipeline.__qualname__}"
        serve(PipelineSpec(name="benchmark", pipeline_cls=name), settings=settings)
    else:
        serve(pipeline(), settings=settings)
