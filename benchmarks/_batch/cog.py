"""What cog's HTTP server is told of a work, and which works it cannot do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from . import work as works

if TYPE_CHECKING:
    from pathlib import Path

_FIELDS: dict[str, dict[str, str]] = {
    works.SYNC: {"text": "string", "times": "integer"},
    works.ASYNC: {"text": "string", "times": "integer"},
    works.IMAGE: {"data": "string"},
    works.BASE64: {"data": "string"},
    works.NAP: {"seconds": "number"},
}
CLASSES = {
    works.SYNC: "Sync",
    works.ASYNC: "Async",
    works.IMAGE: "Image",
    works.BASE64: "Base64",
    works.ITEMS: "Items",
    works.AITEMS: "AItems",
    works.PACED: "Paced",
    works.APACED: "APaced",
    works.NAP: "Rest",
}
_SYNC = (works.SYNC, works.IMAGE, works.BASE64, works.ITEMS, works.PACED)


def unable(work: str, concurrency: int) -> str | None:
    """Why it cannot do a work; None when it can."""
    if work not in CLASSES:
        return "takes files as data URLs in JSON alone"
    if work in _SYNC and concurrency > 1:
        return "runs one call of a sync predictor at a time, and refuses others"
    return None


def write_schema(folder: Path, work: str) -> None:
    """What `cog build` would write: without it nothing is checked, and nothing streamed."""
    fields = _FIELDS.get(work, {"count": "integer"})
    properties = {name: {"title": name, "type": kind} for name, kind in fields.items()}
    operation = {"x-cog-streaming": True} if work in works.STREAMS else {}
    schema = {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.23.1"},
        "paths": {"/predictions": {"post": operation}},
        "components": {
            "schemas": {
                "Input": {
                    "title": "Input",
                    "type": "object",
                    "required": [next(iter(fields))],
                    "properties": properties,
                }
            }
        },
    }
    (folder / ".cog").mkdir(parents=True, exist_ok=True)
    (folder / ".cog" / "openapi_schema.json").write_text(json.dumps(schema))
