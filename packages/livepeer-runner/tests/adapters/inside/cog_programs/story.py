# ruff: noqa: SIM905 - as authors of Cog write it
"""Words one by one, as a language model gives them."""

from cog import BasePredictor, ConcatenateIterator, Input


class Predictor(BasePredictor):
    closed = 0

    def setup(self) -> None:
        self.words = "once upon a time there was an end".split()

    def predict(
        self,
        prompt: str = Input(description="How it begins"),
        max_tokens: int = Input(default=3, ge=1, le=1000),
        fail_at: int = Input(default=-1),
    ) -> ConcatenateIterator[str]:
        try:
            yield prompt
            for n in range(max_tokens):
                if n == fail_at:
                    raise ValueError("out of words")
                yield f" {self.words[n % len(self.words)]}"
        finally:
            type(self).closed += 1
