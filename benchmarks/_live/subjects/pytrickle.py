"""`pytrickle`: its client around a frame processor; a picture is a tensor in [0, 1] there."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING, Any

from _face.roles import say
from _live.job import NUMPY, RATE, SLOW, SLOW_S, TENSOR
from _live.threads import with_threads

if TYPE_CHECKING:
    from _live.job import Job

# Only its own environment has it: to everything that checks this module it is not there.
encoder: Any = import_module("pytrickle.encoder")
TrickleClient = import_module("pytrickle.client").TrickleClient
TrickleProtocol = import_module("pytrickle.protocol").TrickleProtocol
FrameProcessor = import_module("pytrickle.frame_processor").FrameProcessor


class Processor(FrameProcessor):  # type: ignore[misc, valid-type]  # no checker sees it
    """Does the job's work on each picture."""

    def __init__(self, hook: str) -> None:
        super().__init__()
        self._hook = hook

    async def load_model(self, **_: object) -> None:
        """Nothing."""

    async def process_video_async(self, frame: Any) -> Any:
        """One picture."""
        if self._hook == SLOW:
            await asyncio.to_thread(time.sleep, SLOW_S)
        elif self._hook == TENSOR:
            return frame.replace_tensor(1.0 - frame.tensor)
        elif self._hook == NUMPY:
            torch = import_module("torch")
            return frame.replace_tensor(torch.from_numpy(1.0 - frame.tensor.numpy()))
        return frame

    async def process_audio_async(self, frame: Any) -> Any:
        """The same sound."""
        return [frame]

    async def update_params(self, params: dict[str, object]) -> None:
        """Nothing."""


async def run(job: Job) -> None:
    """Run the loop until the incoming channel ends."""
    encoder.av = with_threads(encoder.av, job)
    encoder.GOP_SECS = 1
    # Its limit on the rate of pictures, far from the stream's own.
    protocol = TrickleProtocol(
        job.incoming, job.outgoing, width=job.width, height=job.height, max_framerate=10 * RATE
    )
    client = TrickleClient(protocol, Processor(job.hook))
    say({"ready": True})
    await client.start("benchmark")


def main(job: Job) -> None:
    """Run the loop in this process."""
    asyncio.run(run(job))
