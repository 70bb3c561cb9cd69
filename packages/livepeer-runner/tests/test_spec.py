"""Pipelines by name: what is imported when, and what a mistake says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from livepeer.runner import LivePipeline, PipelineSpec
from livepeer.runner._target import load_pipeline, resolve
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.spec import import_file, kebab, path_of

PARAMS = """
from livepeer.runner import BaseParams

class Params(BaseParams):
    steps: int = 4

number = 5
"""
HEAVY = """
import heavy_dependency
from livepeer.runner import LivePipeline

class Model(LivePipeline):
    class Inner(LivePipeline):
        pass

def function(frame):
    return frame
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package whose pipeline imports something, and whose parameters do not."""
    name = f"package_{tmp_path.name}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").touch()
    (tmp_path / name / "model.py").write_text(HEAVY)
    (tmp_path / name / "params.py").write_text(PARAMS)
    (tmp_path / "heavy_dependency.py").write_text("weights = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "heavy_dependency", raising=False)
    return name


def spec(package: str, **options: object) -> PipelineSpec:
    paths = {"pipeline_cls": f"{package}.model:Model", "params_cls": f"{package}.params:Params"}
    return PipelineSpec("model", **{**paths, **options})  # type: ignore[arg-type]


def test_parameters_are_loaded_without_the_pipeline(package: str):
    model = spec(package).load_params()
    assert model is not None
    assert model().model_dump() == {"steps": 4}
    assert "heavy_dependency" not in sys.modules
    assert f"{package}.model" not in sys.modules


def test_the_pipeline_is_imported_when_it_is_loaded(package: str):
    cls = spec(package).load()
    assert issubclass(cls, LivePipeline)
    assert cls.__name__ == "Model"
    assert "heavy_dependency" in sys.modules


def test_a_class_within_a_class_is_found(package: str):
    cls = spec(package, pipeline_cls=f"{package}.model:Model.Inner").load()
    assert cls.__qualname__ == "Model.Inner"


def test_a_spec_without_parameters_names_none(package: str):
    assert spec(package, params_cls=None).load_params() is None


def test_the_instance_has_what_the_spec_says(package: str):
    given = spec(package, initial_params={"steps": 9})
    pipeline = load_pipeline(given)
    assert isinstance(pipeline, LivePipeline)
    assert pipeline.spec == given
    assert pipeline.Params is given.load_params()
    assert type(pipeline).spec is None, "another spec of the class would get this one"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pipeline_cls": "{}.nothing:Model"}, ["pipeline_cls", "no module {}.nothing"]),
        ({"pipeline_cls": "{}.model:Nothing"}, ["{}.model has no Nothing"]),
        ({"pipeline_cls": "{}.model:function"}, ["function", "@pipeline"]),
        ({"pipeline_cls": "{}.params:Params"}, ["Params cannot be served", "LivePipeline"]),
        ({"pipeline_cls": "f.<locals>.Model", "params_cls": None}, ["module:Class"]),
        ({"pipeline_cls": "m:f.<locals>.Model", "params_cls": None}, ["function", "top"]),
        ({"params_cls": "{}.model:Model"}, ["params_cls", "BaseParams"]),
        ({"params_cls": "{}.params:number"}, ["params_cls", "int"]),
        ({"initial_params": {"steps": "many", "x": 1}}, ["steps: ", "x: Extra"]),
    ],
)
def test_a_mistake_is_named(package: str, options: dict[str, object], said: list[str]):
    filled = {
        key: value.format(package) if isinstance(value, str) else value
        for key, value in options.items()
    }
    with pytest.raises(PipelineDefinitionError) as caught:
        load_pipeline(spec(package, **filled))
    assert all(text.format(package) in str(caught.value) for text in said), caught.value


@pytest.mark.parametrize("path", ["Model", "module:", ":Model", "", None, Path("m.py"), Path])
def test_a_path_without_module_or_class_is_refused_at_once(path: Any):
    with pytest.raises(PipelineDefinitionError, match=r"pipeline_cls is .*module:Class"):
        PipelineSpec("name", path)
    if path is not None:
        with pytest.raises(PipelineDefinitionError, match=r"params_cls is .*module:Class"):
            PipelineSpec("name", "module:Class", path)


@pytest.mark.parametrize("name", [3, None, "", "a b", "a/../c", "/a", "a/", "-a", "a\n", "../a"])
def test_a_name_that_cannot_be_one_is_refused_at_once(name: Any):
    with pytest.raises(PipelineDefinitionError, match=r"name is .*'green-shift'"):
        PipelineSpec(name, "module:Class")


@pytest.mark.parametrize("name", ["green-shift", "org/Model-v2.1", "llama3:8b", "größe", "a_b"])
def test_names_of_models_are_names(name: str):
    assert PipelineSpec(name, "module:Class").name == name


@pytest.mark.parametrize("given", [None, 3, ["steps"]])
def test_initial_parameters_are_a_mapping(given: Any):
    with pytest.raises(PipelineDefinitionError, match=r"initial_params is .*mapping"):
        PipelineSpec("name", "module:Class", initial_params=given)


def test_equal_specs_have_one_hash():
    one, same, other = (PipelineSpec("m", "m:C", None, {"steps": [n]}) for n in (1, 1, 2))
    assert len({one, same, other}) == 2


def test_a_module_that_fails_says_how(tmp_path: Path):
    broken = tmp_path / "broken.py"
    broken.write_text("x = 1\nimport nothing_of_that_name\n")
    with pytest.raises(PipelineDefinitionError, match="line 2: ModuleNotFoundError"):
        PipelineSpec("broken", f"{broken}:Model").load()
    broken.write_text("class Model: pass\n")
    assert PipelineSpec("broken", f"{broken}:Model").load().__name__ == "Model"


def test_a_missing_module_of_its_own_is_not_taken_for_the_module(package: str, tmp_path: Path):
    (tmp_path / package / "other.py").write_text("import nothing_of_that_name\n")
    with pytest.raises(PipelineDefinitionError, match="does not load: ModuleNotFound"):
        spec(package, pipeline_cls=f"{package}.other:Model").load()


def test_files_of_one_name_are_told_apart(tmp_path: Path):
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "same_name.py").write_text(f"class C: number = {number}\n")
    paths = [tmp_path / str(number) / "same_name.py" for number in (1, 2)]
    modules = [import_file(path) for path in paths]
    assert [module.C.number for module in modules] == [1, 2]
    assert import_file(paths[0]) is modules[0]
    assert [path_of(module.C) for module in modules] == [f"{path}:C" for path in paths]


def test_serve_does_nothing_while_a_file_is_imported(tmp_path: Path):
    script = tmp_path / "unguarded.py"
    script.write_text(
        "from livepeer.runner import LivePipeline, serve\n"
        "class Model(LivePipeline): pass\n"
        "serve(Model)\n"
    )
    assert PipelineSpec("unguarded", f"{script}:Model").load().__name__ == "Model"


SCRIPT = """
import json, sys
from livepeer.runner import BaseParams, pipeline

class Params(BaseParams):
    pass

@pipeline(params=Params)
def my_filter(frame, params):
    return frame

spec = my_filter.spec
print(json.dumps([spec.name, spec.pipeline_cls, spec.params_cls, spec.load() is my_filter]))
"""


def run(*arguments: object, cwd: Path) -> list[object]:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=True
    )
    found: list[object] = json.loads(done.stdout)
    return found


def test_a_class_of_a_script_is_named_by_its_file(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    named = ["my-filter", f"{script}:my_filter", f"{script}:Params", True]
    assert run(script, cwd=tmp_path) == named
    cls = PipelineSpec("x", f"{script}:my_filter").load()
    assert issubclass(cls, LivePipeline)
    assert path_of(cls) == f"{script}:my_filter"


def test_a_class_of_a_module_that_is_run_is_named_by_the_module(tmp_path: Path):
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "part.py").write_text(SCRIPT.replace("spec.load()", "my_filter"))
    named = run("-m", "inside.part", cwd=tmp_path)
    assert named == ["my-filter", "inside.part:my_filter", "inside.part:Params", True]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("EdgeDetect", "edge-detect"),
        ("edge_detect", "edge-detect"),
        ("HTTPFilter", "http-filter"),
        ("_Hidden", "hidden"),
    ],
)
def test_names_are_made_of_names(name: str, expected: str):
    assert kebab(name) == expected


def test_a_spec_is_resolved_without_its_pipeline(package: str):
    target = resolve(spec(package))
    assert (target.name, target.isolated) == ("model", True)
    assert "heavy_dependency" not in sys.modules
    assert resolve(spec(package), "thread").isolated is False
    assert type(target.pipeline()).__name__ == "Model"
