"""Where a contract is written, for messages that name the line and the mend."""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from dataclasses import dataclass
from types import CodeType
from typing import TYPE_CHECKING, cast

from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True)
class Site:
    """One method of an author's class.

    Attributes:
        owner: The class, whose body may define types that annotations name.
        method: Name of the method.
        function: The method as it is called.
    """

    owner: type[object]
    method: str
    function: Callable[..., object]

    @property
    def where(self) -> str:
        """The method as messages name it."""
        return f"{self.owner.__name__}.{self.method}()"

    @property
    def written(self) -> Callable[..., object]:
        """What the author wrote, below decorators and bound arguments."""
        function: Callable[..., object] = inspect.unwrap(self.function)
        while isinstance(function, functools.partial):
            function = inspect.unwrap(cast("functools.partial[object]", function).func)
        return function

    def refuse(self, text: str, parameter: str | None = None) -> PipelineDefinitionError:
        """The error that tells what is wrong, where it stands, and how it is mended.

        Args:
            text: What is wrong, and the mend.
            parameter: The parameter that it is about; `return` for the return annotation.
        """
        return PipelineDefinitionError(f"{self.where}{self._place(parameter)}: {text}")

    def _place(self, parameter: str | None) -> str:
        code: object = getattr(self.written, "__code__", None)
        if not isinstance(code, CodeType):
            return ""
        line = _line_of(self.written, parameter) or code.co_firstlineno
        return f" ({code.co_filename}:{line})"


def _line_of(function: Callable[..., object], parameter: str | None) -> int | None:
    """The line of a parameter; None where there is no source to look into."""
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError):
        return None
    node = tree.body[0] if tree.body else None
    if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    if parameter == "return":
        return first + (node.returns or node).lineno - 1
    takes = node.args
    every = (*takes.posonlyargs, *takes.args, *takes.kwonlyargs, takes.vararg, takes.kwarg)
    found = next((one for one in every if one is not None and one.arg == parameter), node)
    return first + found.lineno - 1
