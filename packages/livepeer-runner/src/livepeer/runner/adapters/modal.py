"""A Modal class, or a Modal function, as a pipeline."""

from __future__ import annotations

import base64
import inspect
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, cast, get_args, get_origin

from livepeer.runner.adapters._annotations import KEEP, hints, replaced
from livepeer.runner.adapters._build import Adapted, Method, Shape, in_front, make_class, shape_of
from livepeer.runner.adapters._files import BINARY, mapped
from livepeer.runner.adapters._hooks import any_async, run, run_any
from livepeer.runner.adapters._require import require
from livepeer.runner.adapters._web import Web
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from livepeer.runner.adapters._hooks import Hook
    from livepeer.runner.batch import Pipeline

_log = logging.getLogger(__name__)


def adapt(
    unit: object,
    *,
    method: str | None = None,
    parameters: Mapping[str, object] | None = None,
) -> type[Pipeline]:
    """Make a pipeline of a Modal class or function.

    Args:
        unit: What `@app.cls()` made of a class, or `@app.function()` of a function.
        method: Which method of a class is `predict()`; by default the one of that name, or the only
            one. The others are served at their own names.
        parameters: Values of a class's `modal.parameter()`s, over their defaults.

    Returns:
        A class for `serve()`. `setup()` makes the instance and calls what `@modal.enter()` marks,
        `teardown()` what `@modal.exit()` marks. All of it runs here: Modal is not asked.

    Raises:
        FrameworkMissing: `modal` is not installed.
        PipelineDefinitionError: It is neither, it has no method, it has to be said which one, or a
            parameter is missing or unknown.
    """
    modal = require("modal")
    if isinstance(unit, modal.Function):
        return _of_function(cast("Any", unit))
    if isinstance(unit, modal.Cls):
        return _of_class(cast("Any", unit), method, dict(parameters or {}))
    raise PipelineDefinitionError(
        f"{unit!r} is neither a Modal class nor a Modal function: decorate it with @app.cls() or"
        " @app.function()"
    )


def _of_function(unit: Any) -> type[Pipeline]:
    function: Callable[..., object] = unit._raw_f_
    name = function.__name__
    # `unit.info()` has it too, and blocks the loop that it may be called on.
    info = require("modal._utils.async_utils").synchronizer._translate_in(unit)._function_info
    if info.web_info is not None and info.web_info.method is None:
        raise PipelineDefinitionError(
            f"{name}() is a web application of its own, which is not carried over: run it with a"
            " web server"
        )

    def call(_pipeline: Adapted, given: dict[str, object]) -> object:
        return function(**given)

    method = _method(function, name, call, bound=False, batched=info.batching_info is not None)
    return make_class(Adapted, name, function, [method])


def _of_class(unit: Any, first: str | None, parameters: dict[str, object]) -> type[Pipeline]:
    cls: type[object] = unit._get_user_cls()
    try:
        unit(**parameters)._get_parameter_values()
    except TypeError as error:
        raise PipelineDefinitionError(
            f"{cls.__name__}: {error}: give its parameters as adapt({cls.__name__},"
            " parameters={...})"
        ) from None
    flags = require("modal._partial_function")._PartialFunctionFlags
    methods = [
        _method_of_class(name, partial_, batched=bool(partial_.flags & flags.BATCHED))
        for name, partial_ in _marked(cls, flags.interface_flags()).items()
        if not _is_application(partial_, f"{cls.__name__}.{name}()")
    ]
    every = _marked(cls, flags.lifecycle_flags()).values()
    base = _AsyncModel if any_async(one.raw_f for one in every) else _Model
    ordered = in_front(methods, first, cls.__name__)
    return make_class(base, cls.__name__, cls, ordered, made_of=unit, parameters=parameters)


def _is_application(marked: Any, where: str) -> bool:
    web = marked.params.webhook_config
    if web is None or web.method:
        return False
    _log.warning("%s is left out: it is a web application of its own", where)
    return True


class _Model(Adapted):
    made_of: Any = None
    parameters: Mapping[str, object] = {}

    def setup(self) -> Awaitable[None] | None:
        run(self._begin())
        return None

    def teardown(self) -> Awaitable[None] | None:
        run(self._hooks("EXIT"))
        return None

    def _begin(self) -> list[Hook]:
        made = self.made_of(**self.parameters)
        self.unit = made._cached_user_cls_instance()
        # What one method calls `.local()` of another is entered by then.
        made._entered = True
        return [*self._hooks("ENTER_PRE_SNAPSHOT"), *self._hooks("ENTER_POST_SNAPSHOT")]

    def _hooks(self, flag: str) -> list[Hook]:
        flags = require("modal._partial_function")._PartialFunctionFlags
        found = _marked(cast("type[object]", type(self.unit)), flags[flag])
        return [partial(one.raw_f, self.unit) for one in found.values()]


class _AsyncModel(_Model):
    async def setup(self) -> None:
        await run_any(self._begin())

    async def teardown(self) -> None:
        await run_any(self._hooks("EXIT"))


def _marked(cls: type[object], flags: int) -> Mapping[str, Any]:
    """What Modal's decorators made of the methods of a class, by their names."""
    module = require("modal._partial_function")
    found: Mapping[str, Any] = module._find_partial_methods_for_user_cls(cls, flags)
    return found


def _method_of_class(name: str, marked: Any, *, batched: bool) -> Method:
    function: Callable[..., object] = marked.raw_f

    def call(pipeline: Adapted, given: dict[str, object]) -> object:
        return function(pipeline.unit, **given)

    items = bool(marked.params.is_generator)
    return _method(function, name, call, bound=True, batched=batched, items=items)


def _method(
    function: Callable[..., object],
    name: str,
    call: Callable[[Adapted, dict[str, object]], object],
    *,
    bound: bool,
    batched: bool,
    items: bool = False,
) -> Method:
    known = {key: replaced(annotation, _bytes) for key, annotation in hints(function, name).items()}
    if batched:
        known = {key: _item(annotation) for key, annotation in known.items()}
    returns = known.get("return", Any)
    shape = shape_of(function)
    if items and shape is Shape.VALUE:
        shape = Shape.ITEMS
    return Web().answered(
        Method(
            name=name,
            function=function,
            shape=shape,
            parameters=[
                one.replace(annotation=known.get(one.name, Any))
                for one in list(inspect.signature(function).parameters.values())[bound:]
            ],
            returns=returns,
            call=_one_by_one(call, shape) if batched else call,
            answer=_with_text if returns in _OPEN else None,
        )
    )


_OPEN: tuple[object, ...] = (Any, dict, list, tuple)
"""Annotations that say nothing of what is inside."""


def _with_text(value: object) -> object:
    """A value with base64 text in the place of bytes."""
    return mapped(value, bytes, lambda content: base64.b64encode(content).decode())


def _bytes(annotation: object) -> object:
    return BINARY if annotation is bytes else KEEP


def _item(annotation: object) -> object:
    return get_args(annotation)[0] if get_origin(annotation) is list else annotation


def _one_by_one(
    call: Callable[[Adapted, dict[str, object]], object], shape: Shape
) -> Callable[[Adapted, dict[str, object]], object]:
    """What Modal calls with lists, called with lists of one."""

    def one(pipeline: Adapted, given: dict[str, object]) -> object:
        called = call(pipeline, {name: [value] for name, value in given.items()})
        return _first_later(called) if shape is Shape.COROUTINE else cast("Any", called)[0]

    return one


async def _first_later(called: object) -> object:
    return (await cast("Awaitable[Any]", called))[0]
