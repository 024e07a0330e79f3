"""What the tries of a request say about each candidate."""

import math

import pytest

from streams.decisions import attempts
from streams.decisions.attempts import Candidate, CascadePolicy, Course, Ledger, Mark
from streams.decisions.retry import LONGEST_S, RetryPolicy
from topics.errors import ConfigurationError
from topics.messages import Try

NOW_MS = 1_769_860_800_000
FIRST, SECOND, THIRD = Candidate("openai", "small"), Candidate("anthropic", "large"), Candidate("openai", "large")
STEADY = CascadePolicy(RetryPolicy(attempts=6, base_s=0.0), dead_key_s=60.0)


def tried(
    candidate: Candidate = FIRST,
    kind: str | None = "provider_unavailable",
    at_ms: int = NOW_MS,
    work_s: float = 0.5,
    retry_after_s: float | None = None,
    probe: bool = False,
) -> Try:
    return Try(
        provider=candidate.provider,
        model=candidate.model,
        kind=kind,
        at_ms=at_ms,
        work_s=work_s,
        retry_after_s=retry_after_s,
        probe=probe,
    )


def read(*tries: Try, policy: CascadePolicy = STEADY, identity: str = "i-1") -> Ledger:
    return attempts.read(policy, Course(identity, (FIRST, SECOND, THIRD), tries))


def test_service_of_a_candidate_is_provider_and_model() -> None:
    assert "openai:small" == FIRST.service


def test_route_without_candidates_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"routes = .*: name at least one provider:model"):
        Course("i-1", ())


def test_request_without_tries_has_an_empty_ledger() -> None:
    assert attempts.NOTHING == read()


def test_ledger_of_nothing_counts_and_forbids_nothing() -> None:
    assert Ledger(0, 0, {}, {}) == read()


def test_candidate_that_was_never_asked_has_neither_failed_nor_to_rest() -> None:
    assert (0, 0, False) == Mark()


def test_key_that_was_refused_is_dead_for_a_minute_unless_told() -> None:
    assert 60.0 == CascadePolicy().dead_key_s


@pytest.mark.parametrize("first", [None, "", "context_too_long"])
def test_try_that_counts_for_nothing_hides_no_later_one(first: str | None) -> None:
    assert 1 == read(tried(kind=first), tried(SECOND)).attempts


@pytest.mark.parametrize(
    ("kinds", "counted"),
    [
        (["provider_unavailable"], 1),
        (["provider_unavailable", "provider_rate_limited", "provider_denied", "worker_error"], 4),
        (["context_too_long"], 0),
        (["provider_timeout", "context_too_long", "provider_timeout"], 2),
        (["provider_timeout", None], 1),
        (["provider_timeout", ""], 1),
    ],
)
def test_attempts_are_all_failed_tries_but_prompts_too_long(kinds: list[str | None], counted: int) -> None:
    assert counted == read(*(tried(kind=kind) for kind in kinds)).attempts


def test_probe_that_failed_is_no_attempt_of_its_request() -> None:
    """Who finds out for all is not the one who pays for it."""
    ledger = read(tried(), tried(probe=True), tried(SECOND, probe=True))

    assert (1, {FIRST: 1, SECOND: 0}) == (ledger.attempts, {who: mark.times for who, mark in ledger.marks.items()})


@pytest.mark.parametrize(("kind", "asked_s"), [("provider_rate_limited", 3.0), ("provider_unavailable", 3.0)])
def test_candidate_rests_after_a_probe_as_after_any_try(kind: str, asked_s: float) -> None:
    marks = [read(tried(kind=kind, retry_after_s=asked_s, probe=probe)).marks[FIRST] for probe in (True, False)]

    assert marks[0] == marks[1]._replace(times=0)


def test_attempts_are_counted_by_candidate_too() -> None:
    marks = read(tried(), tried(SECOND), tried()).marks

    assert {FIRST: 2, SECOND: 1} == {candidate: mark.times for candidate, mark in marks.items()}


@pytest.mark.parametrize(
    ("kind", "asked_s", "rotates"),
    [
        ("provider_rate_limited", None, True),
        ("provider_rate_limited", 3.0, True),
        ("provider_unavailable", None, False),
        ("provider_unavailable", 0.0, False),
        ("provider_unavailable", 3.0, True),
        ("provider_timeout", None, False),
    ],
)
def test_others_are_asked_meanwhile_where_the_rate_is_limited_or_a_time_is_named(
    kind: str, asked_s: float | None, rotates: bool
) -> None:
    assert rotates == read(tried(kind=kind, retry_after_s=asked_s)).marks[FIRST].rotates


@pytest.mark.parametrize(
    ("asked_s", "work_s", "rests_ms"),
    [(None, 0.5, 500), (0.0, 0.5, 500), (2.0, 0.0, 2000), (2.0, 0.5, 2500), (0.0001, 0.5, 501), (math.inf, 0.0, None)],
)
def test_candidate_rests_from_the_end_of_its_try_as_long_as_it_asked(
    asked_s: float | None, work_s: float, rests_ms: int | None
) -> None:
    rests_ms = int(LONGEST_S * 1000) if rests_ms is None else rests_ms

    assert NOW_MS + rests_ms == read(tried(work_s=work_s, retry_after_s=asked_s)).marks[FIRST].until_ms


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_candidate_without_advice_rests_for_the_jitter_of_its_attempt(number: int) -> None:
    policy = CascadePolicy(RetryPolicy.exponential(9, 1.0))
    ledger = read(*(tried(work_s=0.0) for _ in range(number)), policy=policy)
    rests_s = attempts.roll("i-1", number) * 2.0 ** (number - 1)

    assert NOW_MS + attempts.ms(rests_s) == ledger.marks[FIRST].until_ms


def test_longer_of_jitter_and_advice_is_the_rest() -> None:
    policy = CascadePolicy(RetryPolicy.fixed(9, 600.0))
    ledger = read(tried(work_s=0.0, retry_after_s=0.001), policy=policy)

    assert Mark(1, NOW_MS + attempts.ms(attempts.roll("i-1", 1) * 600.0), rotates=False) == ledger.marks[FIRST]


def test_last_try_of_a_candidate_says_how_long_it_rests() -> None:
    ledger = read(tried(retry_after_s=90.0), tried(at_ms=NOW_MS + 1000, work_s=0.0, retry_after_s=2.0))

    assert Mark(2, NOW_MS + 3000, rotates=True) == ledger.marks[FIRST]


@pytest.mark.parametrize(("candidates", "floor"), [([FIRST], 1), ([SECOND], 2), ([SECOND, FIRST], 2), ([THIRD], 3)])
def test_prompt_too_long_leaves_only_candidates_after_it(candidates: list[Candidate], floor: int) -> None:
    assert floor == read(*(tried(candidate, "context_too_long") for candidate in candidates)).floor


def test_prompt_too_long_for_one_that_left_the_route_leaves_all() -> None:
    assert 0 == read(tried(Candidate("echo", "old"), "context_too_long")).floor


def test_prompt_too_long_leaves_no_mark_on_its_candidate() -> None:
    assert {} == read(tried(kind="context_too_long")).marks


def test_refused_key_is_dead_for_its_provider_from_the_end_of_the_try() -> None:
    assert {"openai": NOW_MS + 60_500} == read(tried(kind="provider_denied")).dead


@pytest.mark.parametrize("kind", ["provider_unavailable", "provider_rate_limited", "context_too_long", None])
def test_key_is_alive_after_every_other_end(kind: str | None) -> None:
    assert {} == read(tried(kind=kind)).dead


def test_chance_of_a_wait_is_pinned() -> None:
    """Another draw would let a restarted worker wait for another time than the one before."""
    assert [0.0717, 0.6451, 0.5566] == [round(attempts.roll("a-1", attempt), 4) for attempt in (1, 2, 3)]


@pytest.mark.parametrize("identity", ["", "a", "ü", "\ud800", "a" * 10_000])
def test_chance_of_any_identity_is_in_its_range(identity: str) -> None:
    assert all(0 <= attempts.roll(identity, attempt) < 1 for attempt in range(1, 200))


def test_chances_of_many_requests_are_even() -> None:
    """Of 10,000 each tenth holds its share; 6 standard deviations are 180."""
    tenths = [0] * 10
    for number in range(10_000):
        tenths[int(attempts.roll(f"request {number}", 1) * 10)] += 1

    assert [] == [count for count in tenths if not 820 <= count <= 1180]


@pytest.mark.parametrize(
    ("seconds", "whole"),
    [(0.0, 0), (-1.0, 0), (1.0, 1000), (1.0001, 1001), (0.9999, 1000), (math.inf, int(LONGEST_S * 1000))],
)
def test_seconds_are_whole_milliseconds_never_fewer(seconds: float, whole: int) -> None:
    assert whole == attempts.ms(seconds)
