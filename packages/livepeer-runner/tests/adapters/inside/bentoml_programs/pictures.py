# ruff: noqa: B006, UP006 - as authors of BentoML write it
"""Files and pictures: in by form or base64, out as their bytes."""

import typing as t
from pathlib import Path

import bentoml
from bentoml.validators import ContentType
from PIL.Image import Image


@bentoml.service
class Pictures:
    @bentoml.api
    def rotate(self, image: Image, times: t.Annotated[int, "quarters"] = 1) -> Image:
        return image.rotate(90 * times, expand=True)

    @bentoml.api
    def convert(
        self,
        source: t.Annotated[Path, ContentType("image/png")],
        ctx: bentoml.Context,
        others: t.List[Path] = [],
    ) -> t.Annotated[Path, ContentType("image/jpeg")]:
        import PIL.Image

        out = Path(ctx.temp_dir) / f"out{len(others)}.jpg"
        PIL.Image.open(source).convert("RGB").save(out, "JPEG")
        return out

    @bentoml.api
    def names(self, files: t.List[Path]) -> t.Dict[str, t.Any]:
        return {"names": [file.name for file in files], "first": files[0]}
