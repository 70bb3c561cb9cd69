"""A method of another framework's unit as a method of a `Pipeline`, with its own signature."""

from __future__ import annotations

import asyncio
import inspect
from contextlib import ExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

from livepeer.runner._schema.annotations import bare, is_union
from livepeer.runner._schema.routes import is_reserved
from livepeer.runner.adapters._annotations import stream_of, union
from livepeer.runner.adapters._files import has_file, unpacked
from livepeer.runner.batch import Pipeline
from livepeer.runner.endpoints import endpoint
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.spec import kebab

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterable,
        Awaitable,
        Callable,
        Generator,
        Iterable,
        Mapping,
        Sequence,
    )

    from livepeer.runner.adapters._files import Receive


class Shape(Enum):
    """How a function gives what it gives."""

    VALUE = "returns"
    COROUTINE = "awaited"
    ITEMS = "iterated"
    ASYNC_ITEMS = "iterated asynchronously"


def shape_of(function: Callable[..., object]) -> Shape:
    """The shape of a function as it is written."""
    if inspect.isasyncgenfunction(function):
        return Shape.ASYNC_ITEMS
    if inspect.iscoroutinefunction(function):
        return Shape.COROUTINE
    if inspect.isgeneratorfunction(function):
        return Shape.ITEMS
    return Shape.VALUE


class Adapted(Pipeline):
    """A pipeline that was made of another framework's unit.

    Attributes:
        unit: What the framework would call: an instance from `setup()` on.
    """

    unit: Any = None

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        """Made for each unit, with the signature of its own."""
        raise NotImplementedError


@dataclass(frozen=True)
class Method:
    """One method to serve.

    Attributes:
        name: What the pipeline calls it.
        function: The author's, for its documentation and its place.
        shape: How `call` gives what it gives.
        parameters: Without `self`, annotated as the schema shall show them.
        returns: The annotation of the result, or of the stream, as the schema shall show it.
        call: Takes the pipeline and the arguments.
        receive: Makes of a file of a request what the author expects; None where there are none.
        answer: Makes of a result, or of an item, what is written as JSON; it may read files. None
            where results are written as they are.
        path: Of its route, where it is not `predict()`; None for its name in kebab case.
        refusals: What the author raises to answer a caller with a status of its own.
        refused: Makes of one of those what our server answers so.
    """

    name: str
    function: Callable[..., object]
    shape: Shape
    parameters: Sequence[inspect.Parameter]
    returns: object
    call: Callable[[Adapted, dict[str, object]], object]
    receive: Receive | None = None
    answer: Callable[[object], object] | None = None
    path: str | None = None
    refusals: tuple[type[Exception], ...] = ()
    refused: Callable[[Any], Exception] | None = None


def in_front(methods: Sequence[Method], first: str | None, owner: str) -> list[Method]:
    """The methods with that of `predict()` before the others.

    Args:
        methods: As the author named them.
        first: Which of them it is; by default the one of that name, or the only one.
        owner: The unit, for messages.

    Raises:
        PipelineDefinitionError: There is none, or it has to be said which one.
    """
    names = [method.name for method in methods]
    own = "predict" if "predict" in names else names[0] if len(names) == 1 else None
    wanted = own if own == "predict" else first or own
    if not names:
        raise PipelineDefinitionError(f"{owner} has no method that can be served")
    if wanted is None or wanted not in names:
        said = f"has no {first}()" if first else "has several"
        raise PipelineDefinitionError(
            f"{owner} {said}: name the one that is to be predict(), as in"
            f" adapt({owner}, method=...), out of {', '.join(names)}"
        )
    return sorted(methods, key=lambda method: method.name != wanted)


def make_class(
    base: type[Adapted],
    name: str,
    of: object,
    methods: Sequence[Method],
    *,
    checked: bool = True,
    **members: object,
) -> type[Adapted]:
    """Make the pipeline class of a unit.

    Args:
        base: Has the hooks of the framework.
        name: Of the class, and so of the capability.
        of: The author's class or function, whose documentation becomes the class's.
        methods: The first is `predict()`.
        checked: The unit has something to say of its health; otherwise nobody asks it.
        members: Further attributes of the class.
    """
    namespace: dict[str, object] = {
        "__doc__": inspect.getdoc(of),
        "__module__": getattr(of, "__module__", __name__),
        # Another process cannot find it by this, and says so.
        "__qualname__": f"adapt.<locals>.{name}",
        **members,
    }
    if not checked:
        namespace["healthcheck"] = Pipeline.healthcheck
    namespace["predict"] = _function(methods[0], "predict")
    for method in methods[1:]:
        # A hook of ours by that name is another thing.
        attribute = f"{method.name}_" if hasattr(base, method.name) else method.name
        mark = endpoint(path=_path(method, name))
        namespace[attribute] = mark(_function(method, attribute))
    return cast("type[Adapted]", type(name, (base,), namespace))


def _path(method: Method, owner: str) -> str:
    path = (method.path or "").rstrip("/") or f"/{kebab(method.name)}"
    return f"/{kebab(owner)}{path}" if is_reserved(path) else path


_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _function(method: Method, name: str) -> Callable[..., object]:
    made = _MAKERS[method.shape](method)
    made.__name__ = name
    made.__qualname__ = getattr(method.function, "__qualname__", name)
    made.__module__ = getattr(method.function, "__module__", __name__)
    made.__doc__ = method.function.__doc__
    returns = method.returns
    if method.shape in (Shape.ITEMS, Shape.ASYNC_ITEMS):
        returns = stream_of(returns, asynchronous=method.shape is Shape.ASYNC_ITEMS)
    parameters = [_with_none(parameter) for parameter in method.parameters]
    made.__annotations__ = {
        **{parameter.name: parameter.annotation for parameter in parameters},
        "return": returns,
    }
    signature = inspect.Signature([_SELF, *parameters], return_annotation=returns)
    vars(made)["__signature__"] = signature
    if shape_of(method.function) is method.shape:
        # Messages name the author's line by it.
        vars(made)["__wrapped__"] = method.function
    return made


def _with_none(parameter: inspect.Parameter) -> inspect.Parameter:
    """A parameter whose default is None without its annotation saying so, as one that may be."""
    annotation = parameter.annotation
    if parameter.default is not None or annotation is Any or is_union(bare(annotation)):
        return parameter
    return parameter.replace(annotation=union(annotation, None))


def _value(method: Method) -> Callable[..., object]:
    def call(self: Adapted, **arguments: object) -> object:
        with unpacked(arguments, method.receive) as given, _told(method):
            return _answer(method, method.call(self, given))

    return call


def _coroutine(method: Method) -> Callable[..., object]:
    async def call(self: Adapted, **arguments: object) -> object:
        async with _unpacked(arguments, method.receive) as given:
            with _told(method):
                result = await cast("Awaitable[object]", method.call(self, given))
            return await _answer_later(method, result)

    return call


def _items(method: Method) -> Callable[..., object]:
    def call(self: Adapted, **arguments: object) -> Generator[object, None, None]:
        with unpacked(arguments, method.receive) as given, _told(method):
            items = cast("Iterable[object]", method.call(self, given))
            try:
                for item in items:
                    yield _answer(method, item)
            finally:
                close = getattr(items, "close", None)
                if close is not None:
                    close()

    return call


def _async_items(method: Method) -> Callable[..., object]:
    async def call(self: Adapted, **arguments: object) -> AsyncGenerator[object, None]:
        async with _unpacked(arguments, method.receive) as given:
            with _told(method):
                called = method.call(self, given)
                source = await called if inspect.isawaitable(called) else called
                async with aclosing(_iterated(cast("AsyncIterable[object]", source))) as items:
                    async for item in items:
                        yield await _answer_later(method, item)

    return call


_MAKERS = {
    Shape.VALUE: _value,
    Shape.COROUTINE: _coroutine,
    Shape.ITEMS: _items,
    Shape.ASYNC_ITEMS: _async_items,
}


@contextmanager
def _told(method: Method) -> Generator[None, None, None]:
    try:
        yield
    except method.refusals as error:
        assert method.refused is not None
        answered = method.refused(error)
        if answered is error:
            raise
        raise answered from error


async def _iterated(source: AsyncIterable[object]) -> AsyncGenerator[object, None]:
    try:
        async for item in source:
            yield item
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


def _answer(method: Method, value: object) -> object:
    return value if method.answer is None else method.answer(value)


async def _answer_later(method: Method, value: object) -> object:
    return value if method.answer is None else await asyncio.to_thread(method.answer, value)


@asynccontextmanager
async def _unpacked(
    arguments: Mapping[str, object], receive: Receive | None
) -> AsyncGenerator[dict[str, object], None]:
    """As `unpacked`, with the disk left to a thread."""
    if receive is None or not has_file(arguments):
        yield dict(arguments)
        return
    with ExitStack() as stack:
        yield await asyncio.to_thread(stack.enter_context, unpacked(arguments, receive))
