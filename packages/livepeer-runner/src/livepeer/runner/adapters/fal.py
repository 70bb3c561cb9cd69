"""A fal app as a pipeline."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, cast

from livepeer.runner import _context
from livepeer.runner.adapters._annotations import hints, is_a
from livepeer.runner.adapters._build import Adapted, Method, in_front, make_class, shape_of
from livepeer.runner.adapters._hooks import any_async, ask_any, run, run_any
from livepeer.runner.adapters._refusals import with_status
from livepeer.runner.adapters._require import require
from livepeer.runner.adapters._web import Web
from livepeer.runner.errors import PipelineDefinitionError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from livepeer.runner.batch import Pipeline


def adapt(app: type[object], *, method: str | None = None) -> type[Pipeline]:
    """Make a pipeline of a fal app.

    Files that the app makes (`Image.from_pil()`, `File.from_path()`) go out as `data:` URLs, in the
    place of fal's own storage; destinations that it names itself stay what they are. This holds for
    the whole process.

    Args:
        app: A class derived from `fal.App`.
        method: Which endpoint is `predict()`; by default the one at `/`, the one of that name, or
            the only one. The others are served at their own paths.

    Returns:
        A class for `serve()`.

    Raises:
        FrameworkMissing: `fal` is not installed.
        PipelineDefinitionError: It is no app, has no endpoint, or it has to be said which one.
    """
    fal = _Fal()
    if not is_a(app, fal.app):
        raise PipelineDefinitionError(
            f"{getattr(app, '__name__', type(app).__name__)} is no fal app: derive the class from"
            " fal.App"
        )
    marked = {
        name: cast("Any", function).route_signature
        for name, function in inspect.getmembers(app, inspect.isfunction)
        if hasattr(function, "route_signature")
    }
    called = {
        name: route
        for name, route in marked.items()
        if not route.is_websocket and route.health_check is None
    }
    methods = [fal.method(app, name, route.path) for name, route in called.items()]
    main = method or next((name for name, route in called.items() if route.path == "/"), None)
    checks = [name for name, route in marked.items() if route.health_check is not None]
    if getattr(app, "health", None) is not getattr(fal.app, "health", None):
        checks.append("health")
    hooks = [getattr(app, name) for name in ("setup", "teardown", *checks)]
    base = _AsyncApp if any_async(hooks) else _App
    ordered = in_front(methods, main, app.__name__)
    return make_class(
        base, app.__name__, app, ordered, checked=bool(checks), app=app, checks=checks
    )


class _App(Adapted):
    app: Any = None
    checks: tuple[str, ...] = ()

    def setup(self) -> Awaitable[None] | None:
        self._make()
        run([self.unit.setup])
        return None

    def teardown(self) -> Awaitable[None] | None:
        run([self.unit.teardown])
        return None

    def healthcheck(self) -> Awaitable[None] | None:
        run([getattr(self.unit, name) for name in self.checks])
        return None

    def _make(self) -> None:
        # As fal's own runner makes it.
        self.unit = self.app(_allow_init=True)
        self.unit._current_request_context = _Requests()
        vars(require("fal.ref"))["current_app"] = self.unit
        files = require("fal.toolkit.file.file")
        for name in ("fal", "fal_v3"):
            files.BUILT_IN_REPOSITORIES[name] = files.InMemoryRepository


class _AsyncApp(_App):
    async def setup(self) -> None:
        self._make()
        await ask_any(self.unit.setup)

    async def teardown(self) -> None:
        await ask_any(self.unit.teardown)

    async def healthcheck(self) -> None:
        await run_any([getattr(self.unit, name) for name in self.checks])


class _Requests:
    """What fal tells an app of its request, as far as there is one here."""

    def get(self) -> object:
        call = _context.CURRENT.get()
        return require("fal.app").RequestContext(
            request_id=None if call is None else call.request_id,
            endpoint=None,
            lifecycle_preference=None,
            headers={},
        )


class _Fal:
    """What fal puts into an endpoint."""

    def __init__(self) -> None:
        self.app: type[object] = require("fal").App
        errors = require("fal.exceptions")
        self._field: type[Exception] = errors.FieldException
        self._refusals: tuple[type[Exception], ...] = (
            errors.AppException,
            errors.FieldException,
            errors.RequestCancelledException,
        )
        self._web = Web()

    def method(self, app: type[object], name: str, path: str) -> Method:
        function: Callable[..., object] = getattr(app, name)
        known = hints(function, app.__name__)
        where = f"{app.__name__}.{name}()"
        every = list(inspect.signature(function).parameters.values())[1:]
        given_by_us: dict[str, Callable[[], object]] = {}
        parameters: list[inspect.Parameter] = []
        for one in every:
            annotation = known.get(one.name, Any)
            made = self._web.given(one, annotation, where)
            if made is None:
                parameters.append(one.replace(annotation=annotation, kind=one.KEYWORD_ONLY))
            else:
                given_by_us[one.name] = made

        def call(pipeline: Adapted, given: dict[str, object]) -> object:
            given.update({name: make() for name, make in given_by_us.items()})
            return getattr(pipeline.unit, name)(**given)

        return self._web.answered(
            Method(
                name=name,
                function=function,
                shape=shape_of(function),
                parameters=parameters,
                returns=known.get("return", Any),
                call=call,
                path=path,
                refusals=self._refusals,
                refused=self._refused,
            )
        )

    def _refused(self, error: Any) -> Exception:
        if isinstance(error, self._field):
            fault: Any = error
            return with_status(fault.status_code, fault.to_pydantic_format()["detail"])
        return with_status(getattr(error, "status_code", 499), error.message)
