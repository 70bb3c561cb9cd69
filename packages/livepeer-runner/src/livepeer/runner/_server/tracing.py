"""OpenTelemetry spans of requests that do work; loaded only when they are asked for.

FastAPI makes the spans (its `telemetry`), with the parent that the caller's `traceparent` names.
They are current while the author's code runs, whose own spans become their children. Where the
program has set up a tracer provider of its own, that one gets them. Else one is made here, which
sends them by OTLP over HTTP as the variables `OTEL_…` say.
"""

from __future__ import annotations

import importlib.util
import logging
import threading
from typing import TYPE_CHECKING, Any

from opentelemetry import trace

from livepeer.runner.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Collection

    from fastapi.telemetry import TelemetryConfig

_log = logging.getLogger(__name__)


class Tracing:
    """The spans of one application.

    Args:
        name: Of the service, where `OTEL_SERVICE_NAME` has none.
        version: Of the service.
        untraced: Paths whose requests make no span.

    Raises:
        SettingsError: What it needs is not installed.
    """

    def __init__(self, name: str, version: str, untraced: Collection[str]) -> None:
        if importlib.util.find_spec("fastapi.telemetry") is None:
            raise SettingsError("LIVEPEER_TRACING needs FastAPI 0.165 or newer")
        self._untraced = frozenset(untraced)
        self._own: Any = None
        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            self._own = _provider(name, version)
            trace.set_tracer_provider(self._own)

    @property
    def config(self) -> TelemetryConfig:
        """What FastAPI takes as `telemetry`.

        No logs: they would have what a caller sent.
        """
        return {
            "tracing": True,
            "tracer_provider": trace.get_tracer_provider(),
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": lambda scope: scope["path"] in self._untraced,
        }

    @staticmethod
    def mark(request_id: str) -> None:
        """Give the span of the request that is answered the request's name."""
        trace.get_current_span().set_attribute("livepeer.request_id", request_id)

    def close(self, timeout_s: float) -> None:
        """Send what has not been sent, if that takes no longer; blocks so long."""
        if self._own is None:
            return
        # A collector that does not answer must not keep the process.
        end = threading.Thread(target=self._own.shutdown, name="tracing-end", daemon=True)
        end.start()
        end.join(timeout_s)
        if end.is_alive():
            _log.warning("the last spans were not sent within %g s", timeout_s)


def _provider(name: str, version: str) -> Any:
    try:
        exporter = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        resources = importlib.import_module("opentelemetry.sdk.resources")
        sdk = importlib.import_module("opentelemetry.sdk.trace")
        export = importlib.import_module("opentelemetry.sdk.trace.export")
    except ImportError as exc:
        raise SettingsError(
            f"LIVEPEER_TRACING needs livepeer-runner[otel] ({exc.name} is not installed)"
        ) from exc
    ours = resources.Resource({"service.name": name, "service.version": version})
    resource = resources.Resource.create().merge(ours)
    # What the operator names wins.
    resource = resource.merge(resources.OTELResourceDetector().detect())
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(export.BatchSpanProcessor(exporter.OTLPSpanExporter()))
    return provider
