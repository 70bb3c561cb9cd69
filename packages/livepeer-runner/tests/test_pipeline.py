"""The author's base class, and what may be served."""

from __future__ import annotations

import subprocess
import sys

import pytest

import livepeer.runner
from livepeer.runner import Pipeline, PipelineState, Settings, make_app, serve
from livepeer.runner.errors import PipelineDefinitionError


class Greeter(Pipeline):
    def predict(self, name: str) -> str:
        return f"Hello, {name}!"


class Wrong(Pipeline):
    def predict(self, *names: str) -> str:
        return ""


def test_an_instance_is_a_plain_object():
    greeter = Greeter()
    greeter.setup()
    assert greeter.predict("Ada") == "Hello, Ada!"
    greeter.teardown()


def test_predict_must_be_written():
    class Nothing(Pipeline):
        pass

    with pytest.raises(TypeError, match="predict"):
        Nothing()  # type: ignore[abstract]


def test_states_are_go_livepeers_words():
    assert [state.value for state in PipelineState] == ["LOADING", "OK", "ERROR", "IDLE"]
    assert str(PipelineState.OK) == "OK"


def test_a_wrong_signature_is_refused_when_the_application_is_made():
    with pytest.raises(PipelineDefinitionError, match="names"):
        make_app(Wrong(), Settings())


def test_serve_tells_a_wrong_class_in_one_line():
    with pytest.raises(SystemExit) as caught:
        serve(Wrong(), port=0)
    assert str(caught.value.code).startswith("error: Wrong.predict()")


def test_only_the_public_names_are_offered():
    assert livepeer.runner.__all__ == sorted(livepeer.runner.__all__)
    assert set(livepeer.runner.__all__) <= set(dir(livepeer.runner))
    with pytest.raises(AttributeError, match="nothing"):
        _ = livepeer.runner.nothing  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "statement", ["import livepeer.runner", "from livepeer.runner import Pipeline, serve"]
)
def test_importing_loads_nothing_heavy(statement: str):
    heavy = ("aiohttp", "av", "fastapi", "numpy", "pydantic", "starlette", "typer", "uvicorn")
    code = f"{statement}\nimport sys\nprint(*[m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
