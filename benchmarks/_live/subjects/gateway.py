"""`livepeer-gateway`: its media output into its media publisher, frame by frame."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from _face.roles import say
from _live.conversions import conversion
from _live.job import RATE
from _live.threads import with_threads

if TYPE_CHECKING:
    from _live.job import Job

# Only its own environment has it: to everything that checks this module it is not there.
publishing: Any = import_module("livepeer_gateway.media_publish")
MediaOutput = import_module("livepeer_gateway.media_output").MediaOutput


async def run(job: Job) -> None:
    """Run the loop until the incoming channel ends."""
    publishing.av = with_threads(publishing.av, job)
    convert = conversion(job.hook)
    track = publishing.VideoOutputConfig(fps=RATE, keyframe_interval_s=1.0)
    config = publishing.MediaPublishConfig(tracks=[track])
    publisher = publishing.MediaPublish(job.outgoing, config=config)
    output = MediaOutput(job.incoming, start_seq=0)
    say({"ready": True})
    async for decoded in output.frames():
        if decoded.kind == "video":
            await publisher.write_frame(convert(decoded.frame))
    await publisher.close()


def main(job: Job) -> None:
    """Run the loop in this process."""
    asyncio.run(run(job))
