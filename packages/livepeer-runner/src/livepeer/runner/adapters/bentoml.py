"""A BentoML service as a pipeline."""

from __future__ import annotations

import asyncio
import inspect
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from livepeer.runner.adapters._annotations import hints, mentions
from livepeer.runner.adapters._bento_types import BentoTypes, is_picture, opened
from livepeer.runner.adapters._build import Adapted, Method, Shape, in_front, make_class, shape_of
from livepeer.runner.adapters._files import mapped, saved
from livepeer.runner.adapters._hooks import any_async, ask_any, run, run_any
from livepeer.runner.adapters._refusals import with_status
from livepeer.runner.adapters._require import require
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator
    from contextlib import AbstractContextManager

    from livepeer.runner.adapters._hooks import Hook
    from livepeer.runner.batch import Pipeline


_log = logging.getLogger(__name__)

Answer: TypeAlias = "Callable[[object], object]"


def adapt(service: object, *, method: str | None = None) -> type[Pipeline]:
    """Make a pipeline of a BentoML service.

    Args:
        service: What `@bentoml.service` made of a class.
        method: Which of its APIs is `predict()`; by default the one of that name, or the only one.
            The others are served at their own routes.

    Returns:
        A class for `serve()`. `setup()` makes the instance and runs its startup hooks, those of its
        dependencies first.

    Raises:
        FrameworkMissing: `bentoml` is not installed.
        PipelineDefinitionError: It is no service, has no API, or it has to be said which one.
    """
    if not isinstance(service, require("bentoml").Service):
        raise PipelineDefinitionError(f"{service!r} is no service: decorate it @bentoml.service")
    unit: Any = service
    owner: str = unit.inner.__name__
    if unit.mount_apps:
        _log.warning("%s: the applications that are mounted on it are left out", owner)
    types = BentoTypes()
    methods = [_method(types, unit, name, owner) for name in unit.apis]
    hooks = [*_marked(unit.inner, "startup"), *_marked(unit.inner, "shutdown")]
    base = _AsyncService if any_async(hooks) else _Service
    ordered = in_front(methods, method, owner)
    checked = any(hasattr(unit.inner, name) for name in _CHECKS)
    return make_class(base, owner, unit.inner, ordered, checked=checked, service=unit)


class _Service(Adapted):
    service: Any = None

    def setup(self) -> Awaitable[None] | None:
        self._make()
        run(self._hooks("startup"))
        return None

    def teardown(self) -> Awaitable[None] | None:
        run(self._hooks("shutdown")[::-1])
        return None

    def healthcheck(self) -> Awaitable[str | None] | str | None:
        return next((_unwell(name) for name, ask in self._checks() if not ask()), None)

    def _make(self) -> None:
        run(_marked(self.service.inner, "deployment"))
        self.unit = self.service()
        require("_bentoml_sdk.service").set_current_service(self.unit)

    def _hooks(self, kind: str) -> list[Hook]:
        return [
            partial(hook, instance)
            for instance, service in _instances(self.unit, self.service)
            for hook in _marked(service.inner, kind)
        ]

    def _checks(self) -> list[tuple[str, Hook]]:
        return [(name, getattr(self.unit, name)) for name in _CHECKS if hasattr(self.unit, name)]


class _AsyncService(_Service):
    async def setup(self) -> None:
        await asyncio.to_thread(self._make)
        await run_any(self._hooks("startup"))

    async def teardown(self) -> None:
        await run_any(self._hooks("shutdown")[::-1])

    async def healthcheck(self) -> str | None:
        for name, ask in self._checks():
            if not await ask_any(ask):
                return _unwell(name)
        return None


_CHECKS = ("__is_alive__", "__is_ready__")


def _unwell(name: str) -> str:
    return f"{name}() says no"


def _marked(cls: type[object], kind: str) -> list[Callable[..., object]]:
    names = [name for name in dir(cls) if not name.startswith("__")]
    found = [getattr(cls, name) for name in names]
    return [hook for hook in found if getattr(hook, f"__bentoml_{kind}_hook__", False) is True]


def _instances(unit: Any, service: Any) -> Generator[tuple[Any, Any], None, None]:
    """An instance and its service, after those of the services that it depends on."""
    for name, dependency in service.dependencies.items():
        if dependency.on is not None and not (dependency.url or dependency.deployment):
            yield from _instances(getattr(unit, name), dependency.on)
    yield unit, service


def _method(types: BentoTypes, service: Any, name: str, owner: str) -> Method:
    api = service.apis[name]
    known = hints(api.func, owner)
    shape = shape_of(api.func)
    own = list(inspect.signature(api.func).parameters.values())[1:]
    pictures = {one.name for one in own if mentions(known.get(one.name, Any), is_picture)}
    alone = [one.name for one in own if one.kind is one.POSITIONAL_ONLY]
    shown, answer = types.result(known.get("return", Any))

    def call(pipeline: Adapted, given: dict[str, object]) -> object:
        for picture in pictures & given.keys():
            given[picture] = mapped(given[picture], Path, opened)
        if api.ctx_param is not None:
            given[api.ctx_param] = service.context
        positional = [given.pop(one) for one in alone if one in given]
        called = partial(getattr(pipeline.unit, name).local, *positional, **given)
        return _in_request(service, called, answer, shape)

    return Method(
        name=name,
        function=api.func,
        shape=shape,
        parameters=types.parameters(api, known, f"{owner}.{name}()"),
        returns=shown,
        call=call,
        receive=saved,
        answer=answer if shape in (Shape.ITEMS, Shape.ASYNC_ITEMS) else None,
        path=api.route,
        refusals=(require("bentoml.exceptions").BentoMLException,),
        refused=_refused,
    )


def _in_request(service: Any, called: Callable[[], object], answer: Answer, shape: Shape) -> object:
    """Call a method as one request; its result is written before the request's folder goes."""
    if shape is Shape.COROUTINE:
        return _in_request_later(service, cast("Callable[[], Awaitable[object]]", called), answer)
    if shape is Shape.VALUE:
        with _request(service):
            return answer(called())
    # The items of a stream may each come in another context.
    return called()


async def _in_request_later(
    service: Any, called: Callable[[], Awaitable[object]], answer: Answer
) -> object:
    with _request(service):
        return await asyncio.to_thread(answer, await called())


def _request(service: Any) -> AbstractContextManager[object]:
    scope: dict[str, object] = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [],
    }
    request = require("starlette.requests").Request(scope)
    entered: AbstractContextManager[object] = service.context.in_request(request)
    return entered


def _refused(error: Any) -> Exception:
    status: int = error.error_code.value
    # What is not for callers to know is for the log.
    return with_status(status, str(error)) if status < 500 or status == 503 else error
