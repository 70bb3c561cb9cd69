"""Whether a text is meant well or ill, by DistilBERT as SST-2 has taught it."""

from typing import Annotated, ClassVar

import torch
from pydantic import BaseModel, Field

from livepeer.runner import Pipeline, model_dir, serve


class Verdict(BaseModel):
    """What the model makes of a text."""

    label: str = Field(description="POSITIVE or NEGATIVE.", examples=["POSITIVE"])
    score: float = Field(description="How sure the model is, from 0.5 to 1.", examples=[0.9998])


class Sentiment(Pipeline):
    """Tells whether an English text is meant well or ill."""

    checkpoint: ClassVar[str] = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"

    @classmethod
    def prepare_models(cls) -> None:
        """Download the model, when an image is built."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            cls.checkpoint,
            local_dir=model_dir() / cls.checkpoint,
            allow_patterns=["*.json", "vocab.txt", "model.safetensors"],
            ignore_patterns=["onnx/*"],
        )

    def setup(self) -> None:
        """Load the model from where `prepare_models` left it."""
        folder = model_dir() / self.checkpoint
        if not folder.is_dir():
            raise FileNotFoundError(f"no model in {folder}: run once with PREPARE_MODELS=1")
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
        self.model = model.to(self.device).eval()

    @torch.inference_mode()
    def predict(
        self,
        text: Annotated[
            str,
            Field(
                min_length=1,
                max_length=100_000,
                description="A sentence or a few; the model reads the first 512 tokens.",
                examples=["A quiet film that stays with you."],
            ),
        ],
    ) -> Verdict:
        """Judge one text."""
        config = self.model.config
        tokens = self.tokenizer(
            text, truncation=True, max_length=config.max_position_embeddings, return_tensors="pt"
        )
        score, place = self.model(**tokens.to(self.device)).logits[0].softmax(-1).max(-1)
        return Verdict(label=config.id2label[int(place)], score=float(score))


if __name__ == "__main__":
    serve(Sentiment)
