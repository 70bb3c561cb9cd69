"""The text of a stub: models by datamodel-code-generator, constants by us."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from livepeer.client import MissingExtra

if TYPE_CHECKING:
    from ._stub_schema import Endpoint, StubPlan

_LIMIT_S: Final = 120.0

_OPTIONS: Final = (
    *("--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel"),
    *("--base-class", "livepeer.client.stubs.StubModel"),
    *("--target-python-version", "3.11", "--formatters", "builtin"),
    *("--enum-field-as-literal", "all", "--use-annotated", "--field-constraints"),
    *("--strict-nullable", "--use-standard-collections", "--use-union-operator"),
    *("--use-schema-description", "--use-field-description", "--use-double-quotes"),
    *("--disable-timestamp", "--disable-appending-item-suffix"),
)


def write_stub(plan: StubPlan, told_by: str) -> str:
    """The text of a module with the models of a capability, and its constants.

    Args:
        plan: What it holds.
        told_by: Where the schema is from, for the first line.

    Raises:
        MissingExtra: datamodel-code-generator is not installed.
        ValueError: It makes nothing of the schema.
    """
    models = _models(plan) if plan.schemas else ""
    tree = ast.parse(models)
    missing = {name for one in plan.endpoints for name in _names(one)} - _defined(tree)
    if missing:
        raise ValueError(f"no model was generated for {', '.join(sorted(missing))}")
    head = f'"""Types of the capability {plan.capability!r}.\n\nMade by `livepeer stub`'
    head += f' from {told_by}; make it anew rather than change it.\n"""\n'
    imports, classes = _split(models, tree)
    if plan.endpoints:
        imports.append("from livepeer.client import Capability")
    constants = "".join(_constant(one) for one in plan.endpoints)
    future = "from __future__ import annotations\n"
    body = f"\n\n{classes}\n" if classes else ""
    tail = f"\n\n{constants}" if constants else ""
    lines = "\n".join(sorted(imports, key=_import_order))
    return f"{head}\n{future}\n{lines}\n{body}{tail}".rstrip("\n") + "\n"


def _models(plan: StubPlan) -> str:
    if find_spec("datamodel_code_generator") is None:
        raise MissingExtra(
            "the models are written by datamodel-code-generator, which is not installed:"
            " pip install 'livepeer-client[cli]'"
        )
    document = {
        "openapi": "3.1.0",
        "info": {"title": plan.capability, "version": "1"},
        "paths": {},
        "components": {"schemas": plan.schemas},
    }
    with tempfile.TemporaryDirectory(prefix="livepeer-stub-") as folder:
        source, target = Path(folder, "schema.json"), Path(folder, "models.py")
        source.write_text(json.dumps(document), encoding="utf-8")
        # In a folder of its own: the tool reads the pyproject.toml of the one that it runs in.
        ran = subprocess.run(
            [
                *(sys.executable, "-m", "datamodel_code_generator", *_OPTIONS),
                *("--input", str(source), "--output", str(target)),
            ],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        if ran.returncode or not target.exists():
            last = (ran.stderr.strip() or ran.stdout.strip()).splitlines()[-1:]
            raise ValueError(f"datamodel-code-generator failed: {' '.join(last)}")
        return target.read_text(encoding="utf-8")


def _names(endpoint: Endpoint) -> set[str]:
    known = {"str", "int", "float", "bool", "bytes", "object", "list", "dict"}
    words: set[str] = set()
    for text in (endpoint.input, endpoint.output):
        words |= {node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)}
    return words - known


def _defined(tree: ast.Module) -> set[str]:
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)} | {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def _split(models: str, tree: ast.Module) -> tuple[list[str], str]:
    """The lines that import, and all that follows them."""
    imports: list[str] = []
    end = 0
    for node in tree.body:
        if not isinstance(node, ast.Import | ast.ImportFrom):
            break
        end = node.end_lineno or end
        text = ast.unparse(node)
        if "__future__" not in text:
            imports.append(text)
    return imports, "\n".join(models.splitlines()[end:]).strip("\n")


def _import_order(line: str) -> tuple[bool, bool, str]:
    module = line.split()[1]
    top = module.partition(".")[0]
    return top == "livepeer", top not in sys.stdlib_module_names, line


def _constant(endpoint: Endpoint) -> str:
    name, path = json.dumps(endpoint.capability), json.dumps(endpoint.route)
    route = "" if endpoint.route == "predict" else f", route={path}"
    call = f"Capability({name}, {endpoint.input}, {endpoint.output}{route})"
    told = " ".join(endpoint.description.split())
    how = "`call_events` gives its items." if endpoint.streams else ""
    words = " ".join(part for part in (told, how) if part).replace("\\", "\\\\").replace('"', "'")
    return f"{endpoint.constant} = {call}\n" + (f'"""{words}"""\n' if words else "")
