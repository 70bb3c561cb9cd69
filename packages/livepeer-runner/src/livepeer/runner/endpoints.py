"""Further methods of a batch pipeline that callers may call, beside `predict()`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast, overload

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Mark", "endpoint", "mark_of"]

_Method = TypeVar("_Method", bound="Callable[..., object]")
_ATTRIBUTE = "__livepeer_endpoint__"


class Mark(NamedTuple):
    """What `@endpoint` leaves at a method.

    Attributes:
        path: The route's path as the author gave it; None for the method's name in kebab case.
    """

    path: str | None


@overload
def endpoint(method: _Method, /) -> _Method: ...
@overload
def endpoint(*, path: str | None = None) -> Callable[[_Method], _Method]: ...
def endpoint(
    method: _Method | None = None, /, *, path: str | None = None
) -> _Method | Callable[[_Method], _Method]:
    """Let callers call a method of a `Pipeline`, as they call `predict()`.

    ```python
    class Translator(Pipeline):
        def predict(self, text: str) -> str: ...

        @endpoint
        def list_languages(self) -> list[str]: ...  # POST /list-languages
    ```

    Its signature is its contract, by the rules of `predict()`. All methods share the slots of
    `concurrency`. The method itself stays as it is.

    Args:
        method: What is marked.
        path: The route's path, beginning with `/`; by default the method's name in kebab case.

    Raises:
        PipelineDefinitionError: It is no function.
    """

    def mark(function: _Method) -> _Method:
        # An annotation keeps nobody from marking a static method, a property, or a path.
        given = cast("object", function)
        if isinstance(given, str):
            raise PipelineDefinitionError(
                f"@endpoint({given!r}) has no method: write @endpoint(path={given!r})"
            )
        if not callable(given) or isinstance(function, type):
            raise PipelineDefinitionError(
                f"@endpoint stands at {function!r}, which is no method: put it right above `def`,"
                " below other decorators"
            )
        setattr(function, _ATTRIBUTE, Mark(path))
        return function

    return mark if method is None else mark(method)


def mark_of(function: object) -> Mark | None:
    """What `@endpoint` left at a member of a class, as it stands there, if it was there."""
    below: object = getattr(function, "__func__", None)  # of a static or class method
    for one in (function, below):
        found: object = getattr(one, _ATTRIBUTE, None)
        if isinstance(found, Mark):
            return found
    return None
