"""The documents say what is so: examples run, and tables match the code."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from livepeer.runner.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CLASSES = [
    block
    for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    if "serve(" in block
]


@pytest.mark.parametrize("block", CLASSES)
def test_the_classes_of_the_readme_are_complete_capabilities(block: str, tmp_path: Path):
    assert len([line for line in block.splitlines() if line.strip()]) <= 10
    script = tmp_path / "pipeline.py"
    script.write_text(block)
    environment = {**os.environ, "LIVEPEER_PORT": "0", "LIVEPEER_HOST": "127.0.0.1"}
    with subprocess.Popen(
        [sys.executable, str(script)], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            url = process.stderr.readline().split(" at ")[1].split(" ")[0]
            states: list[str] = []
            for _ in range(500):
                with urllib.request.urlopen(url + "/health") as response:
                    states.append(json.load(response)["status"])
                if states[-1] != "LOADING":
                    break
                time.sleep(0.01)
            assert states[-1] in ("OK", "IDLE")
        finally:
            process.terminate()


def test_the_readme_has_each_kind_of_capability():
    kinds = [re.search(r"\((?:Live)?Pipeline\)|@pipeline", block) for block in CLASSES]
    assert [kind and kind[0] for kind in kinds] == [
        "(LivePipeline)",
        "@pipeline",
        "(Pipeline)",
        "(Pipeline)",
    ]


def test_every_setting_is_documented_with_its_variables_and_default():
    table = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*)$", table, flags=re.MULTILINE))
    assert set(rows) == set(Settings.model_fields)
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variables = [f"LIVEPEER_{name.upper()}"] if alias is None else list(alias.choices)
        assert all(f"`{variable}`" in rows[name] for variable in variables), name
        if field.default_factory is None and field.default not in (None, ""):
            assert f"| `{field.default}` |" in rows[name], name


DOCUMENTS = [
    path
    for path in sorted(ROOT.glob("**/*.md"))
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path: Path):
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("name", ["trickle", "runner", "client"])
def test_the_map_of_the_code_has_every_module_and_no_other(name: str):
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    section = text.split(f"\n## livepeer-{name}\n")[1].split("\n## ")[0]
    named: set[str] = set()
    for cell in re.findall(r"(?m)^\| (`.*?) \|", section):
        # The folder of the first name of a row is that of those after it.
        folder = ""
        for one in re.findall(r"`([\w/]+)`", cell):
            folder = f"{one.rpartition('/')[0]}/" if "/" in one else folder
            named.add(one if "/" in one else folder + one)
    source = ROOT / "packages" / f"livepeer-{name}" / "src" / "livepeer" / name
    files = [path.relative_to(source) for path in source.rglob("*.py")]
    modules = {str(path.with_suffix("")) for path in files if path.name != "__init__.py"}
    packages = {str(path.parent) for path in files}
    assert named <= modules | packages
    assert {
        module
        for module in modules
        if not any(module == row or module.startswith(f"{row}/") for row in named)
    } == set()
