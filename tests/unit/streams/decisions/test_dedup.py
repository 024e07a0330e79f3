"""Every phase of a key meets every role of a request: the table of arrivals, and what it is read off."""

import doctest
from dataclasses import FrozenInstanceError, replace

import pytest

from streams.decisions import dedup
from streams.decisions.dedup import Alone, Arrival, Cached, DedupPolicy, InProgress, New, Shed
from streams.decisions.requests import ROW_BYTES, Entry, Twin
from topics.errors import BackpressureShed, DeduplicationConflict

NOW_MS = 1_000_000
POLICY = DedupPolicy(window_s=10, max_waiters=2, max_waiter_bytes=100, max_running=5)
RUNNING = Entry("prompts/0/1", "cc", 5, 5, "owner", "owner")
KEPT = replace(RUNNING, by="refined/0/1", ms=NOW_MS, word="completed", payload=b"{}")
BOUND = replace(KEPT, word="failed")
STALE = replace(KEPT, word="expired")
ENTRIES: dict[str, Entry | None] = {
    "absent": None, "running": RUNNING, "kept": KEPT, "bound": BOUND, "stale": STALE
}  # fmt: skip
NEW, AGAIN, WAITS, JOINS = New(again=False), New(again=True), InProgress(joins=False), InProgress(joins=True)
COPY, HIT = Cached(copy=True), Cached(copy=False)
TABLE = {
    "absent": (NEW, NEW, NEW, NEW, NEW),
    "running": (AGAIN, WAITS, WAITS, WAITS, JOINS),
    "kept": (AGAIN, COPY, COPY, COPY, HIT),
    "bound": (AGAIN, COPY, COPY, COPY, NEW),
    "stale": (AGAIN, WAITS, NEW, NEW, NEW),
}
PAIRS = [(phase, who, TABLE[phase][nth]) for phase in dedup.PHASES for nth, who in enumerate(dedup.ROLES)]


def arrival(
    identity: str = "other", offset: int = 9, now_ms: int = NOW_MS, check: str = "cc", size: int = 10
) -> Arrival:
    return Arrival("c:ab", identity, f"prompts/0/{offset}", offset, now_ms, check, size)


def arrive(entry: Entry | None, who: dedup.Role = "stranger", running: int = 0, **fields: int | str) -> dedup.Arrived:
    return dedup.arrive(entry, who, arrival(**fields), running, POLICY)  # type: ignore[arg-type]  # its own fields


@pytest.mark.parametrize(("phase", "who", "outcome"), PAIRS)
def test_arrival_of_each_role_in_each_phase_has_its_outcome(
    phase: str, who: dedup.Role, outcome: dedup.Arrived
) -> None:
    """B8, B9, B10, B15, B23."""
    assert outcome == arrive(ENTRIES[phase], who)


def test_table_of_arrivals_names_every_pair() -> None:
    assert {(phase, who) for phase, who, _ in PAIRS} == {
        (phase, who) for phase, row in dedup.ARRIVALS.items() for who in row
    }


@pytest.mark.parametrize("phase", dedup.PHASES)
def test_phase_of_each_entry_is_read_off_the_row(phase: dedup.Phase) -> None:
    assert phase == dedup.phase(ENTRIES[phase], NOW_MS, POLICY)


@pytest.mark.parametrize(("entry", "before"), [(KEPT, "kept"), (BOUND, "bound"), (RUNNING, "running")])
@pytest.mark.parametrize(("age_ms", "over"), [(9_999, False), (10_000, True), (10_001, True), (-3_600_000, False)])
def test_phase_around_the_window_turns_at_its_millisecond(entry: Entry, before: str, age_ms: int, over: bool) -> None:
    """B11; an age is never negative, B24."""
    expected = "stale" if over and entry.by else before

    assert expected == dedup.phase(entry, NOW_MS + age_ms, POLICY)


def test_phase_of_an_answer_that_was_not_kept_binds_nobody() -> None:
    assert "stale" == dedup.phase(replace(KEPT, payload=b""), NOW_MS, POLICY)


WAITING = Twin("prompts/0/8", "twin")
PROMOTED = replace(RUNNING, owner=0, identity="twin", next=1)


@pytest.mark.parametrize(
    ("entry", "identity", "offset", "twin", "who"),
    [
        (None, "owner", 9, None, "stranger"),
        (RUNNING, "owner", 5, None, "opener"),
        (RUNNING, "other", 5, None, "opener"),
        (replace(RUNNING, last=9), "other", 9, None, "passed"),
        (replace(RUNNING, last=8), "other", 9, None, "stranger"),
        (replace(RUNNING, last=12), "other", 9, None, "passed"),
        (RUNNING, "owner", 1, None, "passed"),
        (RUNNING, "owner", 9, None, "owner"),
        (KEPT, "owner", 9, None, "owner"),
        (RUNNING, "twin", 9, WAITING, "twin"),
        (RUNNING, "twin", 8, WAITING, "passed"),
        (PROMOTED, "twin", 9, replace(WAITING, standing="owner"), "owner"),
        (replace(PROMOTED, identity="next"), "twin", 9, replace(WAITING, standing="owner"), "stranger"),
        (PROMOTED, "owner", 9, None, "stranger"),
        (replace(PROMOTED, opener_out=True), "owner", 9, None, "stranger"),
        (RUNNING, "twin", 9, replace(WAITING, standing="expired"), "stranger"),
        (RUNNING, "twin", 9, replace(WAITING, standing="out"), "stranger"),
        (RUNNING, "other", 9, None, "stranger"),
    ],
)
def test_role_of_a_request_is_read_off_its_rows(
    entry: Entry | None, identity: str, offset: int, twin: Twin | None, who: str
) -> None:
    assert who == dedup.role(entry, arrival(identity, offset), twin)


def test_role_of_another_copy_of_the_opening_prompt_is_passed() -> None:
    seen = replace(arrival("owner", 70), origin=RUNNING.epoch)

    assert "passed" == dedup.role(RUNNING, seen, None)


@pytest.mark.parametrize(("running", "outcome"), [(4, NEW), (5, Alone("no-room")), (6, Alone("no-room"))])
def test_first_request_of_a_key_without_room_goes_on_alone(running: int, outcome: dedup.Arrived) -> None:
    """B19."""
    assert outcome == arrive(None, running=running)


@pytest.mark.parametrize("running", [5, 50])
def test_request_that_stands_already_needs_no_room(running: int) -> None:
    assert (AGAIN, JOINS) == (arrive(RUNNING, "opener", running), arrive(RUNNING, "stranger", running))


@pytest.mark.parametrize("entry", [RUNNING, KEPT])
def test_stranger_with_other_content_under_one_digest_goes_on_alone(entry: Entry) -> None:
    """B20."""
    assert Alone("conflict") == arrive(entry, check="dd")


@pytest.mark.parametrize("who", ["opener", "owner", "twin"])
def test_request_that_stands_is_not_compared_again(who: dedup.Role) -> None:
    assert COPY == arrive(KEPT, who, check="dd") or AGAIN == arrive(KEPT, who, check="dd")


@pytest.mark.parametrize("check", ["bb", "dd"])
def test_content_that_differs_either_way_is_not_shared(check: str) -> None:
    assert Alone("conflict") == arrive(KEPT, check=check)


def test_two_contents_of_one_digest_are_an_error() -> None:
    with pytest.raises(DeduplicationConflict, match="key collision: c:ab"):
        dedup.same_content(RUNNING, arrival(check="dd"))


@pytest.mark.parametrize(("count", "joins"), [(0, True), (1, True), (2, False), (3, False)])
def test_twin_beyond_the_number_that_may_wait_is_shed(count: int, joins: bool) -> None:
    assert joins == (arrive(replace(RUNNING, count=count)) == JOINS)


@pytest.mark.parametrize(("size", "joins"), [(0, True), (90, True), (91, False), (100, False)])
def test_twin_beyond_the_bytes_that_may_wait_is_shed(size: int, joins: bool) -> None:
    assert joins == (arrive(replace(RUNNING, size=size)) == JOINS)


@pytest.mark.parametrize(
    ("entry", "text"),
    [(replace(RUNNING, count=2), "depth 2/2 of waiting twins"), (replace(RUNNING, size=95), "depth 105/100")],
)
def test_shed_twin_is_told_depth_capacity_and_when_to_return(entry: Entry, text: str) -> None:
    """B53."""
    outcome = arrive(entry)

    assert isinstance(outcome, Shed)
    assert (True, 30.0) == (outcome.error.retryable, outcome.error.retry_after_s)
    with pytest.raises(BackpressureShed, match=text):
        raise outcome.error


@pytest.mark.parametrize(("size", "outcome"), [(ROW_BYTES + 1, Alone("no-room")), (ROW_BYTES, Shed)])
def test_twin_that_no_row_can_hold_goes_on_alone(size: int, outcome: object) -> None:
    found = arrive(RUNNING, size=size)

    assert found == outcome or (isinstance(found, Shed) and outcome is Shed)


def test_policy_tells_its_times_in_milliseconds() -> None:
    policy = DedupPolicy(window_s=1.5, takeover_slack_s=2, memory_s=3)

    assert (1500, 2000, 3000) == (policy.window_ms, policy.slack_ms, policy.keep_ms)


def test_rows_are_kept_for_the_window_where_that_is_longer() -> None:
    assert 20_000 == DedupPolicy(window_s=20, memory_s=3).keep_ms


def test_policy_defaults_are_the_documented_ones() -> None:
    policy = DedupPolicy()

    assert (3600, 60, 256 * 1024) == (policy.window_s, policy.takeover_slack_s, policy.max_answer_bytes)
    assert (900, 30, 500) == (policy.memory_s, policy.retry_after_s, policy.max_acts)


def test_bounds_of_a_partition_and_a_key_are_the_documented_ones() -> None:
    policy = DedupPolicy()

    assert (20_000, 100_000) == (policy.max_completed, policy.max_running)
    assert (10_000, 67_108_864) == (policy.max_waiters, policy.max_waiter_bytes)


def test_outcome_of_an_arrival_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        New(again=True).again = False  # type: ignore[misc]  # the claim


def test_examples_of_the_arrival_rule_are_true() -> None:
    assert 0 == doctest.testmod(dedup).failed
