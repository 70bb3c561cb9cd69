"""Frames, coded media or bytes of a program of ours into a job."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import av

from livepeer.trickle.media import AccessUnit, AudioFrame, Kind
from livepeer.trickle.media.clock import ticks

from ._patience import Patience
from ._wall import WallClock
from .coding import FrameCoder
from .config import VideoOutputConfig
from .download import check_job
from .source import START
from .upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from livepeer.client._streams.live import StreamJob

    from .coding import Frame

STALL_S: Final = 60.0


class FramePublisher:
    """Puts what a program makes into a job. An async context manager that ends the input.

    ```python
    async with FramePublisher(job, VideoOutputConfig(fps=25)) as publisher:
        async for image in images():  # uint8 arrays of (height, width, 3), RGB
            await publisher.write(image)
    ```

    Frames are coded on a thread, to H.264 and AAC, and go out at once. After a reconnect the
    stream goes on with the next frame; what is written in between is left out, and counted.

    Args:
        job: The job.
        config: How pictures are coded.
        realtime: Each frame and unit waits for its time, counted from the first: for pictures that
            are there before they are due.
        patient: Wait for the runner, so that nothing is lost however slow it is: no segment goes
            in before it has begun the one two before, as its statistics events tell; between two
            sessions, wait for the next. Behind a gateway nobody tells how far the runner is.
        stall_s: With `patient`: for how long nothing may move.

    Attributes:
        lost: How many frames, units or segments were left out, because no session stood or their
            segment failed.

    Raises:
        TypeError: `job` is a `SyncBYOCJob`; what is wanted is its `job`.
    """

    def __init__(
        self,
        job: StreamJob,
        config: VideoOutputConfig | None = None,
        *,
        realtime: bool = False,
        patient: bool = False,
        stall_s: float = STALL_S,
    ) -> None:
        check_job(job)
        self.lost = 0
        self._clock = WallClock() if realtime else None
        self._patience = Patience(job, stall_s) if patient else None
        self._coder = FrameCoder(config)
        self._fps = (config or VideoOutputConfig()).fps
        self._codecs: dict[Kind, str] = {}
        self._job = job
        self._upload: Upload | None = None
        self._raw = False
        self._torn = False
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._began: float | None = None

    @property
    def now(self) -> int:
        """Where the wall clock stands, in ticks of 90 kHz: one second when it is first asked.

        For `pts`, where pictures come when they come and not at a steady rate.
        """
        self._began = time.monotonic() if self._began is None else self._began
        return START + ticks(time.monotonic() - self._began)

    async def write(
        self, frame: Frame, pts: int | None = None, *, format: str | None = None
    ) -> bool:
        """Put one frame in; it may be used again when this returns.

        It waits for the coder, and for the network when that is slower; with `realtime` for the
        time at which the frame is shown, with `patient` for the runner.

        Args:
            frame: An array of uint8, (height, width, 3) for RGB, (height, width, 4) for RGBA,
                (height, width) for gray; or a frame of ours or of PyAV, a picture or sound.
            pts: When it is shown: in units of the frame's own `time_base`, and of an array in
                ticks of 90 kHz. None for the frame's own time; a picture that has none comes
                `1 / fps` after the last such one.
            format: Of an array that is not what its shape says: `bgr24`, `bgra`, `yuv420p`…

        Returns:
            Whether it went out; False between two sessions.

        Raises:
            TypeError: It is no frame.
            ValueError: It cannot be coded, `pts` is not after the one before it or outside the 33
                bits that a transport stream has, or bytes were written before.
            StreamLost: The stream ended without our doing, or the runner did not go on.
            PaymentRequiredError: It ended because it was not paid.
            StreamError: It was stopped, or takes no media.
        """
        async with self._turn:
            sound = isinstance(frame, (AudioFrame, av.AudioFrame))
            upload = self._media("audio" if sound else "video")
            if not await upload.ready():
                self.lost += 1
                if self._clock is not None and not sound:
                    await asyncio.sleep(1 / self._fps)
                return False
            # What comes next must not refer to pictures that did not go out.
            anew = not sound and (self._torn or upload.wants_key)
            self._torn = True
            coding = partial(self._coder.code, frame, pts, format=format, anew=anew)
            sent = await self._send(upload, await self._on_thread(coding))
            self._torn = False
            return sent

    async def write_unit(self, unit: AccessUnit) -> bool:
        """Put one coded picture (H.264, Annex B) or sound (AAC, ADTS) in, by its own time.

        Returns:
            Whether it went out; not so what comes before the first key frame of a session.

        Raises:
            ClientError: As for `write`.
        """
        async with self._turn:
            return await self._send(self._media(unit.kind), [unit])

    async def write_bytes(self, data: bytes) -> bool:
        """Put bytes in as one segment, whatever they are: the runner has to know.

        An orchestrator holds the last few segments. Whoever writes faster than the runner reads
        has to be `patient`, or the runner misses some.

        Returns:
            Whether they went out.

        Raises:
            ValueError: Frames or units were written before.
            ClientError: As for `write`.
        """
        async with self._turn:
            if self._codecs:
                raise ValueError("a publisher takes frames and units, or bytes, and not both")
            self._raw = True
            self._upload = self._upload or self._open({})
            sent = await self._upload.write_segment(data)
            self.lost += not sent
            return sent

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._upload is None:
            self._thread.shutdown(wait=False)
            return
        try:
            if kind is None and self._job.end is None and self._upload.session is not None:
                await self._finish(self._upload)
        finally:
            self._thread.shutdown(wait=False)
            try:
                await self._upload.__aexit__(kind)
            finally:
                if self._patience is not None:
                    await self._patience.close()

    async def _on_thread(self, coding: Callable[[], list[AccessUnit]]) -> list[AccessUnit]:
        """Use the coder, which is for one thread; also who is cancelled waits until it is done.

        For the frame is lent to it.
        """
        working = asyncio.get_running_loop().run_in_executor(self._thread, coding)
        try:
            return await asyncio.shield(working)
        except asyncio.CancelledError:
            await asyncio.wait((working,))
            raise

    def _open(self, codecs: Mapping[Kind, str]) -> Upload:
        patience = self._patience
        return Upload(
            self._job,
            codecs,
            patient=patience is not None,
            gate=None if patience is None else patience.begin,
        )

    async def _finish(self, upload: Upload) -> None:
        """What the coders hold back, and the end of the last segment."""
        for unit in await self._on_thread(self._coder.flush):
            await upload.write(unit)
        await upload.end_segment()
        if self._patience is not None and upload.session is not None:
            await self._patience.finish(upload.session)

    def _media(self, kind: Kind) -> Upload:
        if self._raw:
            raise ValueError("a publisher takes frames and units, or bytes, and not both")
        if kind not in self._codecs:
            self._codecs[kind] = "h264" if kind == "video" else "aac"
            if self._upload is not None:
                self._upload.change(self._codecs)
        self._upload = self._upload or self._open(self._codecs)
        return self._upload

    async def _send(self, upload: Upload, units: list[AccessUnit]) -> bool:
        sent = True
        for unit in units:
            if self._clock is not None:
                await self._clock.reach(unit, upload.session)
            sent = await upload.write(unit) and sent
        self.lost += not sent
        return sent
