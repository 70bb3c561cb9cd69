"""A typed request with a picture in it, and a picture back."""

import base64
from io import BytesIO

import litserve as ls
from PIL import Image, ImageOps
from pydantic import BaseModel, Field


class Request(BaseModel):
    image_data: str
    blur: int = Field(default=0, ge=0, le=3, description="How much")


class FlipAPI(ls.LitAPI):
    def setup(self, device):
        self.flip = ImageOps.flip

    def decode_request(self, request: Request, context: dict):
        context["blur"] = request.blur
        return Image.open(BytesIO(base64.b64decode(request.image_data)))

    def predict(self, picture, context):
        return self.flip(picture)

    def encode_response(self, output, context) -> ls.Response:
        buffer = BytesIO()
        output.save(buffer, format="PNG")
        headers = {"x-blur": str(context["blur"])}
        return ls.Response(buffer.getvalue(), media_type="image/png", headers=headers)
