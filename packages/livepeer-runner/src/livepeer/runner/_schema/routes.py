"""Where the methods that `@endpoint` marks are found: their paths, and what may not be one."""

from __future__ import annotations

import inspect
import re

from livepeer.runner._schema.site import Site
from livepeer.runner.endpoints import mark_of
from livepeer.runner.spec import kebab

RESERVED = frozenset(
    {
        "/predict",
        "/health",
        "/ready",
        "/schema",
        "/metrics",
        "/version",
        "/hardware",
        "/docs",
        "/redoc",
        "/openapi.json",
        "/stream",
    }
)
"""Paths of the runner's own; nothing of an author's may be there, or below."""

_HOOKS = frozenset({"predict", "setup", "teardown", "healthcheck", "prepare_models"})
_PATH = re.compile(r"(/[\w.~-]+)+", re.ASCII)


def is_reserved(path: str) -> bool:
    """Whether a path is the runner's own, or below one that is."""
    return f"/{path.split('/')[1]}" in RESERVED if path.startswith("/") else False


def endpoints_of(cls: type[object]) -> dict[str, str]:
    """Method to path of what `@endpoint` marks, the classes above first, in the order of writing.

    What a class overrides is marked as it says, and no longer as the class above says.

    Raises:
        PipelineDefinitionError: A path is no path, is the runner's own, or two methods have one.
    """
    found: dict[str, str] = {}
    for name in [name for above in reversed(cls.__mro__) for name in vars(above)]:
        # As it stands in the class: nothing of the author's is asked for its value.
        mark = mark_of(inspect.getattr_static(cls, name, None))
        if mark is None or name in found:
            continue
        path = f"/{kebab(name)}" if mark.path is None else mark.path
        site = Site(cls, name, getattr(cls, name))
        _check(site, name, path, found)
        found[name] = path
    return found


def _check(site: Site, name: str, path: str, found: dict[str, str]) -> None:
    if name in _HOOKS:
        raise site.refuse("it is a hook of its own, which is not marked; take @endpoint away")
    if not _PATH.fullmatch(path):
        raise site.refuse(
            f"its path {path!r} is no path: write it as in '/translate', of letters, digits, '.',"
            " '_', '~' and '-' between slashes"
        )
    if is_reserved(path):
        raise site.refuse(
            f"its path {path} is the runner's own; name the method otherwise, or give"
            " @endpoint(path=...)"
        )
    other = next((method for method, taken in found.items() if taken == path), None)
    if other is not None:
        raise site.refuse(
            f"its path {path} is {other}()'s as well; rename one of the two, or give"
            " @endpoint(path=...)"
        )
