# ruff: noqa: B008, UP045 - as authors of Cog write it
"""A picture in, a picture out, with a model that setup() loads."""

from typing import Optional

from cog import BasePredictor, Input, Path
from PIL import Image, ImageOps


class Predictor(BasePredictor):
    """Make a picture larger."""

    def setup(self, weights: Optional[Path] = None):
        self.border = 1
        self.weights = weights

    def predict(
        self,
        image: Path = Input(description="The picture"),
        mask: Optional[Path] = Input(default=None, description="Cuts it out"),
        scale: float = Input(default=2, ge=1, le=4, description="How many times"),
        filter: str = Input(choices=["nearest", "bicubic"], default="nearest"),
        name: str = Input(default="out", regex=r"[a-z]+$", max_length=8),
    ) -> Path:
        """Resize it."""
        assert image.suffix == ".png", image
        picture = Image.open(str(image))
        if mask is not None:
            picture = picture.crop(Image.open(mask).getbbox())
        width, height = (round(side * scale) for side in picture.size)
        how = {"nearest": Image.NEAREST, "bicubic": Image.BICUBIC}[filter]
        # Beside the input: the folder of the call.
        out = Path(image.parent / f"{name}.png")
        ImageOps.expand(picture.resize((width, height), how), self.border).save(out)
        return out
