"""The types of BentoML, as a schema has them."""

from __future__ import annotations

import inspect
from fnmatch import fnmatch
from functools import partial
from io import BytesIO
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, cast

from pydantic import AfterValidator, BaseModel, Field, WithJsonSchema

from livepeer.runner._schema.annotations import bare, metadata_of
from livepeer.runner.adapters._annotations import KEEP, is_a, mentions, replaced, with_metadata
from livepeer.runner.adapters._files import BINARY, IN_JSON, data_url, file_url
from livepeer.runner.adapters._require import require
from livepeer.runner.errors import PipelineDefinitionError
from livepeer.runner.files import OCTETS, ContentType, File, is_media_type

if TYPE_CHECKING:
    from collections.abc import Callable


class BentoTypes:
    """What BentoML's types mean to a schema."""

    def __init__(self) -> None:
        bentoml = require("bentoml")
        self._content_type: type[object] = bentoml.validators.ContentType
        self._patch: Callable[..., tuple[object, list[object]]] = require(
            "_bentoml_sdk._pydantic"
        ).patch_annotation
        validators = require("_bentoml_sdk.validators")
        self._tensor: type[object] = validators.TensorSchema
        self._table: type[object] = validators.DataframeSchema

    def parameters(self, api: Any, known: dict[str, object], where: str) -> list[inspect.Parameter]:
        """What a caller gives: the method's own parameters, or the fields of its `input_spec`.

        Raises:
            PipelineDefinitionError: A model has files in it.
        """
        own = list(inspect.signature(api.func).parameters.values())[1:]
        fields = api.input_spec.model_fields
        if any(one.kind is one.VAR_KEYWORD for one in own) and "kwargs" not in fields:
            return self._fields(api.input_spec)
        return [
            self._parameter(one, known.get(one.name, Any), where)
            for one in own
            if one.name != api.ctx_param
        ]

    def result(self, returns: object) -> tuple[object, Callable[[object], object]]:
        """The annotation of a result, and what makes of a value what is answered."""
        if not is_file(bare(returns)):
            return replaced(returns, self._shown), _as_json
        said = self._type_of(returns)
        shown = File if said is None else with_metadata(File, ContentType(said))
        return shown, partial(_as_file, said)

    def _fields(self, spec: Any) -> list[inspect.Parameter]:
        """The parameters of `input_spec=`, which a method takes as keywords."""
        return [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=with_metadata(
                    replaced(info.annotation, self._taken),
                    *info.metadata,
                    Field(description=info.description),
                ),
                default=inspect.Parameter.empty
                if info.is_required()
                else info.get_default(call_default_factory=True),
            )
            for name, info in spec.model_fields.items()
        ]

    def _parameter(
        self, parameter: inspect.Parameter, annotation: object, where: str
    ) -> inspect.Parameter:
        if mentions(annotation, _is_model_with_files):
            raise PipelineDefinitionError(
                f"{where}: parameter `{parameter.name}` has a model with files in it, which is not"
                " carried over: give the method a parameter for each file"
            )
        kind = parameter.kind
        return parameter.replace(
            kind=kind if kind is parameter.VAR_KEYWORD else parameter.KEYWORD_ONLY,
            annotation=replaced(annotation, self._taken),
        )

    def _taken(self, annotation: object) -> object:
        """What a request has in the place of a type of BentoML's."""
        if is_file(bare(annotation)):
            kept = [
                AfterValidator(partial(_check_type, cast("Any", one).content_type))
                if isinstance(one, self._content_type)
                else one
                for one in metadata_of(annotation)
            ]
            return with_metadata(File, *kept)
        return BINARY if annotation is bytes else self._array(annotation)

    def _shown(self, annotation: object) -> object:
        """What an answer has in the place of a type of BentoML's."""
        if is_file(bare(annotation)):
            return IN_JSON
        return BINARY if annotation is bytes else self._array(annotation)

    def _array(self, annotation: object) -> object:
        """An array or a table, which BentoML reads and writes, with a schema that JSON knows."""
        if getattr(bare(annotation), "__module__", "").partition(".")[0] not in _ARRAYS:
            return KEEP
        source, metadata = self._patch(annotation, {})
        for one in metadata:
            if isinstance(one, self._tensor):
                return with_metadata(
                    source, *metadata, WithJsonSchema(_nested(cast("Any", one).shape))
                )
            if isinstance(one, self._table):
                return with_metadata(
                    source, *metadata, WithJsonSchema(_rows(cast("Any", one).orient))
                )
        return KEEP

    def _type_of(self, annotation: object) -> str | None:
        said: list[str] = [
            cast("Any", one).content_type
            for one in metadata_of(annotation)
            if isinstance(one, self._content_type)
        ]
        return said[0] if said and "*" not in said[0] and is_media_type(said[0]) else None


_ARRAYS = ("numpy", "torch", "tensorflow", "pandas")


def is_file(annotation: object) -> bool:
    """Whether BentoML takes and gives a file for it."""
    return is_a(annotation, PurePath) or is_picture(annotation)


def is_picture(annotation: object) -> bool:
    """Whether it is Pillow's picture."""
    return (
        inspect.isclass(annotation)
        and annotation.__module__.startswith("PIL.")
        and annotation.__name__ == "Image"
    )


def _is_model_with_files(annotation: object) -> bool:
    seen: set[object] = set()

    def test(one: object) -> bool:
        if not is_a(one, BaseModel) or one in seen:
            return False
        seen.add(one)
        fields = cast("type[BaseModel]", one).model_fields.values()
        return any(
            mentions(field.annotation, is_file) or mentions(field.annotation, test)
            for field in fields
        )

    return test(annotation)


def _nested(shape: tuple[int, ...] | None) -> dict[str, Any]:
    if not shape:
        return {"type": "array", "items": {}}
    return {"type": "array", "items": _nested(shape[1:]) if shape[1:] else {"type": "number"}}


def _rows(orient: str) -> dict[str, Any]:
    if orient == "columns":
        return {"type": "object", "additionalProperties": {"type": "array"}}
    return {"type": "array", "items": {"type": "object"}}


def _check_type(pattern: str, file: File) -> File:
    if file.declared is not None and not fnmatch(file.declared, pattern):
        raise ValueError(f"it is {file.declared}, and should be {pattern}")
    return file


def opened(path: Path) -> object:
    """A picture in the place of a path."""
    return require("PIL.Image").open(path)


def _as_file(content_type: str | None, value: object) -> File:
    content, said, name = _content(value)
    return File(content, name=name, content_type=content_type or said)


def _as_json(value: object) -> object:
    if isinstance(value, PurePath):
        return file_url(Path(value))
    if _is_picture_now(value):
        content, said, _ = _content(value)
        return data_url(content, said or OCTETS)
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        entries = cast("dict[object, object]", value)
        return {key: _as_json(item) for key, item in entries.items()}
    return value


def _is_picture_now(value: object) -> bool:
    return any(map(is_picture, type(value).__mro__))


def _content(value: object) -> tuple[bytes, str | None, str | None]:
    """The bytes of a file, and what is known of their type and name."""
    if isinstance(value, PurePath):
        # Now, for it may lie in the folder of the call.
        return Path(value).read_bytes(), None, value.name
    picture = cast("Any", value)
    kind: str = picture.format or "PNG"
    buffer = BytesIO()
    picture.save(buffer, format=kind)
    return buffer.getvalue(), f"image/{kind.lower()}", None
