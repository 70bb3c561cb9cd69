"""What an adapter says where its framework is not installed."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

from livepeer.runner.adapters._require import FrameworkMissing

FRAMEWORKS = ["bentoml", "cog", "fal", "litserve", "modal"]


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_error_names_the_extra(framework: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, framework, None)
    adapt = import_module(f"livepeer.runner.adapters.{framework}").adapt
    with pytest.raises(FrameworkMissing, match=rf"livepeer-runner\[{framework}\]"):
        adapt(int)


def test_importing_the_adapters_loads_no_framework():
    lines = [f"import livepeer.runner.adapters.{one}" for one in FRAMEWORKS]
    lines += [
        "import sys",
        f"print([one for one in {[*FRAMEWORKS, 'fastapi']} if one in sys.modules])",
    ]
    ran = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"
