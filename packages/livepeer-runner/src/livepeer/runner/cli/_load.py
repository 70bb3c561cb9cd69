"""From a path or a module to a pipeline, with errors that an author can act on."""

from __future__ import annotations

import inspect
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from livepeer.runner._target import ServeTarget, make, pipeline_class, resolve
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.live import LivePipeline
from livepeer.runner.spec import PipelineSpec, author_error, import_file, kebab

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import ModuleType

DEFAULT_FILE = "pipeline.py"

Loaded = Pipeline | LivePipeline | ServeTarget
"""An instance, or what processes of their own will make."""

Isolation = Literal["auto", "thread", "process"]


def load_pipeline(target: str, isolation: Isolation = "auto", workers: int = 1) -> Loaded:
    """Make an instance of the pipeline that a target names, or say how other processes do.

    Args:
        target: A folder with a `pipeline.py`, or a Python file, with `:Class` behind it to choose
            among several; or `module:Class`. A decorated function is a class of its name; a file
            may have a `PipelineSpec` in the place of a class.
        isolation: Where hooks run, as in the settings.
        workers: Model processes of a batch pipeline, as in the settings.

    Raises:
        FileNotFoundError: There is no such file.
        PipelineDefinitionError: The file does not load, or holds no class or several.
    """
    path_text, _, class_name = target.partition(":")
    path = Path(path_text)
    if class_name and not path.exists() and all(map(str.isidentifier, path_text.split("."))):
        return _load_module(target, class_name, isolation, workers)
    if path.is_dir():
        path = path / DEFAULT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    with _located(f"{path} does not load", path):
        module = import_file(path)
    chosen = _choose(module, path, class_name)
    if isinstance(chosen, PipelineSpec) or _is_made_elsewhere(chosen, isolation, workers):
        return resolve(chosen, isolation, workers)
    with _located(f"{chosen.__name__}() failed", path):
        return make(chosen, f" in {path}")


def _is_made_elsewhere(
    cls: type[Pipeline | LivePipeline], isolation: Isolation, workers: int
) -> bool:
    return isolation == "process" if issubclass(cls, LivePipeline) else workers > 1


def _load_module(target: str, class_name: str, isolation: Isolation, workers: int) -> Loaded:
    # As `python -m` finds modules, and not only where the command is installed.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    spec = PipelineSpec(kebab(class_name), target)
    if isolation == "process":
        return resolve(spec, isolation)
    cls = pipeline_class(spec.load())
    made_elsewhere = _is_made_elsewhere(cls, isolation, workers)
    return resolve(cls, isolation, workers) if made_elsewhere else make(cls)


@contextmanager
def _located(what: str, path: Path) -> Generator[None]:
    """Tell of what an author's code raises inside by its line in the file."""
    try:
        yield
    except PipelineDefinitionError as error:
        if error.__cause__ is None:
            raise
        raise author_error(what, error.__cause__, path.resolve()) from error.__cause__


def _choose(
    module: ModuleType, path: Path, name: str
) -> type[Pipeline | LivePipeline] | PipelineSpec:
    found_specs = (value for value in vars(module).values() if isinstance(value, PipelineSpec))
    specs = {spec.name: spec for spec in found_specs}
    classes = {
        found.__name__: found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, (Pipeline, LivePipeline)) and found.__module__ == module.__name__
    }
    if name:
        if name in specs:
            return specs[name]
        if name not in classes:
            raise PipelineDefinitionError(f"{path} has no pipeline class {name}")
        return classes[name]
    if not classes and len(specs) == 1:
        return next(iter(specs.values()))
    if not classes:
        raise PipelineDefinitionError(
            f"{path} has no pipeline: derive a class from livepeer.runner.Pipeline or LivePipeline,"
            " decorate one, or a function, with @pipeline, or name a PipelineSpec in it"
        )
    if len(classes) > 1:
        raise PipelineDefinitionError(
            f"{path} has several pipelines ({', '.join(sorted(classes))}): choose one with"
            f" {path}:{sorted(classes)[0]}"
        )
    return next(iter(classes.values()))
