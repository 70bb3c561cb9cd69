"""Chats through the served pipeline, with a Qwen2 that has learnt three answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from livepeer.runner.errors import SetupFailed
from livepeer.runner.testing import serve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
# Tensors this small are done by one thread before others have begun.
torch.set_num_threads(1)

BEGIN, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# Some of their characters take several tokens.
ANSWERS = {
    "How are you?": "Très bien, merci ☕!",
    "What is the weather like?": "It rains, and the wind blows.",
    "And tomorrow?": "Sunshine 🌞 all day long.",
}
CONTEXT = 512
STEPS = 120


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def write_checkpoint(folder: Path) -> None:
    """Qwen2 with 100,000 parameters, which knows its answers by heart."""
    torch.manual_seed(0)
    tokenizer = train_tokenizer()
    end = tokenizer.convert_tokens_to_ids(END)
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    model = transformers.Qwen2ForCausalLM(config)
    chats = [
        (
            tokenizer.apply_chat_template(
                [user(question)], add_generation_prompt=True, return_dict=True
            )["input_ids"],
            tokenizer(answer + END)["input_ids"],
        )
        for question, answer in ANSWERS.items()
    ]
    longest = max(len(prompt) + len(answer) for prompt, answer in chats)
    padding = [longest - len(prompt) - len(answer) for prompt, answer in chats]
    both = list(zip(chats, padding, strict=True))
    ids = torch.tensor([prompt + answer + [end] * rest for (prompt, answer), rest in both])
    labels = torch.tensor(
        [[-100] * len(prompt) + answer + [-100] * rest for (prompt, answer), rest in both]
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(input_ids=ids, labels=labels).loss.backward()
        optimizer.step()
    model.generation_config = transformers.GenerationConfig(eos_token_id=[end], pad_token_id=end)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def train_tokenizer() -> transformers.Qwen2Tokenizer:
    trained = tokenizers.ByteLevelBPETokenizer()
    trained.train_from_iterator([*ANSWERS, *ANSWERS.values()], vocab_size=290, show_progress=False)
    model = json.loads(trained.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = transformers.Qwen2Tokenizer(vocab=model["vocab"], merges=merges, eos_token=END)
    tokenizer.add_special_tokens({"additional_special_tokens": [BEGIN, END]})
    tokenizer.chat_template = TEMPLATE
    return tokenizer


@pytest.fixture(scope="module")
def models(load: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / load("llm").LLM.checkpoint)
    return folder


async def frames(url: str, body: dict[str, object]) -> list[str]:
    """The data of each event of the answer."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(f"{url}/predict", json=body) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.content_type == "text/event-stream"
        events = (await response.text()).split("\n\n")
    assert events.pop() == ""
    assert all(event.startswith("data: ") for event in events)
    return [event.removeprefix("data: ") for event in events]


def answer(chunks: list[dict[str, object]]) -> tuple[str, list[str | None]]:
    """What they say together, and how each says that it is the last."""
    choices = [choice for chunk in chunks for choice in chunk["choices"]]
    text = "".join(choice["delta"].get("content", "") for choice in choices)
    return text, [choice["finish_reason"] for choice in choices]


@pytest.mark.slow
async def test_the_answer_comes_token_by_token(
    load: Callable[[str], ModuleType], models: Path
) -> None:
    example = load("llm")
    async with serve(example.LLM, model_dir=models) as server:
        for question, expected in ANSWERS.items():
            *data, last = await frames(server.url, {"messages": [user(question)], "temperature": 0})
            assert last == "[DONE]"
            chunks = [json.loads(text) for text in data]
            text, reasons = answer(chunks)
            assert text == expected
            assert reasons == [None] * (len(chunks) - 1) + ["stop"]
            # No piece is more than a token, and what came first says whose turn it is.
            assert len(chunks) > len(expected) / 4
            assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
            assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
            assert {chunk["model"] for chunk in chunks} == {example.LLM.checkpoint}
            assert len({chunk["id"] for chunk in chunks}) == 1


@pytest.mark.slow
async def test_it_ends_after_max_tokens(load: Callable[[str], ModuleType], models: Path) -> None:
    async with serve(load("llm").LLM, model_dir=models) as server:
        body = {"messages": [user("What is the weather like?")], "max_tokens": 3, "top_p": 0.1}
        *data, last = await frames(server.url, body)
    assert last == "[DONE]"
    text, reasons = answer([json.loads(text) for text in data])
    assert 0 < len(text) < 15
    assert ANSWERS["What is the weather like?"].startswith(text)
    assert reasons[-1] == "length"


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        {"messages": [user("word " * CONTEXT)]},
        {"messages": []},
        {"messages": [{"role": "robot", "content": "Hello"}]},
        {"messages": [user("Hello")], "stream": False},
    ],
)
async def test_what_cannot_be_answered_is_refused_before_the_stream(
    load: Callable[[str], ModuleType], models: Path, body: dict[str, object]
) -> None:
    async with (
        serve(load("llm").LLM, model_dir=models) as server,
        aiohttp.ClientSession() as http,
        http.post(f"{server.url}/predict", json=body) as response,
    ):
        assert response.status == 422
        assert (await response.json())["detail"]


def test_only_the_likeliest_tokens_are_chosen(load: Callable[[str], ModuleType]) -> None:
    choose = load("llm").choose
    scores = torch.tensor([[0.1, 0.6, 0.3]]).log()

    def chosen(temperature: float, top_p: float) -> set[int]:
        return {int(choose(scores, temperature, top_p)) for _ in range(200)}

    assert chosen(0.0, 1.0) == {1}
    assert chosen(1.0, 0.5) == {1}
    assert chosen(1.0, 0.8) == {1, 2}
    assert chosen(1.0, 1.0) == {0, 1, 2}


async def test_without_a_model_the_error_says_how_to_get_one(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with pytest.raises(SetupFailed) as failed:
        async with serve(load("llm").LLM, model_dir=tmp_path, setup_failure_linger_s=0):
            pass
    assert "PREPARE_MODELS=1" in str(failed.value.__cause__)
