"""What generated models stand on. Importing it loads Pydantic (extra `typed`)."""

from __future__ import annotations

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class StubModel(BaseModel):
    """A model that `livepeer stub` wrote.

    A field without a default of its own is None until it is set, and is not sent then: the runner
    has its own default for it, and may not take null.
    """

    @model_serializer(mode="wrap")
    def _without_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, object]:
        written: dict[str, object] = write(self)
        for name, field in type(self).model_fields.items():
            if name not in self.model_fields_set and getattr(self, name) is None:
                written.pop(field.alias or name, None)
                written.pop(name, None)
        return written
