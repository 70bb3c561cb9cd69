"""A pipeline by name: imported when it is needed, in the process where it is needed."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import ModuleType

    from pydantic import BaseModel, JsonValue

_loading: ContextVar[bool] = ContextVar("a file is imported for its class alone", default=False)

# Modules that were imported from a file, by the name that they were given.
_files: dict[str, Path] = {}

# A word, or several with a slash between them, as models have.
_NAME = re.compile(r"\w[\w.:-]*(/\w[\w.:-]*)*")


@dataclass(frozen=True)
class PipelineSpec:
    """Where a live pipeline is, and with what it begins; nothing is imported until it is loaded.

    A class is named `module:Class`, or `/path/to/file.py:Class` for a file that is no module.

    Args:
        name: The capability's name: letters, digits, `.`, `_`, `-`, and `/` between words.
        pipeline_cls: The class of the pipeline.
        params_cls: The Pydantic model of its parameters, in the place of the class's own `Params`.
            Keep it in a module that imports nothing heavy: it is loaded without the pipeline.
        initial_params: Values below those that the caller of a stream sends.

    Raises:
        PipelineDefinitionError: One of them is not of that form.
    """

    name: str
    pipeline_cls: str
    params_cls: str | None = None
    initial_params: Mapping[str, JsonValue] = field(
        default_factory=dict["str", "JsonValue"], hash=False
    )

    def __post_init__(self) -> None:
        _check_name(self.name)
        _check_path("pipeline_cls", self.pipeline_cls)
        if self.params_cls is not None:
            _check_path("params_cls", self.params_cls)
        _check_mapping(self.initial_params)
        object.__setattr__(self, "initial_params", dict(self.initial_params))

    def load(self) -> type[object]:
        """Import the class of the pipeline.

        Raises:
            PipelineDefinitionError: It is not there, or its module does not load.
        """
        return _load("pipeline_cls", self.pipeline_cls)

    def load_params(self) -> type[BaseModel] | None:
        """Import the model of the parameters alone; None where the spec names none.

        Raises:
            PipelineDefinitionError: It is not there, is no Pydantic model, or its module does not
                load.
        """
        if self.params_cls is None:
            return None
        from pydantic import BaseModel

        found = _load("params_cls", self.params_cls)
        if not issubclass(found, BaseModel):
            raise PipelineDefinitionError(
                f"params_cls {self.params_cls} is no Pydantic model: derive it from"
                " livepeer.runner.BaseParams"
            )
        return found


@contextmanager
def loading() -> Generator[None, None, None]:
    """Let `serve()` do nothing while an author's file is imported, for its class alone."""
    token = _loading.set(True)
    try:
        yield
    finally:
        _loading.reset(token)


def is_loading() -> bool:
    """Whether a file is being imported for its class alone."""
    return _loading.get()


def path_of(thing: type[object] | Callable[..., object]) -> str:
    """The `module:Class` by which another process can import this; by file where no name can."""
    name = thing.__module__
    module = sys.modules.get(name)
    file: object = getattr(module, "__file__", None)
    main_name: object = getattr(getattr(module, "__spec__", None), "name", None)
    if name == "__main__" and isinstance(main_name, str):
        name = main_name  # `python -m package.module`
    elif isinstance(file, str) and not _is_importable(name, Path(file)):
        name = str(Path(file).resolve())
    return f"{name}:{thing.__qualname__}"


def kebab(name: str) -> str:
    """The name of a capability that was given none: that of its class or function, in kebab case.

    `EdgeDetect` and `edge_detect` are both `edge-detect`.
    """
    hyphened = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name)
    return hyphened.replace("_", "-").strip("-").lower()


def import_file(path: Path) -> ModuleType:
    """Import a file as `python file.py` would find it, but not as `__main__`; once.

    Raises:
        PipelineDefinitionError: There is no such file, or it does not load; the text has the line.
    """
    path = path.resolve()
    for known in list(sys.modules.values()):
        # Not an attribute: some modules make theirs when they are asked for.
        file: object = getattr(known, "__dict__", {}).get("__file__")
        if isinstance(file, str) and file.endswith(path.name) and Path(file).resolve() == path:
            return known
    name = path.stem
    if name in sys.modules:
        name = f"{name}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if not path.is_file():
        raise PipelineDefinitionError(f"there is no file {path}")
    if spec is None or spec.loader is None:
        raise PipelineDefinitionError(f"{path} is not a Python file")
    # What the author imports from beside the file.
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name], _files[name] = module, path
    try:
        with loading():
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name], _files[name]
        raise author_error(f"{path} does not load", error, path) from error
    return module


def author_error(what: str, error: BaseException, path: Path | None) -> PipelineDefinitionError:
    """One line that names the place in the author's file where it happened."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame.lineno for frame in frames if path and Path(frame.filename).resolve() == path]
    line = error.lineno if isinstance(error, SyntaxError) else (own[-1] if own else None)
    where = f", line {line}" if line else ""
    reason = error.msg if isinstance(error, SyntaxError) else str(error)
    return PipelineDefinitionError(f"{what}{where}: {type(error).__name__}: {reason}")


# These take `object`: an annotation keeps nobody from anything.
def _check_name(name: object) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PipelineDefinitionError(
            f"name is {name!r}: name the capability as in 'green-shift' or 'org/model' (letters,"
            " digits, '.', '_', '-', and '/' between words)"
        )


def _check_path(option: str, path: object) -> None:
    module, _, qualname = path.rpartition(":") if isinstance(path, str) else ("", "", "")
    if not (module and qualname):
        raise PipelineDefinitionError(
            f"{option} is {path!r}: write it as a string, 'module:Class' or '/path/file.py:Class'"
        )


def _check_mapping(values: object) -> None:
    if not isinstance(values, Mapping):
        raise PipelineDefinitionError(
            f"initial_params is {values!r}: write a mapping of values by their names"
        )


def _is_importable(name: str, file: Path) -> bool:
    if name in _files or name == "__main__":
        return False
    top, _, below = name.partition(".")
    # Not `importlib.util.find_spec`, which asks for what is loaded here first.
    finders = (getattr(finder, "find_spec", None) for finder in sys.meta_path)
    found = next((spec for find in finders if find and (spec := find(top, None))), None)
    return found is not None and (bool(below) or found.origin == str(file))


def _load(option: str, path: str) -> type[object]:
    module_name, _, qualname = path.rpartition(":")
    if "<" in qualname:
        raise PipelineDefinitionError(
            f"{option} {path} is defined inside a function: move it to the top of its module"
        )
    found: object = _module(option, module_name)
    for part in qualname.split("."):
        if not hasattr(found, part):
            raise PipelineDefinitionError(f"{option}: {module_name} has no {qualname}")
        found = getattr(found, part)
    if not isinstance(found, type):
        raise PipelineDefinitionError(
            f"{option} {path} is a {type(found).__name__}: name a class, or decorate the function"
            " with @pipeline"
        )
    return found


def _module(option: str, name: str) -> ModuleType:
    if name.endswith(".py"):
        return import_file(Path(name))
    try:
        with loading():
            return importlib.import_module(name)
    except (Exception, SystemExit) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise PipelineDefinitionError(
                f"{option}: there is no module {error.name}; is its package installed?"
            ) from error
        raise author_error(f"{option}: {name} does not load", error, None) from error
