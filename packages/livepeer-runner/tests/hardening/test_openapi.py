"""The examples against their own `/openapi.json`: they keep to what it allows and forbids."""

from __future__ import annotations

import functools
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from livepeer.runner import Pipeline

EXAMPLES = Path(__file__).parents[4] / "examples" / "runner"
CALLS = 25
LOOKS = 3


def load(example: str) -> ModuleType:
    name = f"hardened_{example}"
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / example / "pipeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hello_world() -> Pipeline:
    pipeline: Pipeline = load("hello_world").HelloWorld()
    return pipeline


def text_reversal() -> Pipeline:
    pipeline: Pipeline = load("text_reversal").TextReversal()
    return pipeline


def sentiment() -> Pipeline:
    pytest.importorskip("torch")
    module = load("sentiment")

    @functools.wraps(module.Sentiment.predict)
    def predict(_self: object, text: str) -> object:
        return module.Verdict(label="POSITIVE" if "good" in text else "NEGATIVE", score=0.75)

    return stand_in(module.Sentiment, predict)


def image_upscale() -> Pipeline:
    pytest.importorskip("torch")
    module = load("image_upscale")

    @functools.wraps(module.ImageUpscale.predict)
    def predict(_self: object, image: Any) -> bytes:
        picture = module.read_picture(image.read())
        data: bytes = module.write_png(picture.repeat(2, 0).repeat(2, 1))
        return data

    return stand_in(module.ImageUpscale, predict)


def llm() -> Pipeline:
    pytest.importorskip("torch")
    module = load("llm")

    @functools.wraps(module.LLM.predict)
    def predict(_self: object, chat: Any) -> Iterator[object]:
        for word in chat.messages[-1].content.split()[: chat.max_tokens]:
            choices = [module.Choice(delta={"content": word})]
            yield module.Chunk(id="a", created=1, model="a", choices=choices)

    return stand_in(module.LLM, predict)


def stand_in(cls: type[Pipeline], predict: Callable[..., object]) -> Pipeline:
    """An example without its weights, and with its signature."""
    made = type(cls.__name__, (cls,), {"predict": predict, "setup": lambda _self: None})
    pipeline: Pipeline = made()
    return pipeline


@pytest.mark.parametrize(
    ("make", "excluded"),
    [
        (hello_world, []),
        (text_reversal, []),
        (sentiment, []),
        (llm, []),
        # That a file is a picture no schema can say; what is none is a 422.
        (image_upscale, [positive_data_acceptance]),
    ],
)
def test_what_it_documents_is_what_it_does(
    make: Callable[[], Pipeline], excluded: list[Any], serve_thread: Any
):
    with serve_thread(make()) as served:
        schema = schemathesis.openapi.from_url(f"{served.url}/openapi.json")
        schema.config.generation.update(modes=list(GenerationMode))
        seen = set[str]()
        for found in schema.get_all_operations():
            operation: Any = found.ok()  # type: ignore[union-attr]  # else its schema is broken
            seen.add(operation.path)
            check(operation, CALLS if operation.path == "/predict" else LOOKS, excluded)
            assert served.ask(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n").status == 200
        assert {"/predict", "/health", "/ready", "/version"} <= seen


def check(operation: Any, examples: int, excluded: list[Any]) -> None:
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def run(case: Any) -> None:
        case.call_and_validate(timeout=20, excluded_checks=excluded)

    run()
