"""A picture twice as wide and twice as high, by Swin2SR: the detail is made up, and looks right."""

from fractions import Fraction
from typing import Annotated, ClassVar

import av
import numpy as np
import torch
from fastapi import HTTPException
from numpy.typing import NDArray
from pydantic import Field
from torch.nn import functional

from livepeer.runner import Pipeline, model_dir, serve
from livepeer.runner.files import ContentType, File

SCALE = 2
MOST_PIXELS = 16_000_000
# The first bytes of the pictures that are taken, and who reads them.
CODECS = {b"\x89PNG": "png", b"\xff\xd8\xff": "mjpeg", b"RIFF": "webp"}


class ImageUpscale(Pipeline):
    """Makes pictures twice as large."""

    checkpoint: ClassVar[str] = "caidas/swin2SR-classical-sr-x2-64"
    # Pixels at a time, so that memory does not grow with the picture, and what each part of it
    # sees of its surroundings, so that no seam shows.
    tile: ClassVar[int] = 256
    margin: ClassVar[int] = 16

    @classmethod
    def prepare_models(cls) -> None:
        """Download the model, when an image is built."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            cls.checkpoint,
            local_dir=model_dir() / cls.checkpoint,
            allow_patterns=["*.json", "*.safetensors", "pytorch_model.bin"],
        )

    def setup(self) -> None:
        """Load the model from where `prepare_models` left it."""
        folder = model_dir() / self.checkpoint
        if not folder.is_dir():
            raise FileNotFoundError(f"no model in {folder}: run once with PREPARE_MODELS=1")
        from transformers import Swin2SRForImageSuperResolution

        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if cuda else "cpu")
        model = Swin2SRForImageSuperResolution.from_pretrained(folder, local_files_only=True)
        self.model = model.to(self.device).eval()
        self.window = self.model.config.window_size

    @torch.inference_mode()
    def predict(
        self,
        image: Annotated[File, Field(description="A PNG, JPEG or WebP of up to 16 megapixels.")],
    ) -> Annotated[bytes, ContentType("image/png")]:
        """Make a picture twice as wide and twice as high; the answer is a PNG."""
        picture = torch.from_numpy(read_picture(image.read())).to(self.device)
        return write_png(self._upscale(picture.permute(2, 0, 1)[None] / 255))

    def _upscale(self, picture: torch.Tensor) -> NDArray[np.uint8]:
        """Tile by tile; (1, 3, height, width) in [0, 1] to (2 height, 2 width, 3)."""
        height, width = picture.shape[-2:]
        large = np.empty((height * SCALE, width * SCALE, 3), np.uint8)
        for top in range(0, height, self.tile):
            for left in range(0, width, self.tile):
                above, before = max(top - self.margin, 0), max(left - self.margin, 0)
                below, behind = top + self.tile + self.margin, left + self.tile + self.margin
                made = self._enlarge(picture[:, :, above:below, before:behind])
                kept = made[
                    (top - above) * SCALE : (top - above + self.tile) * SCALE,
                    (left - before) * SCALE : (left - before + self.tile) * SCALE,
                ]
                rows, columns = kept.shape[:2]
                y, x = top * SCALE, left * SCALE
                large[y : y + rows, x : x + columns] = kept
        return large

    def _enlarge(self, part: torch.Tensor) -> NDArray[np.uint8]:
        """One tile, at once; the model wants whole windows."""
        height, width = part.shape[-2:]
        padding = (0, -width % self.window, 0, -height % self.window)
        padded = functional.pad(part, padding, mode="replicate")
        made = self.model(pixel_values=padded).reconstruction[0].permute(1, 2, 0)
        whole = made[: height * SCALE, : width * SCALE]
        return (whole.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()


def read_picture(data: bytes) -> NDArray[np.uint8]:
    """The pixels of a file in memory, upright, (height, width, 3) in RGB.

    Raises:
        HTTPException: 422, when it is no picture, or too large a one.
    """
    codec = next((name for begin, name in CODECS.items() if data.startswith(begin)), None)
    if codec is None:
        raise HTTPException(422, "image is no PNG, JPEG or WebP")
    # The codec alone: a container's format would be guessed, and some of them open other files.
    decoder = av.CodecContext.create(codec, "r")
    decoder.options = {"max_pixels": str(MOST_PIXELS), "err_detect": "explode"}
    try:
        frames = [*decoder.decode(av.Packet(data)), *decoder.decode(None)]
    except av.FFmpegError as error:
        raise HTTPException(
            422, f"image is broken, or has more than {MOST_PIXELS} pixels: {error.strerror}"
        ) from error
    if not frames:
        raise HTTPException(422, "image has no picture in it")
    # A camera that was held upright says so beside the picture.
    turns = round(frames[0].rotation / 90)
    return np.ascontiguousarray(np.rot90(frames[0].to_ndarray(format="rgb24"), turns))


def write_png(pixels: NDArray[np.uint8]) -> bytes:
    """A PNG of (height, width, 3) pixels in RGB."""
    encoder = av.CodecContext.create("png", "w")
    encoder.height, encoder.width = pixels.shape[:2]
    encoder.pix_fmt = "rgb24"
    encoder.time_base = Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
    return b"".join(bytes(packet) for packet in (*encoder.encode(frame), *encoder.encode(None)))


if __name__ == "__main__":
    serve(ImageUpscale)
