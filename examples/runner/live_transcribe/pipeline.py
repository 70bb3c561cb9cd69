"""What is said in a live stream, as lines of data, by Whisper; the stream itself goes on as is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from av import AudioResampler
from pydantic import Field

from livepeer.runner import BaseParams, LivePipeline, model_dir, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from livepeer.runner.frames import AudioFrame

RATE = 16_000
WAITING = 12
GAP_S = 0.2
SHORTEST_S = 0.25
LAST_LINES_S = 4.0
# Of what is quieter Whisper makes words that nobody said.
SILENCE = 1e-4


class TranscribeParams(BaseParams):
    """What a caller may set, at the start and while the stream runs."""

    window_s: float = Field(
        5.0, ge=0.5, le=30, description="Seconds of sound that make a line; more make a better one."
    )
    language: str | None = Field(
        None, description="Of the speech, such as `en`; found out for each line when absent."
    )


@dataclass(frozen=True)
class Window:
    """A stretch of sound: mono at 16 kHz, and when it begins on the stream's clock."""

    start: float
    samples: NDArray[np.float32]

    @property
    def end(self) -> float:
        """When it ends, in seconds."""
        return self.start + len(self.samples) / RATE


class Listener:
    """Cuts the sound of one stream into windows; none reaches over a hole in the sound."""

    def __init__(self) -> None:
        self._resampler = AudioResampler()
        self._shape: tuple[str, str, int] | None = None
        self._held = Window(0.0, np.empty(0, np.float32))

    def add(self, frame: AudioFrame, window_s: float) -> Iterator[Window]:
        """The windows that are complete with this sound."""
        shape = (frame.format, frame.layout, frame.sample_rate)
        if shape != self._shape or abs(frame.time - self._held.end) > GAP_S:
            yield from self.rest()
            self._resampler = AudioResampler(format="flt", layout="mono", rate=RATE)
            self._shape = shape
            self._held = Window(frame.time, np.empty(0, np.float32))
        parts = [ready.to_ndarray()[0] for ready in self._resampler.resample(frame.raw)]
        samples = np.concatenate((self._held.samples, *parts))
        start, size = self._held.start, round(window_s * RATE)
        while len(samples) >= size:
            yield Window(start, samples[:size])
            start, samples = start + size / RATE, samples[size:]
        self._held = Window(start, samples)

    def rest(self) -> Iterator[Window]:
        """What is left of the sound, unless it is too short for a word."""
        if len(self._held.samples) >= SHORTEST_S * RATE:
            yield self._held


class LiveTranscribe(LivePipeline):
    """Sound in, text out. The video is copied, and the sound is given back unchanged."""

    Params = TranscribeParams
    checkpoint: ClassVar[str] = "openai/whisper-base"

    @classmethod
    def prepare_models(cls) -> None:
        """Download the model, when an image is built."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            cls.checkpoint,
            local_dir=model_dir() / cls.checkpoint,
            allow_patterns=["*.json", "merges.txt", "model.safetensors"],
        )

    def setup(self) -> None:
        """Load the model from where `prepare_models` left it."""
        folder = model_dir() / self.checkpoint
        if not folder.is_dir():
            raise FileNotFoundError(f"no model in {folder}: run once with PREPARE_MODELS=1")
        from transformers import WhisperForConditionalGeneration, WhisperProcessor

        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if cuda else "cpu")
        self.dtype = torch.float16 if cuda else torch.float32
        self.processor = WhisperProcessor.from_pretrained(folder, local_files_only=True)
        model = WhisperForConditionalGeneration.from_pretrained(
            folder, dtype=self.dtype, local_files_only=True
        )
        self.model = model.to(self.device).eval()

    async def on_stream_start(self, _: TranscribeParams) -> None:
        """Write the lines of this stream in a task of its own, which knows the stream."""
        state = self.stream.state
        state["listener"] = Listener()
        state["windows"] = asyncio.Queue[Window | None](WAITING)
        state["writing"] = asyncio.create_task(self._write_lines())

    async def process_audio(self, frame: AudioFrame) -> AudioFrame:
        """Listen, and give the sound back at once: the text may take longer."""
        for window in self.stream.state["listener"].add(frame, self.stream.params.window_s):
            self._offer(window)
        return frame

    async def on_stream_stop(self) -> None:
        """Write what was heard last."""
        state = self.stream.state
        try:
            async with asyncio.timeout(LAST_LINES_S):
                for window in (*state["listener"].rest(), None):
                    await state["windows"].put(window)
                await state["writing"]
        finally:
            state["writing"].cancel()

    def _offer(self, window: Window) -> None:
        """Queue a window; when the model is slower than speech, the oldest goes unheard."""
        windows = self.stream.state["windows"]
        if windows.full():
            lost = windows.get_nowait()
            self.emit_event({"type": "transcript_lost", "start": lost.start, "end": lost.end})
        windows.put_nowait(window)

    async def _write_lines(self) -> None:
        while (window := await self.stream.state["windows"].get()) is not None:
            try:
                text = await asyncio.to_thread(self._text, window.samples)
            except RuntimeError as error:  # such as a device without memory
                self.emit_event({"type": "error", "message": f"no transcript: {error}"})
                continue
            if text:
                line = {"start": round(window.start, 3), "end": round(window.end, 3), "text": text}
                self.emit_data(line)

    @torch.inference_mode()
    def _text(self, samples: NDArray[np.float32]) -> str:
        if np.sqrt(np.mean(samples**2)) < SILENCE:
            return ""
        heard = self.processor(samples, sampling_rate=RATE, return_tensors="pt").input_features
        options = {}
        if self.model.generation_config.is_multilingual:
            options = {"task": "transcribe", "language": self.stream.params.language}
        tokens = self.model.generate(heard.to(self.device, self.dtype), **options)
        return self.processor.batch_decode(tokens, skip_special_tokens=True)[0].strip()


if __name__ == "__main__":
    serve(LiveTranscribe)
