"""The stage that folds how calls went."""

import pytest

from streams.decisions import breaker_rows
from streams.decisions.breaker_rows import Kept
from streams.stages.breaker import IDLE_MS
from tests.support.breakers import SERVICE, Handled, asks, order, told
from tests.support.builders import NOW_MS
from topics.catalog import BREAKER_TICKS, BREAKERS, CALLS
from topics.errors import DecodingError

ROW = SERVICE.encode()


def row(bench: Handled, service: str = SERVICE) -> Kept:
    """What stands in the table."""
    return breaker_rows.unpack(bench.scope.rows[service.encode()])


def opened() -> Handled:
    bench = Handled()
    bench.hear(told("fff"))
    return bench


def test_stage_reads_calls_and_its_own_ticks_and_holds_the_first() -> None:
    stage = Handled().stage

    assert ("core", "breakers", 0, False) == (stage.app, stage.table, stage.slots, stage.reads_clock)
    assert ((CALLS, BREAKER_TICKS), (BREAKERS,), [CALLS]) == (stage.reads, stage.writes, [*stage.holds])


# -- words


def test_failures_of_several_workers_open_one_breaker() -> None:
    """B27: all workers see one state."""
    [word] = Handled().hear(told("f", worker="a"), told("f", worker="b"), told("f", worker="c"))

    assert ("open", 1, NOW_MS, NOW_MS + 1000) == (word.state, word.epoch, word.since_ms, word.until_ms)


def test_word_goes_to_the_partition_and_key_of_the_record() -> None:
    [output] = Handled().enter(CALLS, told("fff"), NOW_MS)

    assert (BREAKERS, ROW, 3, "open") == (output.topic, output.key, output.partition, output.decision)


def test_services_do_not_affect_one_another() -> None:
    """B39."""
    bench = opened()

    assert [] == bench.hear(told("ff"), service="other:model")
    assert ["open"] == [word.state for word in bench.hear(told("f"), service="other:model")]


@pytest.mark.parametrize("outcomes", ["ff", "ffoff", "lllll", "ooo", "x"])
def test_calls_below_the_threshold_say_nothing(outcomes: str) -> None:
    assert [] == Handled().hear(told(outcomes))


def test_probe_is_granted_to_the_first_who_asks() -> None:
    """B30: one in an interval, whoever asks."""
    words = opened().hear(*(asks(1, f"w{number}") for number in range(50)), now_ms=NOW_MS + 1000)

    assert ["w0"] == [word.probing.worker for word in words if word.probing]


def test_probe_of_a_dead_holder_is_granted_anew_after_the_interval() -> None:
    """B31."""
    bench = opened()
    words = [*bench.hear(asks(1, "a"), now_ms=NOW_MS + 1000)]
    words += [*bench.hear(asks(1, "b"), now_ms=NOW_MS + 1499), *bench.hear(asks(1, "c"), now_ms=NOW_MS + 1500)]

    assert [("a", 1), ("c", 2)] == [(word.probing.worker, word.probing.number) for word in words if word.probing]


def test_late_calls_do_not_extend_or_reopen() -> None:
    """B36."""
    bench = opened()

    assert [] == bench.hear(told("ffffff"), told("oooo"), now_ms=NOW_MS + 500)
    assert NOW_MS + 1000 == row(bench).breaker.until_ms


def test_recovery_is_said_after_enough_probes() -> None:
    """B34."""
    bench = opened()
    bench.hear(asks(1), now_ms=NOW_MS + 1000)

    assert [] == bench.hear(told("o", 1, probe=True), now_ms=NOW_MS + 1100)
    assert ["closed"] == [word.state for word in bench.hear(told("o", 1, probe=True), now_ms=NOW_MS + 1600)]


def test_orders_are_in_force_at_once_and_recorded() -> None:
    """B40."""
    words = Handled().hear(order("trip", 60.0), order("reset", id="2", why="over"))

    assert [("open", "trip", "maintenance"), ("closed", "reset", "over")] == [
        (word.state, word.order.order, word.order.why) for word in words if word.order
    ]


def test_message_of_a_newer_version_is_passed_over() -> None:
    bench = Handled()

    assert [] == bench.hear(b'{"what":"sung"}', told("ff"))
    assert ["open"] == [word.state for word in bench.hear(told("f"))]


@pytest.mark.parametrize("raw", [b"", b"{", None, b'{"what":"told"}'])
def test_bytes_that_are_no_message_are_refused_and_harm_nothing(raw: bytes | None) -> None:
    bench = Handled()
    bench.hear(told("ff"))
    with pytest.raises(DecodingError):
        bench.hear(raw)
    bench.tick()

    assert 2 == row(bench).breaker.streak


def test_record_without_a_key_is_of_no_service_and_harms_none() -> None:
    assert [] == Handled().hear(told("ff"), service="")


# -- rows


def test_counted_calls_are_written_by_the_tick() -> None:
    bench = Handled()
    bench.hear(told("f"), told("o"))
    before = dict(bench.scope.rows)
    bench.tick()

    assert ({}, 1) == (before, row(bench).folded)


def test_tick_after_nothing_new_writes_nothing() -> None:
    bench = Handled()
    bench.hear(told("f"))
    bench.tick()
    bench.scope.table.puts.clear()

    assert ([], []) == (bench.tick(NOW_MS + 1000), bench.scope.table.puts)


def test_transition_is_written_with_its_record() -> None:
    assert ("open", 0) == (row(opened()).breaker.state, row(opened()).folded)


def test_tick_writes_services_in_one_order() -> None:
    bench = Handled()
    for service in ("c:1", "a:1", "b:1"):
        bench.hear(told("f"), service=service)
    bench.tick()

    assert [b"a:1", b"b:1", b"c:1"] == bench.scope.table.puts


def test_state_survives_a_move_of_the_partition() -> None:
    """B38: still open, the same remaining wait."""
    bench = opened()
    bench.moved()

    assert [] == bench.hear(asks(1), now_ms=NOW_MS + 999)
    assert ["half-open"] == [word.state for word in bench.hear(asks(1), now_ms=NOW_MS + 1000)]


def test_calls_that_were_not_written_are_folded_when_they_come_again() -> None:
    bench = Handled()
    bench.hear(told("f"))
    bench.tick()
    bench.hear(told("f"))
    bench.moved()
    again = [bench.handle(seen) for seen in bench.logs[CALLS]]

    assert ([[], []], 1) == (again, len(bench.hear(told("f"))))


def test_calls_that_were_written_are_not_counted_twice() -> None:
    bench = Handled()
    bench.hear(told("ff"))
    bench.tick()
    bench.moved()
    for seen in bench.logs[CALLS]:
        bench.handle(seen)

    bench.tick()

    assert 2 == row(bench).breaker.streak


def test_redelivered_record_writes_its_row_again() -> None:
    """The store may be ahead of its changelog."""
    bench = Handled()
    bench.hear(told("ff"))
    bench.tick()
    bench.scope.table.puts.clear()
    bench.handle(bench.logs[CALLS][0])
    bench.tick(NOW_MS + 1000)

    assert [ROW] == bench.scope.table.puts


def test_redelivered_transition_is_said_again_with_the_newest_after_it() -> None:
    bench = opened()
    bench.hear(order("reset"))
    first, second = (bench.handle(seen) for seen in bench.logs[CALLS])

    assert (["open", "closed"], ["closed"]) == ([one.decision for one in first], [one.decision for one in second])


@pytest.mark.parametrize(("later_ms", "left"), [(IDLE_MS, True), (IDLE_MS + 1, False)])
def test_service_that_was_quiet_for_long_is_forgotten(later_ms: int, left: bool) -> None:
    bench = Handled()
    bench.hear(told("ff"))
    bench.tick()
    bench.tick(NOW_MS + later_ms)

    assert left == (ROW in bench.scope.rows)


def test_service_of_which_a_word_was_said_is_never_forgotten() -> None:
    """Its epochs go on."""
    bench = opened()
    bench.hear(order("reset"))
    bench.tick(NOW_MS + 10 * IDLE_MS)

    assert 2 == row(bench).breaker.epoch
