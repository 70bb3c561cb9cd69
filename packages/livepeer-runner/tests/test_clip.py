"""Files as a stream's input: what can be published as it is, and what is told of the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from livepeer.runner import LivePipeline
from livepeer.runner.testing import live_session
from livepeer.trickle.errors import MediaError

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, video: str | None, audio: str | None) -> Path:
    """Half a second in those codecs."""
    with av.open(str(path), "w") as file:
        pictures = file.add_stream(video, rate=24) if video else None
        sound = file.add_stream(audio, rate=48000) if audio else None
        if isinstance(pictures, av.VideoStream):
            pictures.width, pictures.height, pictures.pix_fmt = 64, 48, "yuv420p"
            for n in range(12):
                picture = av.VideoFrame(64, 48, "yuv420p")
                picture.pts = n
                file.mux(pictures.encode(picture))
            file.mux(pictures.encode(None))
        if isinstance(sound, av.AudioStream):
            silence = av.AudioFrame.from_ndarray(np.zeros((2, 24000), np.float32), "fltp", "stereo")
            silence.sample_rate = 48000
            file.mux(sound.encode(silence))
            file.mux(sound.encode(None))
    return path


@pytest.mark.parametrize(
    ("name", "video", "audio", "said"),
    [
        ("opus.mkv", "libx264", "libopus", "audio is opus"),
        ("pcm.mov", "libx264", "pcm_s16le", "audio is pcm_s16le"),
        ("vp8.webm", "libvpx", None, "video is vp8"),
    ],
)
async def test_a_codec_that_cannot_be_published_is_named(
    name: str, video: str | None, audio: str | None, said: str, tmp_path: Path
):
    clip = write(tmp_path / name, video, audio)
    async with live_session(LivePipeline) as session:
        with pytest.raises(MediaError, match=f"{name}: its {said}, .*: encode it first"):
            await session.publish_clip(clip)


async def test_a_file_that_is_no_media_is_named(tmp_path: Path):
    text, unknown = tmp_path / "text.mp4", tmp_path / "unknown.mp4"
    text.write_text("no pictures")
    known = write(tmp_path / "known.mp4", "libx264", None)
    unknown.write_bytes(known.read_bytes().replace(b"avc1", b"zzzz"))
    async with live_session(LivePipeline) as session:
        with pytest.raises(MediaError, match=r"text.mp4 cannot be read as media \(Invalid data"):
            await session.publish_clip(text)
        with pytest.raises(MediaError, match="unknown codec"):
            await session.publish_clip(unknown)
        with pytest.raises(FileNotFoundError):
            await session.publish_clip(tmp_path / "nothing.mp4")
        await session.publish_clip(known)
        assert len(await session.frames()) == 12
