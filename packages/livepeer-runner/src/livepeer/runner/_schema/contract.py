"""What one method takes and gives: one validator in, one serializer out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from livepeer.runner._schema.faults import (
    Fault,
    MalformedBody,
    explained,
    faults_of,
    in_words,
    is_no_json,
    upload_told,
)
from livepeer.runner._schema.forms import values_of
from livepeer.runner.errors import InvalidParams, InvalidResult
from livepeer.runner.files import File

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Literal

    from pydantic.fields import FieldInfo

    from livepeer.runner._schema.forms import FormField
    from livepeer.runner._schema.multipart import Part

__all__ = ["JSON", "Contract", "MalformedBody"]

JSON = "application/json"
EVENTS = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one method of a pipeline, read once when the application is made."""

    owner: str
    """Name of the class, for messages and documents."""
    method: str
    """Name of the method."""
    path: str
    """Path of its route, which is a POST."""
    summary: str
    """What the method does, from its docstring."""
    body: type[BaseModel]
    """Model of the request body."""
    extra: Literal["forbid"] | None
    """`forbid`: fields that no model knows are refused, wherever they stand."""
    whole: str | None
    """The parameter that receives the body as it is; None when it is unpacked."""
    default: FieldInfo | None
    """Has what `whole` is when there is no body at all; None where that is refused."""
    fields: Mapping[str, str]
    """Parameter to field of `body`; they differ where a parameter has a name of BaseModel's."""
    form: Mapping[str, FormField]
    """How `multipart/form-data` fills the fields of the body."""
    taken: frozenset[str]
    """What `**kwargs` cannot bring: names that the call itself uses, such as `self`."""
    annotated: bool
    """Whether any parameter says what it takes; so it is where there is none."""
    result: object
    """What the method returns, or each item for a stream, as an annotation."""
    result_adapter: TypeAdapter[object]
    """The serializer of `result`."""
    raw: str | None
    """Content type of an answer that is the bytes of a file; None where it is JSON."""
    nothing: bool
    """Whether None may stand for those bytes, and is none of them."""
    streams: bool
    """Whether the answer is a stream of items."""
    blocking: bool
    """Whether the method must be called on a worker thread."""

    @property
    def where(self) -> str:
        """The method as messages name it."""
        return f"{self.owner}.{self.method}()"

    @property
    def media_type(self) -> str:
        """Content type of the answers; a `File` may say another one, see `media_type_of()`."""
        return EVENTS if self.streams else self.raw or JSON

    def media_type_of(self, value: object) -> str:
        """Content type of one answer."""
        if self.raw is not None and isinstance(value, File):
            return value.declared or self.raw
        return self.media_type

    def parse(self, body: bytes, content_type: str = "") -> dict[str, object]:
        """Turn a request body into the arguments of the method; no body reads as `{}`.

        Whatever the content type says, a body is JSON, unless that is `multipart/form-data`.
        Validators of the author's run here, and it takes long where the body is large.

        Raises:
            MalformedBody: Neither JSON nor a form; or, without annotations, an unknown argument.
            InvalidParams: A field is missing, unknown or not valid.
            BaseException: What a validator of the author's raised that is no `ValueError`.
        """
        try:
            if _may_be_form(content_type):
                # What most pipelines never need.
                from livepeer.runner._schema.multipart import is_form, read_form

                if is_form(content_type):
                    return self._arguments_of_form(read_form(body, content_type))
            if self.default is not None and self.whole is not None and not body:
                return {self.whole: self.default.get_default(call_default_factory=True)}
            model = self.body.model_validate_json(body or b"{}", extra=self.extra)
            return self._arguments(model)
        except ValidationError as exc:
            faults = faults_of(exc)
        # Not while the other is handled, which holds what was read, files on disk among it.
        raise self._refusal(faults, content_type, body)

    def _arguments_of_form(self, parts: list[Part]) -> dict[str, object]:
        values = values_of(parts, self.form)
        return self._arguments(self.body.model_validate(values, extra=self.extra))

    def dump(self, value: object) -> bytes:
        """Serialize a result: to compact JSON, or to its bytes where the answer is a file's.

        Raises:
            InvalidResult: It is not what the annotation says, or not JSON.
        """
        if self.raw is not None:
            return b"" if value is None and self.nothing else self._bytes_of(value)
        adapter = self.result_adapter
        try:
            return adapter.dump_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError as fault:
            # A dict where a model is declared is welcome too; only then is a result validated.
            try:
                checked = adapter.validate_python(value)
                return adapter.dump_json(checked, by_alias=True, warnings="error")
            except ValidationError as exc:
                raise self._misfit(value, in_words(exc)) from fault
            except PydanticSerializationError as exc:
                raise self._misfit(value, str(exc)) from exc

    def _bytes_of(self, value: object) -> bytes:
        if isinstance(value, File):
            return value.read()
        if isinstance(value, (bytes, bytearray, memoryview)):
            return bytes(cast("bytes | bytearray | memoryview", value))
        raise self._misfit(value, "give bytes or a livepeer.runner.files.File")

    def _misfit(self, value: object, reason: str) -> InvalidResult:
        return InvalidResult(
            f"{self.where} gave a {type(value).__name__}, which does not fit its return annotation"
            f" or JSON: {reason}"
        )

    def _arguments(self, model: BaseModel) -> dict[str, object]:
        if self.whole is not None:
            return {self.whole: model}
        # Not by attribute, which warns of a deprecated one.
        values = model.__dict__
        arguments = {parameter: values[field] for parameter, field in self.fields.items()}
        if model.model_extra:
            self._check_names(model.model_extra)
            arguments.update(model.model_extra)
        return arguments

    def _check_names(self, extra: Mapping[str, object]) -> None:
        faults: list[Fault] = [
            {"type": "extra_forbidden", "loc": ["body", name], "msg": "This name is not permitted"}
            for name in sorted(self.taken & extra.keys())
        ]
        if faults:
            raise self._refusal(faults)

    def _refusal(
        self, faults: list[Fault], content_type: str = "", body: bytes = b""
    ) -> InvalidParams:
        # Of the whole body: a field may take JSON in a text, which is not valid.
        malformed = is_no_json(faults)
        if malformed:
            faults = [explained(faults[0], content_type, body)]
        elif not self.annotated:
            malformed = any(fault["type"] == "extra_forbidden" for fault in faults)
        if _may_be_form(content_type):
            faults = [upload_told(fault) for fault in faults]
        kind = MalformedBody if malformed else InvalidParams
        return kind(f"the request does not fit {self.where}", faults)


def _may_be_form(content_type: str) -> bool:
    return content_type[:10].lower() == "multipart/"
