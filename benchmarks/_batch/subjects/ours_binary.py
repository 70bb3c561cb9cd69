"""The work of ours that takes a file and answers bytes."""

from __future__ import annotations

from typing import Annotated

from livepeer.runner import Pipeline
from livepeer.runner.files import ContentType, File


class Binary(Pipeline):
    def predict(self, data: File) -> Annotated[bytes, ContentType("application/octet-stream")]:
        return data.read()
