"""The clip that is sent, at each size: made once of the examples' film and kept in a folder."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.container import InputContainer
from av.video.codeccontext import VideoCodecContext

from livepeer.trickle.media import TIME_BASE, AccessUnit

from .job import RATE, SIZES, TICKS

if TYPE_CHECKING:
    from collections.abc import Iterator

FILM = Path(__file__).parents[2] / "examples" / "assets" / "bigbuckbunny.mp4"
STEP = TICKS // RATE
_VERSION = 1


def clip(folder: Path, size: str, *, reordered: bool) -> list[AccessUnit]:
    """The coded pictures of one round of the film, with a key frame each second."""
    kept = folder / f"clip-{_VERSION}-{size}{'-b' if reordered else ''}.pickle"
    if not kept.exists():
        folder.mkdir(parents=True, exist_ok=True)
        units = list(_encoded(size, reordered=reordered))
        draft = kept.with_suffix(".draft")
        draft.write_bytes(pickle.dumps([(u.data, u.pts, u.dts, u.key) for u in units]))
        draft.replace(kept)
    rows = cast("list[tuple[bytes, int, int, bool]]", pickle.loads(kept.read_bytes()))
    return [AccessUnit("video", *row) for row in rows]


def looped(once: list[AccessUnit], pictures: int) -> Iterator[AccessUnit]:
    """So many pictures, the clip as often as that takes."""
    length = len(once) * STEP
    for n in range(pictures):
        unit, shift = once[n % len(once)], n // len(once) * length
        yield replace(unit, pts=unit.pts + shift, dts=unit.dts + shift)


def _encoded(size: str, *, reordered: bool) -> Iterator[AccessUnit]:
    width, height = SIZES[size]
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.time_base, encoder.thread_count = TIME_BASE, 1
    encoder.framerate = RATE  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    tuning = {"bf": "2", "b-adapt": "0"} if reordered else {"tune": "zerolatency", "bf": "0"}
    encoder.options = {
        "preset": "veryfast",
        "crf": "23",
        "g": str(RATE),
        "keyint_min": str(RATE),
        "sc_threshold": "0",
        **tuning,
    }
    with av.open(str(FILM)) as film:
        assert isinstance(film, InputContainer)
        for n, frame in enumerate(film.decode(film.streams.video[0])):
            picture = frame.reformat(width=width, height=height, format="yuv420p")
            picture.pts, picture.time_base, picture.pict_type = n * STEP, TIME_BASE, 0  # pyright: ignore[reportAttributeAccessIssue]
            yield from _units(encoder, picture)
    yield from _units(encoder, None)


def _units(encoder: VideoCodecContext, picture: av.VideoFrame | None) -> Iterator[AccessUnit]:
    for packet in encoder.encode(picture):  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        assert packet.pts is not None
        assert packet.dts is not None
        # Where pictures are reordered the first are decoded before time zero.
        yield AccessUnit(
            "video",
            bytes(packet),
            packet.pts + TICKS,
            packet.dts + TICKS,
            packet.is_keyframe,
        )
