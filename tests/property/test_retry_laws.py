"""Laws of retrying: waits stay in their bounds, are never cut short, and never reach past a deadline or a budget."""

import random
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from streams.decisions import retry
from streams.decisions.retry import MAX_RETRY_DELAY, Fault, GiveUp, Park, RetryNow, RetryPolicy
from topics.errors import OrchestratorError, StageFailure
from topics.provider_errors import ProviderDenied, ProviderRateLimited

SLACK_S = 1e-6  # of sums of seconds in floats
ROLLS = st.floats(0, 1, exclude_max=True)
ATTEMPTS = st.integers(1, 12)
TIERS = st.lists(st.integers(1, 2_000), min_size=1, max_size=5, unique=True).map(
    lambda tiers: tuple(float(tier) for tier in sorted(tiers))
)
POLICIES = st.builds(
    RetryPolicy,
    attempts=ATTEMPTS,
    base_s=st.floats(0, 1e4),
    growth=st.sampled_from(["exponential", "linear", "fixed"]),
    cap_s=st.floats(0, MAX_RETRY_DELAY),
    budget_s=st.floats(0, retry.LONGEST_S),
    in_process_s=st.floats(0, 60),
    tiers_s=TIERS,
)
ASKED = st.none() | st.floats(0, 1e5) | st.floats()
ERRORS: st.SearchStrategy[OrchestratorError] = st.builds(
    ProviderRateLimited, st.just("openai"), retry_after_s=ASKED
) | st.just(ProviderDenied("openai"))
NOW = st.floats(0, 2e9)
SPENT = st.floats(0, 1e4)
LEFT = st.none() | st.floats(-10, 1e5)


class Case:
    """One decision with all that went into it."""

    def __init__(
        self,
        policy: RetryPolicy,
        error: OrchestratorError,
        attempt: int,
        now_s: float,
        spent_s: float,
        left_s: float | None,
        roll: float,
    ) -> None:
        self.policy, self.error, self.attempt, self.now_s, self.roll = policy, error, attempt, now_s, roll
        self.fault = Fault("infer", error, now_s - spent_s)
        self.deadline_s = None if left_s is None else now_s + left_s
        self.decision = self.again()

    def again(self) -> retry.Decision:
        return retry.decide(self.policy, self.fault, self.attempt, self.now_s, self.deadline_s, self.roll)

    @property
    def due_s(self) -> float:
        """When the next try is due; only of what is tried again."""
        assume(not isinstance(self.decision, GiveUp))
        return self.decision.due_s if isinstance(self.decision, Park) else self.now_s + self.decision.delay_s


CASES = st.builds(Case, POLICIES, ERRORS, ATTEMPTS, NOW, SPENT, LEFT, ROLLS)


@given(POLICIES, st.integers(-5, 10**6))
@example(RetryPolicy.exponential(3, 1.0), 10**6)
def test_delay_of_any_attempt_stays_between_zero_and_the_cap(policy: RetryPolicy, attempt: int) -> None:
    """No attempt is too late for the arithmetic."""
    assert 0 <= policy.delay_for_attempt(attempt) <= policy.cap_s <= MAX_RETRY_DELAY


@given(POLICIES, st.integers(1, 3_000))
def test_delay_never_falls_from_one_attempt_to_the_next(policy: RetryPolicy, attempt: int) -> None:
    assert policy.delay_for_attempt(attempt) <= policy.delay_for_attempt(attempt + 1)


@given(st.floats(1e-6, 1.0), st.integers(1, 9))
def test_exponential_delay_doubles_below_the_cap(base_s: float, attempt: int) -> None:
    policy = RetryPolicy.exponential(3, base_s)

    assert 2 * policy.delay_for_attempt(attempt) == policy.delay_for_attempt(attempt + 1)


@given(POLICIES, ATTEMPTS, ROLLS)
def test_jitter_without_advice_stays_between_zero_and_the_delay(policy: RetryPolicy, attempt: int, roll: float) -> None:
    patient = replace(policy, attempts=attempt + 1, in_process_s=MAX_RETRY_DELAY + 1, budget_s=retry.LONGEST_S)
    decision = retry.decide(patient, Fault("infer", ProviderRateLimited("openai"), 0.0), attempt, 0.0, None, roll)

    assert isinstance(decision, RetryNow)
    assert 0 <= decision.delay_s <= policy.delay_for_attempt(attempt)


@pytest.mark.parametrize("seed", range(5))
def test_jitter_of_many_rolls_covers_the_whole_range_evenly(seed: int) -> None:
    """Of 10,000 waits each tenth of the range holds its share; 6 standard deviations are 180."""
    chance, policy, tenths = random.Random(seed), RetryPolicy.fixed(3, 4.0), [0] * 10
    for _ in range(10_000):
        decision = retry.decide(policy, Fault("infer", ProviderRateLimited("p"), 0.0), 1, 0.0, None, chance.random())
        tenths[int(decision.delay_s / 0.4)] += 1

    assert [] == [count for count in tenths if not 820 <= count <= 1180]


@given(st.integers(), POLICIES, st.lists(ATTEMPTS, max_size=20))
def test_waits_with_a_seeded_source_are_reproducible(seed: int, policy: RetryPolicy, attempts: list[int]) -> None:
    fault = Fault("infer", ProviderRateLimited("openai"), 0.0)

    def waits() -> list[object]:
        chance = random.Random(seed)
        made = [retry.decide(policy, fault, attempt, 0.0, None, chance.random()) for attempt in attempts]
        return [made.reason if isinstance(made, GiveUp) else made for made in made]

    assert waits() == waits()


@given(ATTEMPTS, ROLLS)
def test_tries_of_a_request_that_never_succeeds_are_those_of_the_policy(attempts: int, roll: float) -> None:
    """The first one counts."""
    policy, made = RetryPolicy.exponential(attempts, 0.1), 1
    fault = Fault("infer", ProviderRateLimited("openai"), 0.0)
    while not isinstance(retry.decide(policy, fault, made, 0.0, None, roll), GiveUp):
        made += 1

    assert attempts == made


@given(CASES)
def test_error_that_no_try_mends_never_waits(case: Case) -> None:
    """B46."""
    assume(not case.error.retryable)

    assert GiveUp("permanent", case.error) == case.decision


@given(CASES)
def test_next_try_is_never_before_what_the_provider_asked_for(case: Case) -> None:
    asked_s = getattr(case.error, "retry_after_s", None) or 0.0

    assert not case.due_s - case.now_s < asked_s - SLACK_S


@given(CASES)
def test_next_try_is_never_due_at_or_after_the_deadline(case: Case) -> None:
    assert case.deadline_s is None or case.due_s < case.deadline_s


@given(CASES, st.floats(-10, 2_000))
def test_deadline_gives_up_exactly_those_whose_try_would_be_due_too_late(case: Case, left_s: float) -> None:
    deadline_s = case.due_s + left_s
    bound = retry.decide(case.policy, case.fault, case.attempt, case.now_s, deadline_s, case.roll)

    assert (deadline_s <= case.due_s) == isinstance(bound, GiveUp)


@given(CASES)
def test_wanted_wait_of_the_next_try_is_within_the_budget(case: Case) -> None:
    last_tier_s = case.policy.tiers_s[0]  # what rounding up may add

    assert case.due_s - case.fault.first_s <= case.policy.budget_s + last_tier_s + SLACK_S


@given(CASES)
def test_whoever_is_given_up_has_the_cause_and_the_tries_made(case: Case) -> None:
    assume(isinstance(case.decision, GiveUp) and case.decision.reason != "permanent")
    error = case.decision.error

    assert isinstance(error, StageFailure)
    assert ("infer", case.attempt, case.error) == (error.stage, error.attempts, error.source)


@given(CASES)
def test_same_facts_give_the_same_decision(case: Case) -> None:
    assert repr(case.decision) == repr(case.again())


@given(CASES)
def test_wait_is_parked_exactly_from_the_limit_in_process_on(case: Case) -> None:
    assume(not isinstance(case.decision, GiveUp))
    wait_s = case.due_s - case.now_s

    if isinstance(case.decision, RetryNow):
        assert case.decision.delay_s < case.policy.in_process_s
    else:
        assert wait_s >= case.policy.in_process_s - SLACK_S


WANTED = st.floats(0, retry.LONGEST_S)


@given(POLICIES, WANTED)
def test_parked_request_is_never_due_early(policy: RetryPolicy, wait_s: float) -> None:
    parked = retry.park(policy, 0.0, wait_s)

    assert parked.due_s >= wait_s
    assert parked.due_s >= sum(parked.tiers) - SLACK_S


@given(POLICIES, WANTED)
def test_what_the_tiers_leave_can_be_waited_in_process(policy: RetryPolicy, wait_s: float) -> None:
    parked = retry.park(policy, 0.0, wait_s)

    assert parked.due_s - sum(parked.tiers) < max(policy.in_process_s, SLACK_S)


@given(POLICIES, WANTED)
def test_parked_request_is_late_by_less_than_the_shortest_tier(policy: RetryPolicy, wait_s: float) -> None:
    late_s = retry.park(policy, 0.0, wait_s).due_s - wait_s

    assert late_s <= policy.tiers_s[0]


@given(st.floats(5, retry.LONGEST_S))
def test_default_tiers_are_due_to_the_second_wanted(wait_s: float) -> None:
    assert wait_s == retry.park(RetryPolicy(), 0.0, wait_s).due_s


@given(POLICIES, WANTED)
def test_tiers_of_a_wait_go_from_the_longest_to_the_shortest(policy: RetryPolicy, wait_s: float) -> None:
    tiers = retry.park(policy, 0.0, wait_s).tiers

    assert tiers
    assert all(before >= after for before, after in pairwise(tiers))


@given(POLICIES, st.floats(0, 5_000), st.lists(st.floats(0, 2), max_size=60))
def test_hop_after_hop_with_delays_on_the_way_ends_at_or_after_the_due_time(
    policy: RetryPolicy, wait_s: float, delays_s: list[float]
) -> None:
    """What is left is reckoned anew at each return, from the due time alone."""
    assume(policy.in_process_s > 0)
    now_s, delays = 0.0, iter(delays_s)
    while isinstance(left := retry.rest(policy, now_s, wait_s), Park):
        now_s += left.tiers[0] + next(delays, 0.0)

    assert now_s + left.delay_s >= wait_s - SLACK_S


@given(st.text() | st.text("0123456789. :,-+GMTSunNov", max_size=40), st.floats(0, 4e9))
def test_retry_after_of_any_text_is_no_advice_or_seconds_in_bounds(told: str, now_s: float) -> None:
    seconds = retry.retry_after_s(told, now_s)

    assert seconds is None or 0 <= seconds <= retry.LONGEST_S


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31)), st.floats(0, 86_400))
def test_retry_after_as_a_date_is_the_time_until_that_date(when: datetime, before_s: float) -> None:
    at = when.replace(microsecond=0, tzinfo=UTC)
    seconds = retry.retry_after_s(format_datetime(at, usegmt=True), at.timestamp() - before_s)

    assert seconds is not None
    assert abs(seconds - before_s) < 0.001
