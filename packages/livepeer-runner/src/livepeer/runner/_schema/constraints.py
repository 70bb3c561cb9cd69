"""Limits that would not be applied: at another type, or by a name that is none."""

from __future__ import annotations

from difflib import get_close_matches
from functools import partial
from typing import cast

from livepeer.runner._schema.json_schema import as_list, as_schema, nodes

_SAMPLES: dict[object, object] = {
    "bool": True,
    "bytes": b"",
    "dict": {},
    "float": 1.0,
    "int": 1,
    "list": [],
    "str": "",
}

# What the same is called elsewhere, and too short to be told by its letters.
_KEYWORDS_BY_OTHERS = {
    "desc": "description",
    "gte": "ge",
    "lte": "le",
    "max": "le",
    "max_len": "max_length",
    "max_value": "le",
    "min": "ge",
    "min_len": "min_length",
    "min_value": "ge",
}
_LONG_KEYWORDS = (
    "allow_inf_nan",
    "decimal_places",
    "default_factory",
    "description",
    "discriminator",
    "max_digits",
    "max_length",
    "min_length",
    "multiple_of",
    "pattern",
    "strict",
)
# Words of the documents, which may be meant as they are.
_DOCUMENTED = frozenset({*_LONG_KEYWORDS, "maxLength", "minLength", "multipleOf"})
_ALIKE = 0.85


def misplaced_constraint(core_schema: object) -> str | None:
    """Which limit fails with every value of a type that is taken, as `gt=3` at a text does.

    Pydantic finds that out with each request, where its validator of the limit raises TypeError.

    Args:
        core_schema: Of an annotation, as `TypeAdapter` has it.
    """
    for node in nodes(core_schema):
        function = as_schema(node.get("function")).get("function")
        if node.get("type") != "function-after" or not isinstance(function, partial):
            continue
        limit = cast("partial[object]", function)
        if not limit.func.__module__.startswith("pydantic."):
            continue
        for kind in _kinds(as_schema(node.get("schema"))):
            try:
                limit(_SAMPLES[kind])
            except TypeError:
                words = ", ".join(f"{name}={value!r}" for name, value in limit.keywords.items())
                return f"`{words}` cannot be applied to a value of type {kind}"
            except ValueError:
                continue  # it can, and this one is refused
    return None


def lost_keyword(core_schema: object) -> str | None:
    """Which keyword of `Field(...)` is none, though it is close to one; None where all are.

    Pydantic takes any, as a word for the documents alone, which only a warning tells. What is close
    to none of its own is left at that.

    Args:
        core_schema: Of an annotation, as `TypeAdapter` has it.
    """
    for node in nodes(core_schema):
        for word in as_schema(node.get("pydantic_js_extra")):
            near = None if word in _DOCUMENTED else _near(str(word))
            if near is not None:
                return (
                    f"`{word}` is no keyword of Field, which would pass over it; write `{near}=` in"
                    " its place"
                )
    return None


def _near(word: str) -> str | None:
    alike = get_close_matches(word.lower(), _LONG_KEYWORDS, 1, _ALIKE)
    return _KEYWORDS_BY_OTHERS.get(word.lower()) or next(iter(alike), None)


def _kinds(schema: dict[str, object]) -> list[str]:
    """The plain types that a schema takes, as far as that can be seen."""
    if schema.get("type") == "union":
        return [kind for one in as_list(schema.get("choices")) for kind in _kinds(as_schema(one))]
    kind = schema.get("type")
    return [kind] if isinstance(kind, str) and kind in _SAMPLES else []
