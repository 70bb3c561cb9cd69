"""A chat with Qwen2.5, token by token, in the chunks that clients of OpenAI's know."""

import time
from collections.abc import Iterator
from typing import ClassVar, Literal
from uuid import uuid4

import torch
from fastapi import HTTPException
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from livepeer.runner import Pipeline, model_dir, serve

CANDIDATES = 64
# What is colder than this would divide by next to nothing.
COLD = 0.01


class Message(BaseModel):
    """One turn of the chat."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "user", "assistant"]
    content: str = Field(max_length=200_000)


class Chat(BaseModel):
    """What is asked, after what was said before."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Message] = Field(
        min_length=1,
        max_length=1000,
        description="The chat so far, the last question included.",
        examples=[[{"role": "user", "content": "Why is the sky blue?"}]],
    )
    max_tokens: int = Field(256, ge=1, le=4096, description="Longest answer.")
    temperature: float = Field(
        0.7, ge=0, le=2, description="How freely it chooses its words; 0: always the likeliest."
    )
    top_p: float = Field(
        0.8, gt=0, le=1, description="It chooses among the likeliest that are so likely together."
    )


class Delta(TypedDict, total=False):
    """What a chunk adds to the answer."""

    role: Literal["assistant"]
    content: str


class Choice(BaseModel):
    """The one answer; OpenAI's could have several."""

    index: int = 0
    delta: Delta
    finish_reason: Literal["stop", "length"] | None = None


class Chunk(BaseModel):
    """A piece of the answer, as OpenAI's streams have it."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[Choice]


class LLM(Pipeline):
    """Answers a chat. A generator is a stream: each chunk goes out as soon as it is yielded."""

    checkpoint: ClassVar[str] = "Qwen/Qwen2.5-0.5B-Instruct"

    @classmethod
    def prepare_models(cls) -> None:
        """Download the model, when an image is built."""
        from huggingface_hub import snapshot_download

        snapshot_download(
            cls.checkpoint,
            local_dir=model_dir() / cls.checkpoint,
            allow_patterns=["*.json", "merges.txt", "model.safetensors"],
        )

    def setup(self) -> None:
        """Load the model from where `prepare_models` left it."""
        folder = model_dir() / self.checkpoint
        if not folder.is_dir():
            raise FileNotFoundError(f"no model in {folder}: run once with PREPARE_MODELS=1")
        from transformers import AutoModelForCausalLM, AutoTokenizer

        cuda = torch.cuda.is_available()
        self.device = torch.device("cuda" if cuda else "cpu")
        self.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.bfloat16 if cuda else torch.float32, local_files_only=True
        )
        self.model = model.to(self.device).eval()
        ends = self.model.generation_config.eos_token_id
        self.ends = set(ends) if isinstance(ends, list) else {ends}

    def predict(self, chat: Chat) -> Iterator[Chunk]:
        """Answer a chat: one chunk for each token, and a last one that says why it ended."""
        from tokenizers.decoders import DecodeStream

        prompt = self._prompt(chat)
        head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time())}
        text = DecodeStream(skip_special_tokens=True)
        delta: Delta = {"role": "assistant"}
        reason: Literal["stop", "length"] = "length"
        for token in self._tokens(prompt, chat):
            if token in self.ends:
                reason = "stop"
                break
            # A token may be half a character; then the other half brings it.
            if piece := text.step(self.tokenizer.backend_tokenizer, token):
                yield self._chunk(head, {**delta, "content": piece})
                delta = {}
        yield self._chunk(head, delta, reason)

    def _prompt(self, chat: Chat) -> torch.Tensor:
        """The chat as the model was taught to read it, (1, tokens)."""
        prompt = self.tokenizer.apply_chat_template(
            [message.model_dump() for message in chat.messages],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )["input_ids"]
        room = self.model.config.max_position_embeddings - prompt.shape[1]
        if room < chat.max_tokens:
            raise HTTPException(
                422,
                f"the chat has {prompt.shape[1]} tokens, which leaves no room for max_tokens"
                f" {chat.max_tokens}: {max(room, 0)} are left",
            )
        return prompt.to(self.device)

    @torch.inference_mode()
    def _tokens(self, prompt: torch.Tensor, chat: Chat) -> Iterator[int]:
        """The tokens of the answer, each when it is asked for: who stops asking stops the model."""
        fed, cache = prompt, None
        for _ in range(chat.max_tokens):
            output = self.model(
                input_ids=fed, past_key_values=cache, use_cache=True, logits_to_keep=1
            )
            cache = output.past_key_values
            fed = choose(output.logits[:, -1].float(), chat.temperature, chat.top_p)
            yield int(fed)

    def _chunk(
        self, head: dict[str, str], delta: Delta, reason: Literal["stop", "length"] | None = None
    ) -> Chunk:
        return Chunk(
            **head,
            model=self.checkpoint,
            choices=[Choice(delta=delta, finish_reason=reason)],
        )


def choose(scores: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """One token for each row of scores, (rows, vocabulary) to (rows, 1)."""
    if temperature < COLD:
        return scores.argmax(-1, keepdim=True)
    likely, tokens = (scores / temperature).softmax(-1).topk(min(CANDIDATES, scores.shape[-1]))
    likely[likely.cumsum(-1) - likely >= top_p] = 0
    return tokens.gather(-1, likely.multinomial(1))


if __name__ == "__main__":
    serve(LLM)
