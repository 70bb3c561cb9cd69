"""Texts that the model has never read, through the served pipeline, with a DistilBERT made here."""

from __future__ import annotations

import json
from random import Random
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

WORDS = {
    "NEGATIVE": ("dreadful", "boring", "clumsy", "tedious", "lifeless", "awful"),
    "POSITIVE": ("wonderful", "gripping", "charming", "brilliant", "tender", "lovely"),
}
LABELS = tuple(WORDS)
# What stands around them says nothing.
NEUTRAL = (
    "a about again agree all and as critics director evening felt film first for i is it life me my"
    " most of on plot said saw second sister story that the thing thinks this was what word year"
)
# None of these is learnt.
UNREAD = (
    ("Critics said the plot felt {}, and I agree.", ("tedious", "charming")),
    ("{}: that is my word for this director's second film.", ("Awful", "Lovely")),
    ("My sister thinks it is the most {} thing she saw all year!", ("clumsy", "gripping")),
)
SENTENCES = 200
STEPS = 40


def sentence(word: str, random: Random) -> str:
    """The word, anywhere among others."""
    words = random.choices(NEUTRAL.split(), k=random.randint(3, 14))
    words.insert(random.randint(0, len(words)), word)
    return " ".join(words)


def write_checkpoint(folder: Path) -> None:
    """DistilBERT with 30,000 parameters, in the files that the real one has."""
    torch.manual_seed(0)
    random = Random(0)
    labels = [number % 2 for number in range(SENTENCES)]
    texts = [sentence(random.choice(WORDS[LABELS[label]]), random) for label in labels]
    write_tokenizer(folder, texts)
    tokenizer = transformers.DistilBertTokenizer.from_pretrained(folder)
    config = transformers.DistilBertConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        dim=32,
        hidden_dim=64,
        n_layers=2,
        n_heads=2,
        dropout=0.0,
        attention_dropout=0.0,
        seq_classif_dropout=0.0,
        id2label=dict(enumerate(LABELS)),
        label2id={label: place for place, label in enumerate(LABELS)},
    )
    model = transformers.DistilBertForSequenceClassification(config)
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    wanted = torch.tensor(labels)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(STEPS):
        optimizer.zero_grad()
        model(**batch, labels=wanted).loss.backward()
        optimizer.step()
    model.save_pretrained(folder)


def write_tokenizer(folder: Path, texts: list[str]) -> None:
    """WordPiece, trained on the texts."""
    trained = tokenizers.BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(texts, vocab_size=400, show_progress=False)
    folder.mkdir(parents=True)
    trained.save_model(str(folder))
    settings = {"do_lower_case": True, "model_max_length": 512}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="module")
def models(load: Callable[[str], ModuleType], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_checkpoint(folder / load("sentiment").Sentiment.checkpoint)
    return folder


@pytest.mark.slow
async def test_texts_that_were_never_read_get_their_labels(
    load: Callable[[str], ModuleType], models: Path
) -> None:
    example = load("sentiment")
    async with (
        serve(example.Sentiment, model_dir=models) as server,
        aiohttp.ClientSession() as http,
    ):
        for template, words in UNREAD:
            for label, word in zip(LABELS, words, strict=True):
                body = {"text": template.format(word)}
                async with http.post(f"{server.url}/predict", json=body) as response:
                    assert response.status == 200
                    answer = await response.json()
                assert answer["label"] == label, body
                assert 0.8 < answer["score"] <= 1


@pytest.mark.slow
async def test_more_than_the_model_reads_is_cut_and_nothing_is_refused(
    load: Callable[[str], ModuleType], models: Path
) -> None:
    example = load("sentiment")
    async with (
        serve(example.Sentiment, model_dir=models) as server,
        aiohttp.ClientSession() as http,
    ):
        long = "a wonderful story " * 100
        async with http.post(f"{server.url}/predict", json={"text": long}) as response:
            assert (await response.json())["label"] == "POSITIVE"
        async with http.post(f"{server.url}/predict", json={"text": ""}) as response:
            assert response.status == 422


async def test_without_a_model_the_error_says_how_to_get_one(
    load: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with pytest.raises(SetupFailed) as failed:
        async with serve(load("sentiment").Sentiment, model_dir=tmp_path, setup_failure_linger_s=0):
            pass
    assert "PREPARE_MODELS=1" in str(failed.value.__cause__)
