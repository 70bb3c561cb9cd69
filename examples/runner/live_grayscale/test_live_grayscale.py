"""The pipeline on frames of the real clip, and behind its HTTP face."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import aiohttp
import av
import numpy as np

from livepeer.runner.frames import VideoFrame
from livepeer.runner.testing import serve

HERE = Path(__file__).parent
CLIP = HERE.parents[1] / "assets" / "bigbuckbunny.mp4"


def load():
    spec = importlib.util.spec_from_file_location("live_grayscale", HERE / "pipeline.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.Grayscale()


def test_colour_goes_and_luma_stays():
    grayscale = load()
    with av.open(str(CLIP)) as container:
        for _, raw in zip(range(10), container.decode(video=0), strict=False):
            luma = raw.to_ndarray()[: raw.height].copy()
            assert raw.to_ndarray()[raw.height :].std() > 1
            frame = grayscale.process_video(VideoFrame(raw))
            assert np.array_equal(frame.planes[0], luma)
            assert all((plane == 128).all() for plane in frame.planes[1:])


async def test_it_is_served_as_a_live_pipeline():
    async with serve(load()) as server, aiohttp.ClientSession() as http:
        async with http.get(server.url + "/health") as response:
            assert await response.json() == {"status": "IDLE"}
        async with http.get(server.url + "/openapi.json") as response:
            assert "/stream/start" in (await response.json())["paths"]
