"""Each `livepeer.yaml` beside the pipeline that it describes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).parent
MANIFESTS = sorted(HERE.glob("*/livepeer.yaml"))
KEYS = ["name", "version", "entrypoint", "capability", "python", "packages", "price", "capacity"]


def test_every_batch_example_has_one() -> None:
    names = {path.parent.name for path in MANIFESTS}
    assert {"hello_world", "sentiment", "image_upscale", "llm", "text_reversal"} <= names


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.parent.name)
def test_it_describes_the_pipeline_beside_it(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert list(manifest) == KEYS
    module, _, name = manifest["entrypoint"].partition(":")
    source = path.with_name(f"{module}.py").read_text(encoding="utf-8")
    classes = {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    assert name in classes
    assert manifest["capability"] == path.parent.name.replace("_", "-")
    needed = path.with_name("requirements.txt")
    listed = needed.read_text(encoding="utf-8").splitlines() if needed.exists() else []
    assert manifest["packages"] == listed
