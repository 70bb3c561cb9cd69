# ruff: noqa: RUF012 - as authors of fal write it
"""A picture of a prompt, and one of another picture; errors of the author's."""

from typing import Literal

import fal
from fal.exceptions import AppException, FieldException
from fal.toolkit import Image, ImageSizeInput, get_image_size
from fastapi import Response
from pydantic import BaseModel, Field


class TextInput(BaseModel):
    prompt: str = Field(description="What to draw", examples=["a cat"])
    image_size: ImageSizeInput = Field(default="square")
    num_images: int = Field(default=1, ge=1, le=4)
    format: Literal["png", "jpeg"] = "png"


class ImageInput(BaseModel):
    image: Image
    strength: float = Field(default=0.5, ge=0, le=1)


class Output(BaseModel):
    images: list[Image]
    seed: int
    request_id: str | None = None


class TextToImage(fal.App, keep_alive=300, name="text-to-image"):
    """Pictures from text."""

    machine_type = "GPU-A100"
    requirements = ["torch"]
    ended = 0

    def setup(self):
        self.seed = 7
        self.well = True

    def teardown(self):
        type(self).ended += 1

    def health(self):
        if not self.well:
            raise RuntimeError("the model is gone")
        return {"version": self.version}

    @fal.endpoint("/")
    def generate(self, input: TextInput, response: Response) -> Output:
        """Draw it."""
        from PIL import Image as PILImage

        if input.prompt == "nsfw":
            raise FieldException(field="prompt", message="not that")
        if input.prompt == "missing":
            raise AppException("no such style", status_code=404)
        if input.prompt == "break":
            self.well = False
        size = get_image_size(input.image_size)
        picture = PILImage.new("RGB", (size.width // 64, size.height // 64), "red")
        response.headers["x-fal-billable-units"] = str(input.num_images)
        images = [Image.from_pil(picture, input.format) for _ in range(input.num_images)]
        return Output(images=images, seed=self.seed, request_id=self.current_request.request_id)

    @fal.endpoint("/image-to-image")
    def edit(self, input: ImageInput) -> Output:
        picture = input.image.to_pil()
        picture = picture.resize((picture.width * 2, picture.height * 2))
        return Output(images=[Image.from_pil(picture)], seed=int(input.strength * 10))
