import doctest
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import parking, steps
from streams.decisions.breaker import Closed, Open, Probe, Verdict
from streams.decisions.cascade import Ask, Candidate, CascadePolicy, Course, Nobody, Sight, Wait
from streams.decisions.course import Progress
from streams.decisions.flood_guard import FloodGuard, GuardPolicy
from streams.decisions.retry import RetryPolicy
from streams.decisions.steps import Late
from tests.support.builders import NOW_MS
from topics.catalog import ASSEMBLED, PARKED
from topics.errors import CircuitOpen, DeadlineExceeded, OrchestratorError
from topics.messages import Try
from topics.provider_errors import ProviderDenied, ProviderRateLimited, ProviderRefused, ProviderUnavailable

WHO = Candidate("p", "m")
AWAY, LIMITED = ProviderUnavailable("p"), ProviderRateLimited("p", retry_after_s=30.0)
POLICY = CascadePolicy(RetryPolicy.exponential(4, 0.5))
ONCE = CascadePolicy(RetryPolicy.exponential(1, 0.5))
CALM, OUTAGE = FloodGuard(), FloodGuard(GuardPolicy(consecutive=1))
NORMAL, CLOSED = ASSEMBLED["normal"], Closed(3)
MADE = Try(provider="p", model="m", kind="provider_unavailable", at_ms=NOW_MS)


def course(*tries: Try, deadline_ms: int | None = None) -> Course:
    return Course("ab" * 32, (WHO,), tries, deadline_ms)


def sight(verdict: Verdict = CLOSED, now_ms: int = NOW_MS) -> Sight:
    return Sight(now_ms, lambda service: verdict)


def after(
    error: OrchestratorError, policy: CascadePolicy, guard: FloodGuard, deadline_ms: int | None = None, tries: int = 1
) -> Any:
    made = steps.missed(WHO, error, NOW_MS, NOW_MS).made
    return steps.after(policy, course(*[made] * tries, deadline_ms=deadline_ms), sight(), error, guard)


def test_doctests_of_the_rule_pass() -> None:
    assert 0 == doctest.testmod(steps).failed


@pytest.mark.parametrize(("verdict", "step"), [(Closed(3), Ask(WHO, 3)), (Probe(4), Ask(WHO, 4, probe=True))])
def test_request_that_arrives_asks_its_candidate(verdict: Verdict, step: Ask) -> None:
    assert step == steps.first(POLICY, course(), sight(verdict))


@pytest.mark.parametrize(("left_ms", "late"), [(-1, True), (0, True), (1, False)])
def test_request_that_arrives_after_its_deadline_is_late(left_ms: int, late: bool) -> None:
    """B69."""
    found = steps.first(POLICY, course(deadline_ms=NOW_MS + left_ms), sight())

    assert (Late(NOW_MS + left_ms) if late else Ask(WHO, 3)) == found


@pytest.mark.parametrize(("left_ms", "waits"), [(-1, False), (0, False), (1, True)])
def test_request_back_from_a_tier_is_not_asked_before_it_is_due(left_ms: int, waits: bool) -> None:
    """B47."""
    found = steps.first(POLICY, course(), sight(), NOW_MS + left_ms)

    assert (Wait(NOW_MS + left_ms, "parked", "") if waits else Ask(WHO, 3)) == found


def test_request_due_after_its_deadline_waits_to_the_deadline() -> None:
    found = steps.first(POLICY, course(deadline_ms=NOW_MS + 5), sight(), NOW_MS + 9)

    assert Wait(NOW_MS + 5, "parked", "") == found


def test_open_breaker_makes_the_request_wait_until_it_may_close() -> None:
    """B41."""
    found = steps.first(POLICY, course(), sight(Open(NOW_MS - 9, NOW_MS + 9)))

    assert Wait(NOW_MS + 9, "breaker-open", "p:m", NOW_MS - 9) == found


@pytest.mark.parametrize("guard", [CALM, OUTAGE])
def test_failed_try_with_others_left_is_waited_for(guard: FloodGuard) -> None:
    assert "backing-off" == after(AWAY, POLICY, guard).why


@pytest.mark.parametrize(
    ("error", "policy", "reason"),
    [
        (AWAY, ONCE, "exhausted"),
        (ProviderDenied("p"), POLICY, "permanent"),
        (LIMITED, CascadePolicy(RetryPolicy(budget_s=9)), "budget"),
    ],
)
def test_systemic_failure_is_the_end_unless_there_is_an_outage(
    error: OrchestratorError, policy: CascadePolicy, reason: str
) -> None:
    """I9."""
    calm, spared = after(error, policy, CALM), after(error, policy, OUTAGE)

    assert (reason, Wait(NOW_MS + 5000, "outage", "")) == (calm.reason, spared)


def test_fault_of_the_request_itself_is_the_end_in_an_outage_too() -> None:
    assert isinstance(after(ProviderRefused("p"), POLICY, OUTAGE), Nobody)


@pytest.mark.parametrize(("tries", "wait_s"), [(4, 5), (5, 30), (6, 120), (7, 600), (8, 600), (99, 600)])
def test_outage_is_waited_out_in_longer_tiers_each_time(tries: int, wait_s: int) -> None:
    """I9: soon at first, as most outages are short; from the first try that it would not have had without it."""
    assert Wait(NOW_MS + wait_s * 1000, "outage", "") == after(AWAY, POLICY, OUTAGE, tries=tries)


@pytest.mark.parametrize(
    ("left_ms", "wait_ms"),
    [(600_001, 600_000), (600_000, 120_000), (30_001, 30_000), (5001, 5000), (5000, 5000), (4999, 4999)],
)
def test_outage_is_waited_out_before_the_deadline_where_a_tier_ends_before_it(left_ms: int, wait_ms: int) -> None:
    found = after(AWAY, ONCE, OUTAGE, NOW_MS + left_ms, tries=9)

    assert Wait(NOW_MS + wait_ms, "outage", "") == found


def test_call_that_the_deadline_cut_short_makes_the_request_late() -> None:
    """B72."""
    assert Late(NOW_MS) == after(DeadlineExceeded(NOW_MS, NOW_MS), ONCE, CALM, NOW_MS)


@given(st.integers(-10, 10), st.integers(-10, 10))
def test_step_is_never_taken_at_the_deadline_or_after(left_ms: int, until_ms: int) -> None:
    deadline_ms = NOW_MS + left_ms
    wait = steps.in_time(Wait(NOW_MS + until_ms, "parked", ""), deadline_ms, NOW_MS)
    ask = steps.in_time(Ask(WHO, 1), deadline_ms, NOW_MS)

    assert (left_ms <= 0) == isinstance(ask, Late) == isinstance(wait, Late)
    assert isinstance(wait, Late) or (isinstance(wait, Wait) and wait.until_ms <= deadline_ms)


def test_end_stays_an_end_after_the_deadline() -> None:
    end = Nobody("permanent", AWAY)

    assert end is steps.in_time(end, NOW_MS - 1, NOW_MS)


@pytest.mark.parametrize(("error", "asked_s"), [(LIMITED, 30.0), (AWAY, None), (DeadlineExceeded(1, 1), None)])
def test_line_of_a_failed_call_tells_whom_when_and_why(error: OrchestratorError, asked_s: float | None) -> None:
    missed = steps.missed(WHO, error, NOW_MS, NOW_MS + 250)

    line = Try(provider="p", model="m", kind=error.kind, at_ms=NOW_MS, work_s=0.25, retry_after_s=asked_s)
    assert (error, line) == missed


@given(st.integers(0, 4999))
def test_short_wait_is_waited_where_the_request_is(left_ms: int) -> None:
    found = steps.wait(RetryPolicy(), Wait(NOW_MS + left_ms, "backing-off", "p:m"), Progress(), NORMAL, NOW_MS)

    assert left_ms / 1000 == found


@pytest.mark.parametrize("in_process_s", [0.1, 5.0])
def test_word_on_a_probe_is_waited_for_where_the_request_is(in_process_s: float) -> None:
    """Parked requests would ask for a probe, and be away whenever it is granted, for ever."""
    wanted = Wait(NOW_MS + 1000, "breaker-open", "p:m", NOW_MS - 9, due=True)

    assert 1.0 == steps.wait(RetryPolicy(in_process_s=in_process_s), wanted, Progress(), NORMAL, NOW_MS)


def test_wait_that_is_over_takes_no_time() -> None:
    assert 0.0 == steps.wait(RetryPolicy(), Wait(NOW_MS - 9, "backing-off", "p:m"), Progress(), NORMAL, NOW_MS)


@given(st.integers(5000, 10**7))
def test_long_wait_is_parked_and_never_due_early(left_ms: int) -> None:
    """B47."""
    found = steps.wait(
        RetryPolicy(), Wait(NOW_MS + left_ms, "backing-off", "p:m"), Progress(tries=(MADE,)), NORMAL, NOW_MS
    )

    assert isinstance(found, Progress)
    assert ((MADE,), True) == (found.tries, found.parked in PARKED)
    assert left_ms <= (found.due_ms or 0) - NOW_MS <= left_ms + 5001


def test_parked_request_finds_its_way_back() -> None:
    found = steps.wait(RetryPolicy(), Wait(NOW_MS + 30_000, "rate-limited", "p:m"), Progress(), NORMAL, NOW_MS)

    assert isinstance(found, Progress)
    headers = tuple((name, value.encode()) for name, value in found.headers)
    assert (PARKED[1], NORMAL) == (found.parked, parking.next_stop(headers).topic)  # type: ignore[union-attr]  # it is readable


@pytest.mark.parametrize(
    ("wait", "words"),
    [
        (Wait(NOW_MS, "outage", ""), "outage"),
        (Wait(NOW_MS, "key-dead", "p:m"), "key-dead: p:m"),
        (Wait(NOW_MS, "breaker-open", "p:m", NOW_MS), "Circuit breaker open for p:m since 2026-01-31T12:00:00.000Z"),
    ],
)
def test_reason_of_a_wait_is_told_in_words(wait: Wait, words: str) -> None:
    """B29."""
    assert words == steps.because(wait, 1.0)


def test_guard_that_saw_too_little_spares_nobody() -> None:
    guard = replace(OUTAGE, policy=GuardPolicy(consecutive=2))

    assert isinstance(after(AWAY, ONCE, guard), Nobody)


@pytest.mark.parametrize("probe", [True, False])
def test_probe_that_failed_is_noted_as_one(probe: bool) -> None:
    assert probe == steps.missed(WHO, AWAY, NOW_MS, NOW_MS + 250, probe=probe).made.probe


def test_caller_of_an_open_service_is_told_since_when() -> None:
    """B29."""
    with pytest.raises(CircuitOpen, match="p:m since 2026-01-31T12") as told:
        raise steps.circuit_open("p:m", NOW_MS, 2.5)

    assert ("p:m", 2.5, True) == (told.value.service, told.value.retry_after_s, told.value.retryable)
