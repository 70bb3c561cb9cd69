"""What there is to measure, as text for Prometheus."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, get_args

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily as Counter,
    GaugeMetricFamily as Gauge,
    HistogramMetricFamily,
)
from prometheus_client.registry import Collector

from livepeer.runner._batch_metrics import SECONDS, BatchMetrics
from livepeer.runner._metrics import BOUNDS_S, STEPS, DropReason, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from prometheus_client import Metric

    from livepeer.runner._batch_metrics import Load, Served
    from livepeer.runner._metrics import LiveMetrics, Reading

_DIRECTIONS = ("in", "out")


class Exposition:
    """The process, and what its live sessions or its requests counted.

    The text is made when it is asked for; frames and requests cost nothing here.

    Args:
        source: Where live sessions, or the requests of a batch pipeline, are counted.
        load: What the runner does at the moment.
    """

    def __init__(self, source: LiveMetrics | BatchMetrics, load: Callable[[], Load]) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        if isinstance(source, BatchMetrics):
            self._registry.register(_BatchCollector(source, load))
        else:
            self._registry.register(_LiveCollector(source))

    def text(self, accept: str) -> tuple[bytes, str]:
        """The body and its type: OpenMetrics for a client that accepts that, else Prometheus's own.

        Args:
            accept: What the client accepts, as its header says it.
        """
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _LiveCollector(Collector):
    """A reading of the sessions as metrics. No label has a value that the network chooses."""

    def __init__(self, source: LiveMetrics) -> None:
        self._source = source

    def collect(self) -> Generator[Metric, None, None]:
        reading = self._source.read()
        yield from _sessions(reading)
        yield from _media(reading)
        yield from _times(reading.totals.durations)


class _BatchCollector(Collector):
    """A reading of the requests. The routes are those of the application, never a caller's path."""

    def __init__(self, source: BatchMetrics, load: Callable[[], Load]) -> None:
        self._source = source
        self._load = load

    def collect(self) -> Generator[Metric, None, None]:
        load = self._load()
        yield Gauge("livepeer_requests_running", "Calls that run", load.running)
        yield Gauge("livepeer_requests_waiting", "Calls that wait for a slot", load.waiting)
        yield Gauge("livepeer_requests_limit", "Calls that may run at a time", load.slots)
        yield from _requests(self._source.read())


def _requests(served: Served) -> Generator[Metric, None, None]:
    requests = Counter("livepeer_requests", "Requests answered", labels=("route", "status"))
    for (route, status), count in served.requests.items():
        requests.add_metric((route, str(status)), count)
    yield requests
    seconds = HistogramMetricFamily(
        "livepeer_request_seconds",
        "Time of a request, from its first byte to the last of its answer",
        labels=("route",),
    )
    for route, counts in served.counts.items():
        _add_counts(seconds, (route,), SECONDS, counts, served.sums_s[route])
    yield seconds
    yield Counter(
        "livepeer_out_of_memory",
        "Calls that a GPU's memory did not suffice for",
        served.out_of_memory,
    )


def _sessions(reading: Reading) -> Generator[Metric, None, None]:
    yield Gauge("livepeer_sessions", "Streams that run", reading.sessions)
    yield Gauge("livepeer_sessions_limit", "Streams that may run at a time", reading.capacity)
    yield Counter("livepeer_sessions_started", "Streams that began", reading.started)
    yield Counter("livepeer_sessions_ended", "Streams that ended", reading.ended)
    yield _counted(
        "livepeer_sessions_refused", "Streams that were not begun", "reason", reading.refused
    )
    yield Counter(
        "livepeer_model_restarts", "How often the model's process was begun again", reading.restarts
    )


def _media(reading: Reading) -> Generator[Metric, None, None]:
    counts = reading.totals.counts
    dropped = {reason: reading.totals.dropped[reason] for reason in get_args(DropReason)}
    frames = Counter(
        "livepeer_frames",
        "Frames decoded or copied (in), and sent on (out)",
        labels=("kind", "direction"),
    )
    for kind in ("video", "audio"):
        for direction in _DIRECTIONS:
            frames.add_metric((kind, direction), counts[f"{kind}_{direction}"])
    yield frames
    yield _counted("livepeer_frames_dropped", "Frames given up", "reason", dropped)
    yield _counted(
        "livepeer_segments",
        "Segments read (in), and published (out)",
        "direction",
        {direction: counts[f"segments_{direction}"] for direction in _DIRECTIONS},
    )
    yield _counted(
        "livepeer_segments_lost",
        "Segments missed at the source (in), or that did not reach the server whole (out)",
        "direction",
        {"in": counts["gaps"], "out": counts["segments_lost"]},
    )
    yield Counter(
        "livepeer_hook_errors", "Frames lost because a hook raised", counts["hook_errors"]
    )
    yield Counter(
        "livepeer_messages_dropped",
        "Events and lines of data that were lost",
        counts["messages_dropped"],
    )
    depths = Gauge("livepeer_queue_depth", "Items that wait, in all streams", labels=("queue",))
    for queue, depth in reading.depths.items():
        depths.add_metric((queue,), depth)
    yield depths


def _times(durations: Mapping[str, Histogram]) -> Generator[Metric, None, None]:
    stages = HistogramMetricFamily(
        "livepeer_stage_seconds", "Time of one frame in a stage", labels=("stage",)
    )
    for stage in STEPS:
        _add(stages, (stage,), durations.get(stage, Histogram()))
    yield stages
    latency = HistogramMetricFamily(
        "livepeer_latency_seconds", "Time of one picture from decoded to encoded", labels=()
    )
    _add(latency, (), durations.get("latency", Histogram()))
    yield latency


def _counted(name: str, text: str, label: str, counts: Mapping[str, int]) -> Counter:
    family = Counter(name, text, labels=(label,))
    for value, count in counts.items():
        family.add_metric((value,), count)
    return family


def _add(family: HistogramMetricFamily, labels: tuple[str, ...], histogram: Histogram) -> None:
    _add_counts(family, labels, BOUNDS_S, histogram.counts, histogram.sum_s)


def _add_counts(
    family: HistogramMetricFamily,
    labels: tuple[str, ...],
    bounds: Sequence[float],
    counts: Sequence[int],
    sum_s: float,
) -> None:
    texts = (*(str(bound) for bound in bounds), "+Inf")
    family.add_metric(labels, list(zip(texts, accumulate(counts), strict=True)), sum_s)
