"""Text in, the same text backwards out, by character or by word; no model."""

import unicodedata
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from livepeer.runner import Pipeline, serve

JOINER = "\N{ZERO WIDTH JOINER}"


class Reversed(BaseModel):
    """The text, reversed."""

    text: str = Field(description="What was sent, backwards.")
    parts: int = Field(description="How many characters, or words, were turned around.")


class TextReversal(Pipeline):
    """Turns a text around."""

    async def predict(
        self,
        text: Annotated[
            str,
            Field(max_length=100_000, description="What to turn around.", examples=["stressed"]),
        ],
        by: Annotated[
            Literal["character", "word"], Field(description="What stays as it is.")
        ] = "character",
    ) -> Reversed:
        """Turn `text` around, character by character or word by word."""
        parts = characters(text) if by == "character" else text.split()
        return Reversed(text=("" if by == "character" else " ").join(parts[::-1]), parts=len(parts))


def characters(text: str) -> list[str]:
    """What a reader takes for characters: accents stay on their letters, joined emoji together."""
    parts: list[str] = []
    for code in text:
        joined = unicodedata.category(code).startswith("M") or code == JOINER
        if parts and (joined or parts[-1].endswith(JOINER)):
            parts[-1] += code
        else:
            parts.append(code)
    return parts


if __name__ == "__main__":
    serve(TextReversal)
