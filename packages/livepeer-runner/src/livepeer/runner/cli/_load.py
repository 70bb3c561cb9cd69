"""From a path to a pipeline, with errors that an author can act on."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.live import LivePipeline
from livepeer.runner.batch import Pipeline
from livepeer.runner.serving import loading

if TYPE_CHECKING:
    from types import ModuleType

DEFAULT_FILE = "pipeline.py"


def load_pipeline(target: str) -> Pipeline | LivePipeline:
    """Make an instance of the pipeline that a target names.

    Args:
        target: A folder with a `pipeline.py`, or a Python file; `:Class` after it chooses among
            several.

    Raises:
        FileNotFoundError: There is no such file.
        PipelineDefinitionError: The file does not load, or holds no class or several.
    """
    path_text, _, class_name = target.partition(":")
    path = Path(path_text)
    if path.is_dir():
        path = path / DEFAULT_FILE
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}")
    pipeline_class = _choose(_import(path), path, class_name)
    missing = sorted(getattr(pipeline_class, "__abstractmethods__", ()))
    if missing:
        raise PipelineDefinitionError(
            f"{pipeline_class.__name__} in {path} has no {missing[0]}(): define it in the class"
        )
    try:
        return pipeline_class()
    except (Exception, SystemExit) as error:
        raise _author_error(f"{pipeline_class.__name__}() failed", error, path) from error


def _import(path: Path) -> ModuleType:
    name = path.stem
    # What the author imports from beside the file, as `python pipeline.py` would find it.
    sys.path.insert(0, str(path.parent.resolve()))
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PipelineDefinitionError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with loading():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise _author_error(f"{path} does not load", error, path) from error
    return module


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
            f"{path} has no pipeline: derive a class from livepeer.runner.Pipeline or LivePipeline"
        )
    if len(classes) > 1:
        raise PipelineDefinitionError(
            f"{path} has several pipelines ({', '.join(sorted(classes))}): choose one with"
            f" {path}:{sorted(classes)[0]}"
        )
    return next(iter(classes.values()))


def _author_error(what: str, error: BaseException, path: Path) -> PipelineDefinitionError:
    """One line that names the place in the author's file where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    line = error.lineno if isinstance(error, SyntaxError) else (own[-1] if own else None)
    where = f", line {line}" if line else ""
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return PipelineDefinitionError(f"{what}{where}: {type(error).__name__}: {reason}")
