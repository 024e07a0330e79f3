"""What is counted and measured, under which stable names? Cheap to observe (plain additions), rendered when scraped."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from streams.ports import Observation, Observer
from topics.errors import ConfigurationError

PREFIX = "prompt_streams_"
TICKED = "ticked"  # a record that only says that time passed
COUNTED = {  # what is counted by `topic` in a metric of its own, `outputs` being the number
    **dict.fromkeys(("rebalanced", "cancelled"), "calls_cancelled"),  # there, `topic` is the app
    "trimmed": "trimmed_records",
}
BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
COUNTERS = {
    "records": ("records handled", ("stage", "action")),
    "outputs": ("records written", ("stage",)),
    "failures": ("records whose handling failed", ("stage", "kind")),
    "calls_cancelled": ("running calls cancelled because their partition moved or the worker stopped", ("stage",)),
    "trimmed_records": ("records deleted because they were answered and older than the retention", ("topic",)),
}
HISTOGRAMS = {
    "work_seconds": ("seconds a handler worked on a record", ("stage",)),
    "wait_seconds": ("seconds between a record's append and its handling", ("stage",)),
}
GAUGES = {
    "ready": ("1 when assigned, recovered and caught up", ()),
    "calls_running": ("provider calls running", ("stage",)),
    "held_records": ("records taken and not yet acknowledged", ("topic", "partition")),
    "breaker_state": ("0 closed, 1 half-open, 2 open: of breakers that were ever open", ("service",)),
    "lag_records": ("records before a group", ("group", "topic", "partition")),
}

Values = Mapping[tuple[str, ...], float]


class _Histogram:
    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self.counts[bisect_left(BOUNDS_S, seconds)] += 1
        self.total += seconds

    def buckets(self) -> Iterator[tuple[str, float]]:
        running = 0
        for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), self.counts, strict=True):
            running += count
            yield bound, running


class Metrics(Collector):
    """An ``Observer`` on a registry of its own; all calls come from the event loop's thread."""

    def __init__(self, *, process: bool = True) -> None:
        self._counts: dict[str, dict[tuple[str, ...], float]] = {name: defaultdict(float) for name in COUNTERS}
        self._records, self._outputs = self._counts["records"], self._counts["outputs"]
        self._failures = self._counts["failures"]
        self._work: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        self._wait: defaultdict[str, _Histogram] = defaultdict(_Histogram)
        self._gauges: dict[str, Callable[[], Values]] = {}
        self.registry = CollectorRegistry()
        self.registry.register(self)
        if process:
            ProcessCollector(namespace="prompt_streams", registry=self.registry)

    def observe(self, seen: Observation) -> None:
        """Counts one handled record, or what the engine tells of calls to be made again and of records it deleted."""
        own = COUNTED.get(seen.action)
        if own is not None:
            self._counts[own][seen.topic,] += seen.outputs
            return
        stage = seen.stage
        self._records[stage, seen.action] += 1
        if seen.action != TICKED:
            self._work[stage].add(seen.work_s)
            self._wait[stage].add(seen.wait_s)
        if seen.outputs:
            self._outputs[stage,] += seen.outputs
        if seen.kind is not None:
            self._failures[stage, seen.kind] += 1

    def watch(self, gauge: str, read: Callable[[], Values]) -> None:
        """Asks ``read`` for a gauge's values (label values → number) at each scrape; names are those of ``GAUGES``."""
        if gauge not in GAUGES:
            raise ConfigurationError("gauge", gauge, f"one of {', '.join(GAUGES)}")
        self._gauges[gauge] = read

    def render(self) -> bytes:
        """Everything, in the text format that scrapers read."""
        return generate_latest(self.registry)

    def describe(self) -> Iterable[Any]:
        """Nothing beforehand: the registry then does not collect at registration."""
        return ()

    def collect(self) -> Iterator[Any]:
        """The metric families at this moment."""
        for name, (text, labels) in COUNTERS.items():
            yield _filled(CounterMetricFamily(PREFIX + name, text, labels=labels), self._counts[name])
        for name, (text, labels) in GAUGES.items():
            values = self._gauges[name]() if name in self._gauges else {}
            yield _filled(GaugeMetricFamily(PREFIX + name, text, labels=labels), values)
        for kept, (name, (text, labels)) in zip((self._work, self._wait), HISTOGRAMS.items(), strict=True):
            family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
            for stage, histogram in kept.items():
                family.add_metric([stage], list(histogram.buckets()), histogram.total)
            yield family


def _filled(family: Any, values: Values) -> Any:
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


class Together:
    """Several observers as one, told in order."""

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers

    def observe(self, seen: Observation) -> None:
        """Passes the observation on."""
        for observer in self._observers:
            observer.observe(seen)
