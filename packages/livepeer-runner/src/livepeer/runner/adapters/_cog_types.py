"""The types and inputs of Cog, as a schema has them."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
from enum import Enum
from io import BytesIO, IOBase
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, cast, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    PlainValidator,
    WithJsonSchema,
    create_model,
)

from livepeer.runner._schema.annotations import is_union, metadata_of
from livepeer.runner.adapters._annotations import (
    KEEP,
    hints,
    is_a,
    literal,
    mentions,
    replaced,
    union,
    with_metadata,
)
from livepeer.runner.adapters._files import IN_JSON, data_url, file_url, mapped
from livepeer.runner.adapters._require import require
from livepeer.runner.files import OCTETS, File

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic.config import JsonDict


class CogTypes:
    """What Cog's types and `Input()` mean to a schema.

    Attributes:
        path: `cog.Path`.
        file: `cog.File`, which is a handle and no path.
    """

    def __init__(self) -> None:
        cog = require("cog")
        self.path: type[Path] = cog.Path
        self.file: type[object] = cog.File
        self.secret: type[object] = cog.Secret
        self.model: type[object] = cog.BaseModel
        self.input: type[object] = require("cog.input").FieldInfo
        self.opaque: type[object] = cog.Opaque

    def parameter(
        self, parameter: inspect.Parameter, annotation: object, order: int
    ) -> inspect.Parameter:
        """An input, with the constraints that its default has in Cog."""
        default: object = parameter.default
        extra: JsonDict = {"x-order": order}
        constraints: list[object] = []
        if isinstance(default, self.input):
            info = cast("Any", default)
            annotation = self._constrained(annotation, info)
            constraints.append(Field(description=info.description, deprecated=info.deprecated))
            if info.accept:
                extra["x-accept"] = info.accept
            default = info.default
        if default is None or default is inspect.Parameter.empty:
            # Cog asks for what is not optional, and nothing else.
            optional = is_union(annotation) and type(None) in get_args(annotation)
            default = None if optional else inspect.Parameter.empty
        if isinstance(default, Enum):
            default = default.value
        shown = replaced(annotation, self._taken)
        return parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            annotation=with_metadata(shown, *constraints, Field(json_schema_extra=extra)),
            default=default,
        )

    def result(self, returns: object) -> tuple[object, Callable[[object], object] | None]:
        """The annotation of an output, and what makes of a value what is answered."""
        if is_a(returns, Path):
            return File, _as_file
        return replaced(returns, self._shown), None if _is_plain(returns) else _as_json

    def _constrained(self, annotation: object, info: Any) -> object:
        """The constraints of an `Input()`, on the items where it is a list."""
        if is_union(annotation):
            members = get_args(annotation)
            own = [one for one in members if one is not type(None)]
            return union(self._constrained(own[0], info), None) if len(own) == 1 else annotation
        if get_origin(annotation) is list:
            return list[self._constrained(get_args(annotation)[0], info)]  # type: ignore[misc]  # known at run time only
        if info.choices:
            values = [one.value if isinstance(one, Enum) else one for one in info.choices]
            return literal(*values)
        limits = {
            name: getattr(info, name)
            for name in ("ge", "le", "min_length", "max_length")
            if getattr(info, name) is not None
        }
        metadata: list[object] = [Field(**limits)] if limits else []
        if info.regex is not None:
            metadata += [_matching(info.regex), Field(json_schema_extra={"pattern": info.regex})]
        return with_metadata(annotation, *metadata)

    def _taken(self, annotation: object) -> object:
        """What a request has in the place of a type of Cog's."""
        if self._is_opaque(annotation):
            return Any
        if annotation is self.secret:
            return with_metadata(
                annotation,
                PlainValidator(self._secret),
                WithJsonSchema({"type": "string", "format": "password", "writeOnly": True}),
            )
        return File if self._is_file(annotation) else KEEP

    def _secret(self, value: object) -> object:
        if isinstance(value, self.secret):
            return value
        if not isinstance(value, str):
            raise ValueError("a secret is a string")
        return cast("Any", self.secret)(value)

    def _shown(self, annotation: object) -> object:
        """What an answer has in the place of a type of Cog's."""
        if self._is_opaque(annotation):
            return Any
        if self._is_file(annotation):
            return IN_JSON
        if inspect.isclass(annotation) and issubclass(annotation, self.model):
            return self._model_of(annotation)
        return KEEP

    def _model_of(self, cls: type[Any]) -> type[BaseModel]:
        known = hints(cls, cls.__name__)
        fields: dict[str, Any] = {
            field.name: (replaced(known[field.name], self._shown), _default_of(field))
            for field in dataclasses.fields(cls)
        }
        model: type[BaseModel] = create_model(cls.__name__, __doc__=cls.__doc__, **fields)
        return model

    def _is_opaque(self, annotation: object) -> bool:
        """Whether it is JSON of which Cog shall know nothing."""
        return any(one is self.opaque for one in metadata_of(annotation))

    def _is_file(self, annotation: object) -> bool:
        return annotation is self.file or is_a(annotation, PurePath) or annotation is os.PathLike


def _default_of(field: dataclasses.Field[object]) -> object:
    if field.default_factory is not dataclasses.MISSING:
        return Field(default_factory=field.default_factory)
    return ... if field.default is dataclasses.MISSING else field.default


def _is_plain(annotation: object) -> bool:
    """Whether its values are JSON as they are."""
    return not mentions(annotation, lambda one: get_origin(one) is None and one not in _PLAIN)


_PLAIN: tuple[object, ...] = (str, int, float, bool, type(None))


def _as_file(value: object) -> File:
    path = Path(cast("os.PathLike[str]", value))
    # Now, for it may lie in the folder of the call.
    return File(path.read_bytes(), name=path.name)


def _as_json(value: object) -> object:
    """As Cog writes outputs: files as `data:` URLs, wherever they are."""
    if isinstance(value, os.PathLike):
        return file_url(Path(cast("os.PathLike[str]", value)))
    if isinstance(value, IOBase):
        return data_url(cast("IO[bytes]", value).read(), OCTETS)
    if isinstance(value, Enum):
        return cast("object", value.value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _as_json(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_as_json(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {key: _as_json(item) for key, item in entries.items()}
    # Arrays and numbers of numpy.
    listed: object = getattr(value, "tolist", None)
    return listed() if callable(listed) else value


def opened(value: object) -> object:
    """Handles in the place of paths."""
    return mapped(value, Path, lambda path: BytesIO(path.read_bytes()))


def _matching(pattern: str) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.match(value) is None:
            raise ValueError(f"it does not match {pattern!r}")
        return value

    return AfterValidator(check)
