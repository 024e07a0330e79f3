"""What becomes of a request whose try failed, case by case."""

import pytest

from streams.decisions import retry
from streams.decisions.retry import MAX_RETRY_DELAY, Fault, GiveUp, Park, RetryNow, RetryPolicy
from topics import errors
from topics import provider_errors as providers
from topics.errors import StageFailure

NOW_S = 1_000.0
AUTUMN_1994_S = 784_111_777.0  # the date that RFC 9110 writes in three ways
SOON = RetryPolicy.exponential(3, 1.0)


def limited(retry_after_s: float | None = None) -> providers.ProviderRateLimited:
    return providers.ProviderRateLimited("openai", retry_after_s=retry_after_s)


def fault(error: errors.OrchestratorError | None = None, *, first_s: float = NOW_S) -> Fault:
    return Fault("infer", limited() if error is None else error, first_s)


def decided(
    error: errors.OrchestratorError | None = None,
    *,
    policy: RetryPolicy = SOON,
    attempt: int = 1,
    deadline_s: float | None = None,
    roll: float = 0.5,
    first_s: float = NOW_S,
) -> retry.Decision:
    return retry.decide(policy, fault(error, first_s=first_s), attempt, NOW_S, deadline_s, roll)


@pytest.mark.parametrize(
    ("policy", "waits_s"),
    [
        (RetryPolicy.exponential(9, 1.0), [1.0, 2.0, 4.0, 8.0, 16.0]),
        (RetryPolicy.exponential(9, 0.25), [0.25, 0.5, 1.0, 2.0, 4.0]),
        (RetryPolicy.exponential(9, 200.0), [200.0, 400.0, MAX_RETRY_DELAY, MAX_RETRY_DELAY, MAX_RETRY_DELAY]),
        (RetryPolicy.linear(9, 1.5), [1.5, 3.0, 4.5, 6.0, 7.5]),
        (RetryPolicy.linear(9, 250.0), [250.0, 500.0, MAX_RETRY_DELAY, MAX_RETRY_DELAY, MAX_RETRY_DELAY]),
        (RetryPolicy.fixed(9, 3.0), [3.0] * 5),
        (RetryPolicy.fixed(9, 601.0), [MAX_RETRY_DELAY] * 5),
        (RetryPolicy(base_s=1.0, cap_s=3.0), [1.0, 2.0, 3.0, 3.0, 3.0]),
        (RetryPolicy.exponential(9, 0.0), [0.0] * 5),
    ],
)
def test_delays_of_a_policy_follow_its_documented_sequence(policy: RetryPolicy, waits_s: list[float]) -> None:
    assert waits_s == [policy.delay_for_attempt(attempt) for attempt in range(1, 6)]


@pytest.mark.parametrize("make", [RetryPolicy.exponential, RetryPolicy.linear])
@pytest.mark.parametrize("attempt", [1023, 1024, 1025, 10**6, 10**400])
def test_delay_of_a_late_attempt_is_the_cap(make, attempt: int) -> None:
    assert MAX_RETRY_DELAY == make(3, 1.0).delay_for_attempt(attempt)


@pytest.mark.parametrize("attempt", [0, -1, -(10**6)])
@pytest.mark.parametrize("make", [RetryPolicy.exponential, RetryPolicy.linear, RetryPolicy.fixed])
def test_delay_before_the_first_attempt_is_that_of_the_first(make, attempt: int) -> None:
    assert 2.0 == make(3, 2.0).delay_for_attempt(attempt)


@pytest.mark.parametrize(("doublings", "wait_s"), [(1022, 2.0), (1023, 4.0), (1024, 4.0)])
def test_delay_stops_doubling_where_floats_end(doublings: int, wait_s: float) -> None:
    assert wait_s == RetryPolicy.exponential(3, 2.0**-1021).delay_for_attempt(doublings + 1)


def test_default_policy_is_the_documented_one() -> None:
    tiers_s = (5.0, 30.0, 120.0, 600.0)

    assert RetryPolicy(4, 0.5, "exponential", 600.0, 604_800.0, 5.0, tiers_s) == RetryPolicy()


@pytest.mark.parametrize(
    "knobs",
    [
        {"attempts": 1, "base_s": 0.0, "cap_s": 0.0, "budget_s": 0.0, "in_process_s": 0.0, "tiers_s": (0.001,)},
        {"base_s": retry.LONGEST_S, "cap_s": MAX_RETRY_DELAY, "budget_s": retry.LONGEST_S},
        {"in_process_s": retry.LONGEST_S, "tiers_s": (1.0, retry.LONGEST_S)},
    ],
)
def test_policy_at_the_ends_of_its_ranges_is_taken(knobs: dict[str, object]) -> None:
    assert knobs == {name: getattr(RetryPolicy(**knobs), name) for name in knobs}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attempts", 0),
        ("attempts", -1),
        ("base_s", -0.001),
        ("base_s", float("nan")),
        ("base_s", float("inf")),
        ("cap_s", -1.0),
        ("cap_s", MAX_RETRY_DELAY + 1),
        ("budget_s", -1.0),
        ("budget_s", retry.LONGEST_S + 1),
        ("in_process_s", -1.0),
        ("in_process_s", float("inf")),
        ("tiers_s", ()),
        ("tiers_s", (0.0,)),
        ("tiers_s", (-5.0, 30.0)),
        ("tiers_s", (30.0, 5.0)),
        ("tiers_s", (5.0, 5.0)),
        ("tiers_s", (5.0, float("nan"))),
        ("tiers_s", (5.0, retry.LONGEST_S + 1)),
    ],
)
def test_policy_with_a_knob_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        RetryPolicy(**{field: value})

    assert f"retry.{field}" == raised.value.field


@pytest.mark.parametrize(
    ("knobs", "fix"),
    [
        ({"attempts": 0}, "retry.attempts = 0: set a number from 1 to inf"),
        ({"cap_s": 601.0}, "retry.cap_s = 601.0: set a number from 0 to 600"),
        ({"tiers_s": (2.0, 1.0)}, "retry.tiers_s = (2.0, 1.0): set seconds above 0, in ascending order"),
        ({"tiers_s": ()}, "retry.tiers_s = (): set at least one"),
    ],
)
def test_refused_knob_says_how_to_mend_it(knobs: dict[str, object], fix: str) -> None:
    with pytest.raises(errors.ConfigurationError) as raised:
        RetryPolicy(**knobs)

    assert fix == str(raised.value)


@pytest.mark.parametrize(("attempt", "roll", "wait_s"), [(1, 0.0, 0.0), (1, 0.5, 0.5), (1, 0.99, 0.99), (2, 0.5, 1.0)])
def test_wait_is_the_share_of_the_delay_that_chance_says(attempt: int, roll: float, wait_s: float) -> None:
    assert RetryNow(wait_s) == decided(attempt=attempt, roll=roll)


@pytest.mark.parametrize("attempt", [3, 4, 10**6])
def test_last_attempt_that_fails_is_exhausted(attempt: int) -> None:
    assert "exhausted" == decided(attempt=attempt).reason


def test_policy_of_one_attempt_never_retries() -> None:
    assert "exhausted" == decided(policy=RetryPolicy.exponential(1, 1.0)).reason


def test_exhausted_request_raises_a_stage_failure_with_its_cause() -> None:
    cause = limited()

    with pytest.raises(StageFailure) as raised:
        raise decided(cause, attempt=3).error

    assert ("infer", 3, cause) == (raised.value.stage, raised.value.attempts, raised.value.source)


@pytest.mark.parametrize(
    "error",
    [
        providers.ProviderDenied("openai"),
        providers.ProviderRefused("openai"),
        providers.ProviderMalformed("openai"),
        providers.ContextTooLong("openai"),
        errors.RecordTooLarge("inferred", 2, 1),
    ],
)
@pytest.mark.parametrize("attempt", [1, 2, 3])
def test_error_that_no_try_mends_is_given_up_at_once_as_it_is(error: errors.OrchestratorError, attempt: int) -> None:
    assert GiveUp("permanent", error) == decided(error, attempt=attempt)


@pytest.mark.parametrize("asked_s", [0.6, 1.0, 4.999])
def test_short_retry_after_is_waited_in_process_to_the_full(asked_s: float) -> None:
    assert RetryNow(asked_s) == decided(limited(asked_s))


@pytest.mark.parametrize("asked_s", [None, 0.0, 0.4, 0.5, -3.0, float("nan"), float("-inf")])
def test_retry_after_below_the_own_wait_changes_nothing(asked_s: float | None) -> None:
    assert RetryNow(0.5) == decided(limited(asked_s))


@pytest.mark.parametrize(
    ("asked_s", "tiers"),
    [
        (5.0, (5.0,)),
        (9.99, (5.0,)),
        (30.0, (30.0,)),
        (34.0, (30.0,)),
        (155.0, (120.0, 30.0, 5.0)),
        (600.0, (600.0,)),
        (599.0, (120.0, 120.0, 120.0, 120.0, 30.0, 30.0, 30.0, 5.0, 5.0, 5.0, 5.0, 5.0)),
        (1200.0, (600.0, 600.0)),
    ],
)
def test_long_retry_after_is_parked_in_the_largest_tiers_that_fit(asked_s: float, tiers: tuple[float, ...]) -> None:
    assert Park(tiers, NOW_S + asked_s) == decided(limited(asked_s))


def test_long_wait_of_the_own_policy_is_parked_too() -> None:
    assert Park((30.0,), NOW_S + 32.0) == decided(policy=RetryPolicy.fixed(3, 64.0))


@pytest.mark.parametrize(
    ("policy", "wait_s", "parked"),
    [
        (RetryPolicy(tiers_s=(30.0, 120.0)), 20.0, Park((30.0,), NOW_S + 30.0)),
        (RetryPolicy(tiers_s=(30.0, 120.0)), 34.0, Park((30.0,), NOW_S + 34.0)),
        (RetryPolicy(tiers_s=(30.0, 120.0)), 35.0, Park((30.0, 30.0), NOW_S + 60.0)),
        (RetryPolicy(tiers_s=(30.0, 120.0)), 155.0, Park((120.0, 30.0, 30.0), NOW_S + 180.0)),
        (RetryPolicy(in_process_s=1.0), 2.0, Park((5.0,), NOW_S + 5.0)),
        (RetryPolicy(in_process_s=1.0), 6.0, Park((5.0, 5.0), NOW_S + 10.0)),
        (RetryPolicy(in_process_s=0.0), 0.0, Park((5.0,), NOW_S + 5.0)),
        (RetryPolicy(in_process_s=60.0), 61.0, Park((30.0, 30.0), NOW_S + 61.0)),
        (RetryPolicy(tiers_s=(90.0,), in_process_s=60.0), 61.0, Park((90.0,), NOW_S + 90.0)),
    ],
)
def test_remainder_too_long_to_wait_in_process_is_rounded_up(policy: RetryPolicy, wait_s: float, parked: Park) -> None:
    assert parked == retry.park(policy, NOW_S, NOW_S + wait_s)


@pytest.mark.parametrize(
    ("now_s", "rest"),
    [
        (0.0, Park((30.0, 5.0), 37.0)),
        (30.0, Park((5.0,), 37.0)),
        (30.5, Park((5.0,), 37.0)),
        (32.0, Park((5.0,), 37.0)),
        (32.5, RetryNow(4.5)),
        (35.0, RetryNow(2.0)),
        (37.0, RetryNow(0.0)),
        (99.0, RetryNow(0.0)),
    ],
)
def test_request_back_from_a_tier_waits_for_what_is_left(now_s: float, rest: RetryNow | Park) -> None:
    assert rest == retry.rest(RetryPolicy(), now_s, 37.0)


@pytest.mark.parametrize(
    ("asked_s", "left_s", "reason"),
    [
        (2.0, 2.001, None),
        (2.0, 2.0, "deadline"),
        (2.0, 1.0, "deadline"),
        (30.0, 30.001, None),
        (30.0, 30.0, "deadline"),
        (30.0, 1.0, "deadline"),
        (30.0, -1.0, "deadline"),
        (None, 0.5, "deadline"),
        (None, 0.501, None),
    ],
)
def test_wait_up_to_the_deadline_is_given_up_before_it_begins(
    asked_s: float | None, left_s: float, reason: str | None
) -> None:
    assert reason == getattr(decided(limited(asked_s), deadline_s=NOW_S + left_s), "reason", None)


def test_tier_that_is_longer_than_the_wait_counts_against_the_deadline() -> None:
    policy = RetryPolicy(tiers_s=(30.0,))

    assert "deadline" == decided(limited(20.0), policy=policy, deadline_s=NOW_S + 25.0).reason


@pytest.mark.parametrize(
    ("first_s", "reason"), [(NOW_S, None), (NOW_S - 8.0, None), (NOW_S - 8.001, "budget"), (NOW_S - 60.0, "budget")]
)
def test_time_of_all_tries_together_is_bounded_by_one_budget(first_s: float, reason: str | None) -> None:
    policy = RetryPolicy(budget_s=10.0)

    assert reason == getattr(decided(limited(2.0), policy=policy, first_s=first_s), "reason", None)


@pytest.mark.parametrize("asked_s", [retry.LONGEST_S + 1, float("inf")])
def test_retry_after_without_end_is_given_up(asked_s: float) -> None:
    assert "budget" == decided(limited(asked_s)).reason


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"deadline_s": NOW_S}, "deadline"),
        ({"policy": RetryPolicy(budget_s=0.1)}, "budget"),
        ({"attempt": 3}, "exhausted"),
    ],
)
def test_failure_of_whoever_is_given_up_counts_the_attempts_made(how: dict, reason: str) -> None:
    given_up = decided(limited(2.0), **how)

    assert (reason, how.get("attempt", 1)) == (given_up.reason, given_up.error.attempts)


@pytest.mark.parametrize(
    ("error", "how", "reason"),
    [
        (providers.ProviderDenied("openai"), {"attempt": 3, "deadline_s": NOW_S}, "permanent"),
        (limited(30.0), {"attempt": 3, "deadline_s": NOW_S}, "exhausted"),
        (limited(30.0), {"deadline_s": NOW_S, "policy": RetryPolicy(budget_s=1.0)}, "budget"),
    ],
)
def test_first_reason_that_holds_is_the_one_told(error: errors.OrchestratorError, how: dict, reason: str) -> None:
    assert reason == decided(error, **how).reason


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("0", 0.0), ("30", 30.0), ("007", 7.0), ("1.5", 1.5), (str(10**9), retry.LONGEST_S), ("9" * 300, retry.LONGEST_S)],
)
def test_retry_after_in_seconds_is_read_up_to_the_longest_life(told: str, seconds: float) -> None:
    assert seconds == retry.retry_after_s(told, NOW_S)


@pytest.mark.parametrize(
    "told",
    [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
        "Sun, 06 Nov 1994 10:49:37 +0200",
        "Sun, 06 Nov 1994 08:49:37 -0000",
    ],
)
@pytest.mark.parametrize(("before_s", "seconds"), [(90.0, 90.0), (0.25, 0.25), (0.0, 0.0), (-5.0, 0.0)])
def test_retry_after_as_a_date_counts_from_now(told: str, before_s: float, seconds: float) -> None:
    assert seconds == retry.retry_after_s(told, AUTUMN_1994_S - before_s)


def test_retry_after_as_a_far_date_is_cut_to_the_longest_life() -> None:
    assert retry.LONGEST_S == retry.retry_after_s("Fri, 31 Dec 9999 23:59:59 GMT", NOW_S)


@pytest.mark.parametrize(
    "told",
    [
        *("", " ", "soon", "-5", "+5", "1e3", "1_000", "nan", "inf", "٣", "5 s", ".5", "5.", "9" * 301),
        *("Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:61:61 GMT"),
        *("Sun, 06 Nov 1994 08:49:37 +99999999999", "Sun,", "\x00"),
    ],
)
def test_retry_after_that_is_neither_number_nor_date_is_no_advice(told: str) -> None:
    assert retry.retry_after_s(told, NOW_S) is None
