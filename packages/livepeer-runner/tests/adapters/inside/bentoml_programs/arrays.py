# ruff: noqa: UP006 - as authors of BentoML write it
"""Arrays in and out, a generator, and a method that takes its inputs from a model."""

import typing as t

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from pydantic import BaseModel, Field


class Params(BaseModel):
    prompt: str = Field(min_length=1)
    count: int = Field(default=2, le=5)


@bentoml.service
class Arrays:
    @bentoml.api
    def predict(
        self, values: t.Annotated[np.ndarray, Shape((2, 2)), DType("float32")]
    ) -> np.ndarray:
        assert values.dtype == np.float32
        return values * 2

    @bentoml.api(batchable=True)
    def double(self, inputs: t.List[int]) -> t.List[int]:
        return [one * 2 for one in inputs]

    @bentoml.api(input_spec=Params)
    def stream(self, **params: t.Any) -> t.Generator[str, None, None]:
        for n in range(params["count"]):
            yield f"{params['prompt']} {n}"

    @bentoml.api
    def speak(self, voice: bytes, text: str) -> t.Generator[bytes, None, None]:
        for word in text.split():
            yield voice + word.encode()
