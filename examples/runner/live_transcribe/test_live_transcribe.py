"""The clip through the served pipeline, with a Whisper that knows its seconds by their sound."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.runner.frames import AudioFrame
from livepeer.runner.testing import LiveSession, live_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)

WORDS = ("one", "two", "three", "four", "five")
SPECIAL = ("<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|transcribe|>", "<|notimestamps|>")
VOCABULARY = {word: number for number, word in enumerate((*WORDS, *SPECIAL))}
END, START, PLAIN = (VOCABULARY[SPECIAL[place]] for place in (0, 1, 4))
RATE = 16_000
# By how much a window of the stream may be off those that were learnt.
SHIFTS = (-1000, 0, 1000)
STEPS = 150


def sound_of(clip: Path) -> NDArray[np.float32]:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
    with av.open(str(clip)) as container:
        decoded = container.decode(audio=0)
        parts = [ready.to_ndarray()[0] for frame in decoded for ready in resampler.resample(frame)]
    return np.concatenate(parts)


def write_checkpoint(folder: Path, sound: NDArray[np.float32]) -> None:
    """Whisper with 30,000 parameters, for which each second of the sound is a word."""
    torch.manual_seed(0)
    listener = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
    tokenizer = transformers.WhisperTokenizer(vocab=VOCABULARY, merges=[])
    config = transformers.WhisperConfig(
        vocab_size=len(VOCABULARY),
        num_mel_bins=16,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_source_positions=100,
        max_target_positions=16,
        pad_token_id=END,
        bos_token_id=END,
        eos_token_id=END,
        decoder_start_token_id=START,
        suppress_tokens=None,
        begin_suppress_tokens=None,
        dropout=0.0,
    )
    model = transformers.WhisperForConditionalGeneration(config)
    begins = [max(second * RATE + shift, 0) for shift in SHIFTS for second in range(len(WORDS))]
    windows = [sound[begin : begin + RATE] for begin in begins]
    heard = listener(windows, sampling_rate=RATE, return_tensors="pt").input_features
    texts = [[PLAIN, VOCABULARY[word], END] for _ in SHIFTS for word in WORDS]
    labels = torch.tensor(texts)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        noisy = heard + 0.05 * torch.randn_like(heard)
        model(input_features=noisy, labels=labels).loss.backward()
        optimizer.step()
    model.generation_config = transformers.GenerationConfig(
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        no_timestamps_token_id=PLAIN,
        is_multilingual=False,
        return_timestamps=False,
        max_length=8,
    )
    model.save_pretrained(folder)
    transformers.WhisperProcessor(listener, tokenizer).save_pretrained(folder)


async def lines(session: LiveSession, count: int) -> list[dict[str, object]]:
    """The first `count` lines of data, once they have come."""
    async with asyncio.timeout(20):
        while len(session.data) < count:  # noqa: ASYNC110 - it only collects
            await asyncio.sleep(0.01)
    return session.data[:count]


@pytest.mark.slow
async def test_each_second_of_the_sound_becomes_a_line(
    load: Callable[[str], ModuleType],
    small_clip: Path,
    segments: list[bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = load("live_transcribe")
    write_checkpoint(tmp_path / example.LiveTranscribe.checkpoint, sound_of(small_clip))
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))

    async with live_session(example.LiveTranscribe, params={"window_s": 1}) as session:
        await session.publish(*segments)
        said = await lines(session, len(WORDS))
        output = await session.frames()
        await session.stop()
        # What is left of the sound, less than a window, is heard when the stream stops.
        rest = (await lines(session, len(WORDS) + 1))[-1]

    assert [line["text"] for line in said] == list(WORDS)
    begins = [line["start"] for line in said]
    sound = [frame for frame in output if isinstance(frame, AudioFrame)]
    assert np.allclose(np.diff(begins), 1.0, atol=0.002)
    assert begins[0] == pytest.approx(sound[0].time, abs=0.1)
    assert [line["end"] for line in said] == pytest.approx([begin + 1 for begin in begins])
    assert rest["start"] == pytest.approx(said[-1]["end"])
    assert 0.25 <= rest["end"] - rest["start"] < 0.4
    # The stream itself goes on: all its pictures, and its sound.
    assert len(output) - len(sound) == 132
    assert sum(frame.samples / frame.sample_rate for frame in sound) == pytest.approx(5.3, abs=0.1)
