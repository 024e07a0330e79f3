"""What is counted, under which names, and how cheaply."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from streams.adapters.telemetry import BOUNDS_S, COUNTERS, GAUGES, HISTOGRAMS, PREFIX, Metrics, Together
from streams.ports import Observation
from topics.errors import ConfigurationError

SECONDS = st.floats(0, 1000, allow_nan=False)


def observation(
    stage: str = "infer",
    action: str = "called",
    kind: str | None = None,
    work_s: float = 0.02,
    wait_s: float = 0.3,
    outputs: int = 1,
) -> Observation:
    return Observation(stage, action, "deduped", 3, 1042, wait_s, work_s, outputs, kind)


def metrics(*seen: Observation) -> Metrics:
    counted = Metrics(process=False)
    for one in seen:
        counted.observe(one)
    return counted


def samples(counted: Metrics) -> dict[tuple[str, tuple[str, ...]], float]:
    families = text_string_to_metric_families(counted.render().decode())
    return {(one.name, tuple(one.labels.values())): one.value for family in families for one in family.samples}


def value(counted: Metrics, name: str, *labels: str) -> float | None:
    every = samples(counted)
    return next(
        (number for (found, its), number in every.items() if found == PREFIX + name and set(its) == set(labels)), None
    )


def names(counted: Metrics) -> set[str]:
    return {family.name for family in text_string_to_metric_families(counted.render().decode())}


@pytest.mark.parametrize(
    ("seen", "name", "labels", "expected"),
    [
        ([observation()], "records_total", ("infer", "called"), 1),
        ([observation()] * 3, "records_total", ("infer", "called"), 3),
        ([observation(), observation(action="attached")], "records_total", ("infer", "attached"), 1),
        ([observation(outputs=2)] * 2, "outputs_total", ("infer",), 4),
        ([observation(outputs=0)], "outputs_total", ("infer",), None),
        ([observation(kind="too_large")], "failures_total", ("infer", "too_large"), 1),
        ([observation()], "failures_total", ("infer", "too_large"), None),
        ([observation(work_s=0.5), observation(work_s=0.25)], "work_seconds_sum", ("infer",), 0.75),
        ([observation(), observation()], "work_seconds_count", ("infer",), 2),
        ([observation(wait_s=2.5)], "wait_seconds_sum", ("infer",), 2.5),
        ([observation(), observation("admit")], "wait_seconds_count", ("admit",), 1),
    ],
)
def test_observed_record_shows_in_its_metric(
    seen: list[Observation], name: str, labels: tuple[str, ...], expected: float | None
) -> None:
    assert expected == value(metrics(*seen), name, *labels)


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, "0.0005"), (0.0005, "0.0005"), (0.3, "0.5"), (301.0, "+Inf")])
def test_duration_counts_in_its_bucket_and_all_above(seconds: float, bucket: str) -> None:
    counted = metrics(observation(work_s=seconds))
    bounds = [*map(str, BOUNDS_S), "+Inf"]

    got = [bound for bound in bounds if value(counted, "work_seconds_bucket", "infer", bound) == 1]

    assert bounds[bounds.index(bucket) :] == got


@given(st.lists(SECONDS, max_size=30))
def test_last_bucket_counts_every_record(durations: list[float]) -> None:
    counted = metrics(*(observation(work_s=seconds) for seconds in durations))

    assert (len(durations) or None) == value(counted, "work_seconds_bucket", "infer", "+Inf")


@given(st.lists(st.sampled_from(["admit", "dedup", "infer"]), max_size=20))
def test_records_of_all_stages_add_up(stages: list[str]) -> None:
    every = samples(metrics(*map(observation, stages)))

    assert len(stages) == sum(number for (name, _), number in every.items() if name == PREFIX + "records_total")


def test_ticks_are_counted_but_are_no_work() -> None:
    shown = metrics(observation("dedup", "ticked", outputs=2)).render().decode()

    assert 'prompt_streams_records_total{action="ticked",stage="dedup"} 1.0' in shown
    assert 'prompt_streams_outputs_total{stage="dedup"} 2.0' in shown
    assert 'work_seconds_count{stage="dedup"}' not in shown


@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("rebalanced", "calls_cancelled_total"),
        ("cancelled", "calls_cancelled_total"),
        ("trimmed", "trimmed_records_total"),
    ],
)
def test_what_the_engine_tells_is_counted_by_its_own_number(action: str, name: str) -> None:
    counted = metrics(*(Observation("engine", action, "infer", 0, 9, outputs=count) for count in (3, 1)))

    assert 4 == value(counted, name, "infer")
    assert value(counted, "records_total", "engine", action) is None


def test_records_that_had_to_stay_are_counted_by_reason() -> None:
    counted = metrics(Observation("engine", "untrimmed", "prompts", 0, 0, kind="no_commit"))

    assert 1 == value(counted, "failures_total", "engine", "no_commit")


@pytest.mark.parametrize(
    ("gauge", "labels"),
    [
        ("ready", ()),
        ("calls_running", ("infer",)),
        ("held_records", ("deduped", "3")),
        ("lag_records", ("prompts.core", "prompts", "0")),
        ("breaker_state", ("openai:gpt-5",)),
    ],
)
def test_gauge_is_asked_at_each_scrape(gauge: str, labels: tuple[str, ...]) -> None:
    counted, numbers = metrics(), iter([1.0, 7.0])
    counted.watch(gauge, lambda: {labels: next(numbers)})

    assert (1.0, 7.0) == (value(counted, gauge, *labels), value(counted, gauge, *labels))


def test_gauge_of_a_gone_partition_disappears() -> None:
    counted, held = metrics(), {("deduped", "3"): 5.0}
    counted.watch("held_records", lambda: held)
    before = value(counted, "held_records", "deduped", "3")
    held.clear()

    assert (5.0, None) == (before, value(counted, "held_records", "deduped", "3"))


def test_gauge_under_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one of ready"):
        metrics().watch("temperature", dict)


def test_names_of_metrics_are_stable() -> None:
    expected = {
        "prompt_streams_records",
        "prompt_streams_outputs",
        "prompt_streams_failures",
        "prompt_streams_calls_cancelled",
        "prompt_streams_trimmed_records",
        "prompt_streams_work_seconds",
        "prompt_streams_wait_seconds",
        "prompt_streams_ready",
        "prompt_streams_calls_running",
        "prompt_streams_held_records",
        "prompt_streams_lag_records",
        "prompt_streams_breaker_state",
    }

    assert expected == names(metrics())


def test_every_exported_name_comes_from_the_tables() -> None:
    assert {PREFIX + name for name in (*COUNTERS, *GAUGES, *HISTOGRAMS)} == names(metrics())


def test_process_metrics_are_added_for_workers() -> None:
    assert "prompt_streams_process_resident_memory_bytes" in names(Metrics())


def test_two_sets_of_metrics_are_apart() -> None:
    metrics(observation())

    assert value(metrics(), "records_total", "infer", "called") is None


class Remembering:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[Observation] = []

    def observe(self, seen: Observation) -> None:
        self.told.append(seen)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_observers_together_are_each_told(count: int) -> None:
    observers: Iterable[Remembering] = [Remembering() for _ in range(count)]
    Together(*observers).observe(observation())

    assert [[observation()]] * count == [one.told for one in observers]
