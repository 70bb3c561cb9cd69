"""A picture of the clip through the served pipeline, with a Swin2SR that was fitted to others."""

from __future__ import annotations

import base64
import struct
import zlib
from fractions import Fraction
from io import BytesIO
from typing import TYPE_CHECKING

import aiohttp
import av
import numpy as np
import pytest

from livepeer.runner.errors import SetupFailed
from livepeer.runner.files import File
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    from numpy.typing import NDArray

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)

# The first of these pictures are learnt from, the last one is asked for.
PLACES = (0, 20, 40, 60)
SIZE = (640, 360)


def write_checkpoint(folder: Path, pictures: torch.Tensor) -> None:
    """Swin2SR with 170,000 parameters, whose way past the transformer undoes `halved` at best.

    What the transformer adds is random, and so quiet that it is below what a picture can show.
    """
    torch.manual_seed(0)
    init = torch.nn.init
    config = transformers.Swin2SRConfig(
        embed_dim=16, depths=[1], num_heads=[2], window_size=8, mlp_ratio=1.0
    )
    model = transformers.Swin2SRForImageSuperResolution(config)
    body, head = model.swin2sr, model.upsample
    with torch.no_grad():
        body.conv_after_body.weight *= 0.01
        for convolution in (
            body.first_convolution,
            head.conv_before_upsample,
            head.final_convolution,
        ):
            init.dirac_(convolution.weight)
        # What the activation between takes from a value, it leaves of its opposite.
        slope = head.activation.negative_slope
        head.conv_before_upsample.weight[3:6] = -head.conv_before_upsample.weight[:3]
        filters, bias = best_filters(halved(pictures) - body.mean, pictures - body.mean)
        upsampling = head.upsample.convolution_0
        init.zeros_(upsampling.weight)
        upsampling.weight[:12, :6] = torch.cat((filters, -filters), 1) / (1 + slope)
        upsampling.bias[:12] = bias
    model.save_pretrained(folder)


def best_filters(small: torch.Tensor, large: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The 3x3 filters that make of `small` the four pixels for each that are nearest to `large`."""
    functional = torch.nn.functional
    seen = functional.unfold(small, 3).transpose(1, 2).reshape(-1, 27).double()
    wanted = functional.pixel_unshuffle(large, 2)[:, :, 1:-1, 1:-1]
    wanted = wanted.permute(0, 2, 3, 1).reshape(-1, 12).double()
    mean, wanted_mean = seen.mean(0), wanted.mean(0)
    seen, wanted = seen - mean, wanted - wanted_mean
    filters = torch.linalg.solve(seen.T @ seen, seen.T @ wanted)
    return filters.T.reshape(12, 3, 3, 3).float(), (wanted_mean - mean @ filters).float()


def halved(pictures: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.interpolate(pictures, scale_factor=0.5, mode="area")


def doubled(picture: NDArray[np.uint8], mode: str) -> NDArray[np.uint8]:
    large = torch.nn.functional.interpolate(tensor(picture), scale_factor=2, mode=mode)
    return array(large)


def tensor(*pictures: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2) / 255


def array(pictures: torch.Tensor) -> NDArray[np.uint8]:
    return (pictures[0].permute(1, 2, 0).clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / error))


@pytest.fixture(scope="module")
def originals(clip: Path) -> list[NDArray[np.uint8]]:
    """Pictures of the clip."""
    found = []
    with av.open(str(clip)) as container:
        for place, frame in enumerate(container.decode(video=0)):
            if place in PLACES:
                found.append(frame.to_ndarray(width=SIZE[0], height=SIZE[1], format="rgb24"))
            if len(found) == len(PLACES):
                break
    return found


@pytest.fixture(scope="module")
def models(
    load: Callable[[str], ModuleType],
    originals: list[NDArray[np.uint8]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(
        folder / load("image_upscale").ImageUpscale.checkpoint, tensor(*originals[:-1])
    )
    return folder


def jpeg(picture: NDArray[np.uint8], orientation: int = 1) -> bytes:
    """A JPEG; of a camera that was held as `orientation` says (EXIF's tag 0x0112)."""
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="yuvj420p")
    data = b"".join(map(bytes, (*encoder.encode(frame), *encoder.encode(None))))
    # One directory with one entry: a tag, a short, one of them.
    tag = struct.pack(">HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0" + struct.pack(">2sHIH", b"MM", 42, 8, 1) + tag + bytes(4)
    return data[:2] + struct.pack(">BBH", 0xFF, 0xE1, len(exif) + 2) + exif + data[2:]


def claiming(png: bytes, width: int, height: int) -> bytes:
    """The same PNG with another size in its header."""
    header = b"IHDR" + struct.pack(">II", width, height) + png[24:29]
    return png[:12] + header + struct.pack(">I", zlib.crc32(header)) + png[33:]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["upload", "base64"])
async def test_a_picture_comes_back_twice_as_large_and_sharp(
    load: Callable[[str], ModuleType],
    originals: list[NDArray[np.uint8]],
    models: Path,
    way: str,
) -> None:
    example = load("image_upscale")
    original = originals[-1]
    small = array(halved(tensor(original)))
    body = example.write_png(small)
    async with (
        serve(example.ImageUpscale, model_dir=models) as server,
        aiohttp.ClientSession() as http,
    ):
        if way == "upload":
            form = {"image": BytesIO(body)}
            request = http.post(f"{server.url}/predict", data=form)
        else:
            text = base64.b64encode(body).decode()
            request = http.post(f"{server.url}/predict", json={"image": text})
        async with request as response:
            assert response.status == 200, await response.text()
            assert response.content_type == "image/png"
            large = example.read_picture(await response.read())

    assert large.shape == (small.shape[0] * 2, small.shape[1] * 2, 3)
    likeness = psnr(large, original)
    # It is the picture, and nearer to the original than what needs no model.
    for mode in ("nearest", "bilinear", "bicubic"):
        assert likeness > psnr(doubled(small, mode), original) + 0.1


@pytest.mark.slow
async def test_what_is_no_picture_or_too_large_is_refused(
    load: Callable[[str], ModuleType], originals: list[NDArray[np.uint8]], models: Path
) -> None:
    example = load("image_upscale")
    good = example.write_png(originals[0][:90, :160])
    wrong = {
        "no PNG": [b"", b"hello", b"GIF89a", b"#EXTM3U\nfile:///etc/passwd"],
        "broken": [good[:1000], jpeg(originals[0])[:1000], b"\x89PNG", claiming(good, 9000, 9000)],
    }
    async with (
        serve(example.ImageUpscale, model_dir=models) as server,
        aiohttp.ClientSession() as http,
    ):
        for reason, bodies in wrong.items():
            for body in bodies:
                form = {"image": BytesIO(body)}
                async with http.post(f"{server.url}/predict", data=form) as response:
                    assert response.status == 422, body
                    assert reason in (await response.json())["detail"]


def test_a_photo_is_read_as_it_was_held(
    load: Callable[[str], ModuleType], originals: list[NDArray[np.uint8]]
) -> None:
    example = load("image_upscale")
    picture = originals[0][:90, :160]
    for orientation, turns in ((1, 0), (3, 2), (6, -1), (8, 1)):
        upright = example.read_picture(jpeg(picture, orientation))
        assert psnr(upright, np.rot90(picture, turns)) > 25


async def test_small_pictures_and_seams(
    load: Callable[[str], ModuleType],
    originals: list[NDArray[np.uint8]],
    models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = load("image_upscale")
    monkeypatch.setenv("MODEL_DIR", str(models))
    upscale = example.ImageUpscale()
    upscale.setup()

    def enlarged(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return example.read_picture(upscale.predict(File(example.write_png(picture))))

    for height, width in ((1, 1), (3, 7), (17, 9)):
        assert enlarged(originals[0][:height, :width]).shape == (2 * height, 2 * width, 3)
    picture = originals[0][:100, :140]
    whole = enlarged(picture)
    upscale.tile = 64
    assert np.abs(enlarged(picture).astype(int) - whole).max() <= 1


async def test_without_a_model_the_error_says_how_to_get_one(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    pipeline = load("image_upscale").ImageUpscale
    with pytest.raises(SetupFailed) as failed:
        async with serve(pipeline, model_dir=tmp_path, setup_failure_linger_s=0):
            pass
    assert "PREPARE_MODELS=1" in str(failed.value.__cause__)
