"""A Cog predictor as a pipeline."""

from __future__ import annotations

import inspect
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast, get_args

from livepeer.runner._schema.annotations import is_union
from livepeer.runner.adapters._annotations import KEEP, hints, is_a, items_of, mentions
from livepeer.runner.adapters._build import Adapted, Method, Shape, make_class, shape_of
from livepeer.runner.adapters._cog_types import CogTypes, opened
from livepeer.runner.adapters._files import saved
from livepeer.runner.adapters._hooks import any_async, ask_any, run, run_any
from livepeer.runner.adapters._require import require
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.spec import import_file

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.runner.adapters._hooks import Hook
    from livepeer.runner.batch import Pipeline

Predictor: TypeAlias = "type[object] | Callable[..., object]"

_NAMES = ("Runner", "Predictor")
_HOOKS = ("setup", "healthcheck")


def adapt(predictor: Predictor | str | Path) -> type[Pipeline]:
    """Make a pipeline of a Cog predictor.

    Args:
        predictor: The class (`BaseRunner` or `BasePredictor`, or a plain one with their methods), a
            predict function, or where it is, as `cog.yaml` says it: `predict.py:Predictor`, or the
            file alone where the class is called `Runner` or `Predictor`.

    Returns:
        A class for `serve()`. `setup()` makes the predictor and runs its `setup()`; `predict()` has
        the inputs of `run()`, or `predict()`, with their constraints.

    Raises:
        FrameworkMissing: `cog` is not installed.
        PipelineDefinitionError: It has neither method, or both, or is not there.
    """
    types = CogTypes()
    found = _loaded(predictor) if isinstance(predictor, (str, Path)) else predictor
    if inspect.isclass(found):
        name = _method_name(found)
        method = _method(types, getattr(found, name), found.__name__, bound=True)
        hooks = [getattr(found, hook) for hook in _HOOKS if hasattr(found, hook)]
        base = _AsyncPredictor if any_async(hooks) else _Predictor
        checked = hasattr(found, "healthcheck")
        return make_class(
            base, found.__name__, found, [method], checked=checked, made_of=found, entry=name
        )
    method = _method(types, found, found.__name__, bound=False)
    return make_class(_Predictor, found.__name__, found, [method], checked=False)


class _Predictor(Adapted):
    made_of: type[object] | None = None
    entry = "predict"

    def setup(self) -> Awaitable[None] | None:
        run(self._begin())
        return None

    def healthcheck(self) -> Awaitable[bool] | bool:
        return bool(self.unit.healthcheck())

    def _begin(self) -> list[Hook]:
        if self.made_of is None:
            return []
        self.unit = self.made_of()
        setup = getattr(self.unit, "setup", None)
        return [] if setup is None else [_with_weights(setup, self.made_of.__name__)]


class _AsyncPredictor(_Predictor):
    async def setup(self) -> None:
        await run_any(self._begin())

    async def healthcheck(self) -> bool:
        return bool(await ask_any(self.unit.healthcheck))


def _with_weights(setup: Callable[..., object], owner: str) -> Hook:
    """A predictor's `setup()`, with the weights where it takes them."""
    if "weights" not in inspect.signature(setup).parameters:
        return setup
    weights: object = os.environ.get("COG_WEIGHTS")
    if weights is not None and _wants_path(hints(setup, owner).get("weights")):
        weights = require("cog").Path(weights)
    return partial(setup, weights=weights)


def _wants_path(annotation: object) -> bool:
    members = get_args(annotation) if is_union(annotation) else (annotation,)
    return str not in members and any(is_a(member, Path) for member in members)


def _loaded(where: str | Path) -> Predictor:
    file, _, name = str(where).partition(":")
    module = import_file(Path(file))
    for candidate in [name] if name else _NAMES:
        found: object = getattr(module, candidate, None)
        if callable(found):
            return cast("Predictor", found)
    raise PipelineDefinitionError(f"{file} has no {name or ' or '.join(_NAMES)}")


def _method_name(cls: type[object]) -> str:
    own = {
        name
        for owner in cls.__mro__
        if owner is not object and owner.__module__.partition(".")[0] != "cog"
        for name in ("run", "predict")
        if callable(vars(owner).get(name))
    }
    if len(own) != 1:
        raise PipelineDefinitionError(
            f"{cls.__name__} has {'both' if own else 'neither'} run() {'and' if own else 'nor'}"
            " predict(): a predictor has one of them"
        )
    return own.pop()


def _method(types: CogTypes, function: Callable[..., object], owner: str, *, bound: bool) -> Method:
    shape = shape_of(function)
    known = hints(function, owner)
    parameters = list(inspect.signature(function).parameters.values())[1 if bound else 0 :]
    returns = known.get("return", Any)
    handles = {
        one.name
        for one in parameters
        if mentions(known.get(one.name, Any), lambda part: part is types.file)
    }

    def call(pipeline: Adapted, given: dict[str, object]) -> object:
        for name in handles & given.keys():
            given[name] = opened(given[name])
        if bound:
            return getattr(pipeline.unit, cast("_Predictor", pipeline).entry)(**given)
        return function(**given)

    if items_of(returns) is not KEEP and shape in (Shape.VALUE, Shape.COROUTINE):
        # It returns what is iterated.
        shape = Shape.ITEMS if shape is Shape.VALUE else Shape.ASYNC_ITEMS
    shown, answer = types.result(returns)
    return Method(
        name="predict",
        function=function,
        shape=shape,
        parameters=[
            types.parameter(one, known.get(one.name, Any), order)
            for order, one in enumerate(parameters)
        ],
        returns=shown,
        call=call,
        receive=lambda file, folder: types.path(saved(file, folder)),
        answer=answer,
    )
