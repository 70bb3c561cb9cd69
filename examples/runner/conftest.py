"""What the tests of the examples share: the clip, small and whole, and a way to load an example."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest

from livepeer.client.media import MediaSource
from livepeer.trickle.media import Segmenter

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import numpy as np
    from numpy.typing import NDArray

HERE = Path(__file__).parent
SIZE = (320, 180)
RATE = 25


@pytest.fixture(scope="session")
def clip() -> Path:
    """The clip as it is: 1280x720, 132 pictures, 5.28 s, with sound."""
    return HERE.parent / "assets" / "bigbuckbunny.mp4"


@pytest.fixture(scope="session")
def small_clip(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of the clip at 320x180, its sound as it is."""
    path = tmp_path_factory.mktemp("clip") / "small.mp4"
    with av.open(str(clip)) as given, av.open(str(path), "w") as made:
        sound = made.add_stream_from_template(given.streams.audio[0])
        video = made.add_stream("libx264", rate=RATE)
        video.width, video.height = SIZE
        video.options = {"preset": "ultrafast", "crf": "12", "bf": "0", "g": str(RATE)}
        count = 0
        for packet in given.demux():
            if packet.stream.type == "audio":
                if packet.dts is not None:
                    packet.stream = sound
                    made.mux(packet)
                continue
            for frame in packet.decode():
                small = frame.reformat(*SIZE, format="yuv420p")
                small.pts, small.time_base = count, Fraction(1, RATE)
                count += 1
                made.mux(video.encode(small))
        made.mux(video.encode(None))
    return path


@pytest.fixture(scope="session")
def segments(small_clip: Path) -> list[bytes]:
    """The small clip as a caller would publish it, each about a second long."""
    made: list[bytes] = []
    with MediaSource(small_clip) as source:
        segmenter = Segmenter(source.codecs)
        for unit in source:
            piece = segmenter.add(unit)
            if piece.starts:
                made.append(b"")
            made[-1] += piece.data
    return made


@pytest.fixture(scope="session")
def pictures(small_clip: Path) -> list[NDArray[np.uint8]]:
    """The pictures of the small clip, in RGB."""
    with av.open(str(small_clip)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture(scope="session")
def load() -> Callable[[str], ModuleType]:
    """Imports the pipeline of an example by the example's name."""
    return _load


def _load(example: str) -> ModuleType:
    name = f"examples_{example}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, HERE / example / "pipeline.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]
