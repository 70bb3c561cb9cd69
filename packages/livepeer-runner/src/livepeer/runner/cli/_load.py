"""From a path or a module to a pipeline, with errors that an author can act on."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.runner._target import make, pipeline_class
from livepeer.runner.batch import Pipeline
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.live import LivePipeline
from livepeer.runner.spec import PipelineSpec, author_error, import_file, kebab

if TYPE_CHECKING:
    from types import ModuleType

DEFAULT_FILE = "pipeline.py"


def load_pipeline(target: str) -> Pipeline | LivePipeline:
    """Make an instance of the pipeline that a target names.

    Args:
        target: A folder with a `pipeline.py`, or a Python file, with `:Class` behind it to choose
            among several; or `module:Class`. A decorated function is a class of its name.

    Raises:
        FileNotFoundError: There is no such file.
        PipelineDefinitionError: The file does not load, or holds no class or several.
    """
    path_text, _, class_name = target.partition(":")
    path = Path(path_text)
    if class_name and not path.exists() and all(map(str.isidentifier, path_text.split("."))):
        return _load_module(target, class_name)
    if path.is_dir():
        path = path / DEFAULT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    pipeline_class = _choose(_import(path), path, class_name)
    try:
        return make(pipeline_class, f" in {path}")
    except PipelineDefinitionError as error:
        if error.__cause__ is None:
            raise
        what = f"{pipeline_class.__name__}() failed"
        raise author_error(what, error.__cause__, path.resolve()) from error.__cause__


def _load_module(target: str, class_name: str) -> Pipeline | LivePipeline:
    # As `python -m` finds modules, and not only where the command is installed.
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return make(pipeline_class(PipelineSpec(kebab(class_name), target).load()))


def _import(path: Path) -> ModuleType:
    try:
        return import_file(path)
    except PipelineDefinitionError as error:
        if error.__cause__ is None:
            raise
        what = f"{path} does not load"
        raise author_error(what, error.__cause__, path.resolve()) from error.__cause__


def _choose(module: ModuleType, path: Path, name: str) -> type[Pipeline | LivePipeline]:
    classes = {
        found.__name__: found
        for _, found in inspect.getmembers(module, inspect.isclass)
        if issubclass(found, (Pipeline, LivePipeline)) and found.__module__ == module.__name__
    }
    if name:
        if name not in classes:
            raise PipelineDefinitionError(f"{path} has no pipeline class {name}")
        return classes[name]
    if not classes:
        raise PipelineDefinitionError(
            f"{path} has no pipeline: derive a class from livepeer.runner.Pipeline or LivePipeline,"
            " or decorate one, or a function, with @pipeline"
        )
    if len(classes) > 1:
        raise PipelineDefinitionError(
            f"{path} has several pipelines ({', '.join(sorted(classes))}): choose one with"
            f" {path}:{sorted(classes)[0]}"
        )
    return next(iter(classes.values()))
