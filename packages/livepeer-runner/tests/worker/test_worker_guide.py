"""The pipeline of docs/local-box.md, as it stands there, behind the AI worker's route."""

from __future__ import annotations

import importlib
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

GUIDE = (Path(__file__).parents[4] / "docs" / "local-box.md").read_text()


@pytest.fixture
def main(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The guide's program; its files lie in a package that can be imported."""
    files = re.findall(r"`(\w+\.py)`:\n\n```python\n(.*?)```", GUIDE, re.DOTALL)
    assert [name for name, _ in files] == ["params.py", "pipeline.py", "main.py"]
    package = tmp_path / "my_pipeline"
    package.mkdir()
    (package / "__init__.py").touch()
    for name, text in files:
        (package / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("my_pipeline.main")
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_pipeline"]:
        del sys.modules[name]


def test_the_names_agree(main: ModuleType):
    (models,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    assert json.loads(models) == [
        {
            "pipeline": "live-video-to-video",
            "model_id": main.spec.name,
            "url": "http://localhost:8000",
        }
    ]
    assert f"PIPELINE={main.spec.name} make box-stream" in GUIDE


def test_the_params_load_without_the_pipeline(main: ModuleType):
    params = main.spec.load_params()
    assert params(**main.spec.initial_params).strength == 0.8
    assert "my_pipeline.pipeline" not in sys.modules


async def test_the_pipeline_works(main: ModuleType, working):
    async with working(
        main.spec.load()(), model_id=main.spec.name, live_policy="wait", output_linger_s=0.3
    ) as orchestrator:
        status, _ = await orchestrator.start(model_id="my-pipeline", params={"strength": 1})
        assert status == 200
        lumas = await orchestrator.play(luma=40)
    assert lumas
    assert all(200 < luma < 210 for luma in lumas)
