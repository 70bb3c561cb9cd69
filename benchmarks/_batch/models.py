"""The bodies of requests and answers, for the subjects that take Pydantic models."""

from __future__ import annotations

from pydantic import Base64Bytes, BaseModel


class Words(BaseModel):
    text: str
    times: int = 1


class Said(BaseModel):
    text: str


class Data(BaseModel):
    data: Base64Bytes


class Prompt(BaseModel):
    count: int


class Token(BaseModel):
    text: str


class Nap(BaseModel):
    seconds: float


def base64_of(data: bytes) -> Data:
    """The model of bytes, which takes them as they are and not as base64."""
    return Data.model_construct(data=data)
