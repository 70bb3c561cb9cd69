"""What one `predict()` takes and gives: one validator in, one serializer out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from livepeer.runner.errors import InvalidParams, InvalidResult

if TYPE_CHECKING:
    from collections.abc import Mapping


class MalformedBody(InvalidParams):
    """The request is not JSON, or names what an unannotated `predict()` cannot take."""


@dataclass(frozen=True, slots=True)
class Contract:
    """The contract of one pipeline class, read once when the application is made."""

    owner: str
    """Name of the class, for messages and documents."""
    summary: str
    """What `predict()` does, from its docstring."""
    body: type[BaseModel]
    """Model of the request body."""
    whole: str | None
    """The parameter that receives the body as it is; None when it is unpacked."""
    fields: Mapping[str, str]
    """Parameter to field of `body`; they differ where a parameter has a name of BaseModel's."""
    annotated: bool
    """Whether any parameter says what it takes."""
    result: object
    """What `predict()` returns, or each item for a stream, as an annotation."""
    result_adapter: TypeAdapter[object]
    """The serializer of `result`."""
    streams: bool
    """Whether the answer is a stream of items."""
    blocking: bool
    """Whether `predict()` must be called on a worker thread."""

    def parse(self, body: bytes) -> dict[str, object]:
        """Turn a request body into the arguments of `predict()`; no body reads as `{}`.

        Raises:
            MalformedBody: Not JSON; or, without annotations, an unknown argument.
            InvalidParams: A field is missing, unknown or not valid.
        """
        try:
            model = self.body.model_validate_json(body or b"{}")
        except ValidationError as exc:
            raise self._refusal(exc) from None
        if self.whole is not None:
            return {self.whole: model}
        arguments: dict[str, object] = {
            parameter: getattr(model, field) for parameter, field in self.fields.items()
        }
        arguments.update(model.model_extra or {})
        return arguments

    def dump(self, value: object) -> bytes:
        """Serialize a result to compact JSON.

        Raises:
            InvalidResult: It is not what the annotation says, or not JSON.
        """
        adapter = self.result_adapter
        try:
            return adapter.dump_json(value, by_alias=True, warnings="error")
        except PydanticSerializationError:
            # A dict where a model is declared is welcome too; only then is a result validated.
            try:
                checked = adapter.validate_python(value)
                return adapter.dump_json(checked, by_alias=True, warnings="error")
            except (PydanticSerializationError, ValidationError) as exc:
                raise InvalidResult(
                    f"{self.owner}.predict() gave a {type(value).__name__}, which does not fit its"
                    f" return annotation or JSON: {exc}"
                ) from exc

    def _refusal(self, exc: ValidationError) -> InvalidParams:
        # Without `input`: the body may be megabytes of picture, or hold a secret.
        errors: list[dict[str, object]] = json.loads(
            exc.json(include_url=False, include_input=False)
        )
        kinds = set[object]()
        for error in errors:
            loc = error["loc"]
            error["loc"] = ["body", *(loc if isinstance(loc, list) else ())]
            kinds.add(error["type"])
        malformed = "json_invalid" in kinds or (not self.annotated and "extra_forbidden" in kinds)
        kind = MalformedBody if malformed else InvalidParams
        return kind(f"the request does not fit {self.owner}.predict()", errors)
