"""Whom the cascade asks next, case by case; the first of each route is the one that was wanted."""

import pytest

from streams.decisions import cascade
from streams.decisions.breaker import Closed, Open, Probe, Verdict
from streams.decisions.cascade import Ask, Candidate, CascadePolicy, Choice, Course, Nobody, Sight, Wait
from streams.decisions.retry import LONGEST_S, RetryPolicy
from topics import provider_errors as errors
from topics.errors import OrchestratorError, RecordTooLarge, StageFailure
from topics.messages import Try

NOW_MS = 1_769_860_800_000
A, B, C = Candidate("openai", "small"), Candidate("anthropic", "large"), Candidate("openai", "large")
ASLEEP, DUE = Open(NOW_MS - 9_000, NOW_MS + 7_000), Open(NOW_MS - 9_000, NOW_MS)
FOUR = CascadePolicy(RetryPolicy(attempts=4, base_s=2.0), dead_key_s=60.0)
LIMITED, DENIED, DOWN, LONG = (
    errors.ProviderRateLimited,
    errors.ProviderDenied,
    errors.ProviderUnavailable,
    errors.ContextTooLong,
)
Failed = tuple[Candidate, type[errors.ProviderError]]


class Case:
    """A request whose tries all ended just now, and what its process knows."""

    def __init__(
        self,
        *failed: Failed,
        route: cascade.Route = (A, B),
        policy: CascadePolicy = FOUR,
        retry_after_s: float | None = None,
        left_ms: int | None = None,
        shut: dict[str, int] | None = None,
        began_ms: int = NOW_MS,
        first_ms: int | None = None,
        probe: bool = False,
        **said: Verdict,
    ) -> None:
        tries = [
            Try(provider=who.provider, model=who.model, kind=fault.kind, at_ms=began_ms, retry_after_s=retry_after_s)
            for who, fault in failed
        ]
        tries[:1] = [made.model_copy(update={"at_ms": first_ms or made.at_ms}) for made in tries[:1]]
        tries[-1:] = [made.model_copy(update={"probe": probe}) for made in tries[-1:]]
        deadline_ms = None if left_ms is None else NOW_MS + left_ms
        self.policy, self.course = policy, Course("i-1", route, tuple(tries), deadline_ms)
        self.said = {
            candidate.service: said.get(name, Closed(1)) for name, candidate in {"a": A, "b": B, "c": C}.items()
        }
        self.sight = Sight(NOW_MS, self.verdict, {name: NOW_MS + ms for name, ms in (shut or {}).items()})
        self.error = failed[-1][1](failed[-1][0].provider, retry_after_s=retry_after_s) if failed else None
        self.asked: list[str] = []

    def verdict(self, service: str) -> Verdict:
        self.asked.append(service)
        return self.said.get(service, Closed(1))

    def choose(self) -> Choice:
        return cascade.choose(self.policy, self.course, self.sight)

    def after(self, error: OrchestratorError | None = None) -> Choice:
        return cascade.after(self.policy, self.course, self.sight, error or self.error)

    def rests_ms(self, attempt: int) -> int:
        """How long the jitter of that attempt is."""
        seconds = cascade.roll("i-1", attempt) * self.policy.retry.delay_for_attempt(attempt)
        return -int(-seconds * 1000 // 1)


@pytest.mark.parametrize(
    ("said", "chosen"),
    [
        ({}, Ask(A, 1)),
        ({"a": Closed(5)}, Ask(A, 5)),
        ({"a": Probe(5)}, Ask(A, 5, probe=True)),
        ({"a": ASLEEP}, Ask(B, 1)),
        ({"a": DUE}, Ask(B, 1)),
        ({"a": ASLEEP, "b": Probe(3)}, Ask(B, 3, probe=True)),
    ],
)
def test_new_request_asks_the_first_whose_breaker_lets(said: dict[str, Verdict], chosen: Ask) -> None:
    assert chosen == Case(**said).choose()


@pytest.mark.parametrize(
    ("said", "wait"),
    [
        ({"a": ASLEEP, "b": Open(1, NOW_MS + 9_000)}, Wait(NOW_MS + 7_000, "breaker-open", A.service, NOW_MS - 9_000)),
        ({"a": ASLEEP, "b": Open(1, NOW_MS + 100)}, Wait(NOW_MS + 100, "breaker-open", B.service, 1)),
        ({"a": DUE, "b": ASLEEP}, Wait(NOW_MS + 1_000, "breaker-open", A.service, NOW_MS - 9_000, due=True)),
        ({"a": Open(1, NOW_MS - 5), "b": ASLEEP}, Wait(NOW_MS + 1_000, "breaker-open", A.service, 1, due=True)),
        ({"a": DUE, "b": Open(1, NOW_MS + 1)}, Wait(NOW_MS + 1, "breaker-open", B.service, 1)),
    ],
)
def test_request_with_all_breakers_open_waits_for_the_soonest(said: dict[str, Verdict], wait: Wait) -> None:
    """B41: it is told since when."""
    assert wait == Case(**said).choose()


@pytest.mark.parametrize(
    ("left_ms", "until_ms"), [(None, 7_000), (9_000, 7_000), (7_000, 7_000), (6_999, 6_999), (1, 1)]
)
def test_wait_for_a_breaker_ends_at_the_deadline(left_ms: int | None, until_ms: int) -> None:
    assert NOW_MS + until_ms == Case(a=ASLEEP, b=ASLEEP, left_ms=left_ms).choose().until_ms


def test_breakers_after_the_chosen_one_are_not_asked() -> None:
    """Their probe would be lost."""
    case = Case(b=Probe(1))
    case.choose()

    assert [A.service] == case.asked


@pytest.mark.parametrize(
    ("shut", "chosen"),
    [
        ({"openai": 5_000}, Ask(B, 1)),
        ({A.service: 5_000}, Ask(B, 1)),
        ({C.service: 5_000}, Ask(A, 1)),
        ({"openai": 0}, Ask(A, 1)),
        ({"openai": 5_000, "anthropic": 4_000}, Wait(NOW_MS + 4_000, "key-dead", B.service)),
        ({"openai": 5_000, B.service: 4_000}, Wait(NOW_MS + 4_000, "service-limited", B.service)),
        ({"openai": 3_000, B.service: 4_000}, Wait(NOW_MS + 3_000, "key-dead", A.service)),
    ],
)
def test_request_keeps_from_what_others_found_shut(shut: dict[str, int], chosen: Choice) -> None:
    assert chosen == Case(shut=shut).choose()


def test_breaker_of_a_shut_service_is_not_asked() -> None:
    case = Case(shut={"openai": 5_000}, a=Probe(1))
    case.choose()

    assert [B.service] == case.asked


def test_limited_rate_goes_to_the_next_candidate_at_once() -> None:
    assert Ask(B, 1) == Case((A, LIMITED), retry_after_s=30.0).after()


def test_limited_rate_everywhere_waits_for_the_first_to_allow() -> None:
    assert (
        Wait(NOW_MS + 30_000, "rate-limited", A.service) == Case((A, LIMITED), (B, LIMITED), retry_after_s=30.0).after()
    )


def test_limited_candidate_is_asked_again_when_its_time_is_over() -> None:
    case = Case((A, LIMITED), (B, LIMITED), retry_after_s=30.0, began_ms=NOW_MS - 30_000)

    assert Ask(A, 1) == case.choose()


def test_failed_candidate_keeps_its_turn_while_it_backs_off() -> None:
    case = Case((A, DOWN))

    assert Wait(NOW_MS + case.rests_ms(1), "backing-off", A.service) == case.after()


def test_failed_candidate_is_asked_again_after_its_wait() -> None:
    assert Ask(A, 1) == Case((A, DOWN), began_ms=NOW_MS - 2_000).choose()


def test_failed_candidate_whose_breaker_opened_gives_way_at_once() -> None:
    assert Ask(B, 1) == Case((A, DOWN), a=ASLEEP).after()


def test_failed_candidate_that_is_granted_the_probe_makes_it_at_once() -> None:
    """The grant is worth more than the jitter."""
    assert Ask(A, 4, probe=True) == Case((A, DOWN), a=Probe(4)).after()


def test_failed_candidate_that_named_a_time_gives_way_at_once() -> None:
    assert Ask(B, 1) == Case((A, DOWN), retry_after_s=30.0).after()


def test_candidate_that_had_its_share_of_the_attempts_gives_way_at_once() -> None:
    assert Ask(B, 1) == Case((A, DOWN), (A, DOWN)).after()


def test_share_of_the_attempts_is_rounded_up() -> None:
    case = Case((A, DOWN), route=(A, B, C))

    assert Wait(NOW_MS + case.rests_ms(1), "backing-off", A.service) == case.after()


def test_candidate_that_had_more_than_its_share_comes_last() -> None:
    assert Ask(B, 1) == Case(*[(A, DOWN)] * 3, began_ms=NOW_MS - 60_000).choose()


@pytest.mark.parametrize("order", [(A, A, B, B), (B, B, A, A)])
def test_candidates_that_all_had_their_share_are_waited_for_together(order: tuple[Candidate, ...]) -> None:
    case = Case(*((who, DOWN) for who in order))

    assert NOW_MS + min(case.rests_ms(2), case.rests_ms(4)) == case.choose().until_ms


def test_candidates_that_had_their_share_come_last_in_order() -> None:
    case = Case((A, DOWN), (A, DOWN), route=(A, B, C), b=ASLEEP, began_ms=NOW_MS - 60_000)

    assert Ask(C, 1) == case.choose()


def test_candidate_beyond_its_share_is_asked_where_nobody_else_can_be() -> None:
    assert Ask(A, 1) == Case((A, DOWN), (A, DOWN), b=ASLEEP, began_ms=NOW_MS - 60_000).choose()


def test_whole_route_has_its_turns_before_the_attempts_are_over() -> None:
    """Where one provider is down for good and no breaker has noticed, the next one answers."""
    case, asked = Case(), list[Candidate]()
    for _ in range(4):
        choice = Case(*((who, DOWN) for who in asked), began_ms=NOW_MS - 60_000).choose()
        asked.append(choice.candidate)

    assert [A, A, B, B] == asked
    assert case.policy.retry.attempts == len(asked)


def test_refused_key_passes_over_all_candidates_of_its_provider() -> None:
    assert Ask(B, 1) == Case((A, DENIED), route=(A, C, B)).after()


def test_refused_key_without_another_provider_is_final() -> None:
    """B46."""
    case = Case((A, DENIED), route=(A, C))

    assert Nobody("permanent", case.error) == case.after()


def test_refused_keys_of_all_providers_are_final() -> None:
    case = Case((A, DENIED), (B, DENIED))

    assert Nobody("permanent", case.error) == case.after()


def test_refused_key_beside_a_resting_candidate_waits_for_that() -> None:
    case = Case((B, LIMITED), (A, DENIED), retry_after_s=30.0)

    assert Wait(NOW_MS + 30_000, "rate-limited", B.service) == case.after()


@pytest.mark.parametrize(
    ("began_ms", "chosen"), [(60_000, Ask(A, 1)), (59_999, Wait(NOW_MS + 1, "key-dead", A.service))]
)
def test_refused_key_of_a_spared_request_is_tried_again_after_its_time(began_ms: int, chosen: Choice) -> None:
    assert chosen == Case((A, DENIED), route=(A,), began_ms=NOW_MS - began_ms).choose()


def test_prompt_too_long_goes_to_the_next_candidate_at_once() -> None:
    assert Ask(B, 1) == Case((A, LONG)).after()


def test_prompt_too_long_is_no_attempt() -> None:
    assert Ask(B, 1) == Case((A, LONG), policy=CascadePolicy(RetryPolicy(attempts=1))).after()


def test_prompt_too_long_never_goes_back_in_the_route() -> None:
    case = Case((B, LONG), a=Closed(1))

    assert Nobody("permanent", case.error) == case.after()


def test_prompt_too_long_for_the_last_is_final_after_a_restart_too() -> None:
    found = Case((A, LONG), (B, LONG)).choose()

    assert ("permanent", "context_too_long", "anthropic") == (found.reason, found.error.kind, found.error.provider)


@pytest.mark.parametrize(
    "error",
    [
        errors.ProviderRefused("openai", status=400),
        errors.ProviderNotFound("openai", status=404),
        errors.ProviderMalformed("openai"),
        errors.WorkerError("echo", "content_filter", retryable=False),
        RecordTooLarge("inferred", 2, 1),
    ],
)
def test_fault_of_the_request_is_final_whoever_is_left(error: OrchestratorError) -> None:
    """B46."""
    assert Nobody("permanent", error) == Case((A, errors.ProviderRefused)).after(error)


@pytest.mark.parametrize(
    ("failed", "attempts", "made"),
    [([(A, DOWN)], 1, 1), ([(A, DOWN), (B, LIMITED)], 2, 2), ([(A, LONG), (B, DOWN)], 1, 1), ([(A, DENIED)], 1, 1)],
)
def test_last_attempt_of_the_route_gives_up_with_its_cause(failed: list[Failed], attempts: int, made: int) -> None:
    """B45, B51: the candidates have their attempts together."""
    case = Case(*failed, policy=CascadePolicy(RetryPolicy(attempts=attempts)))
    found = case.after()

    assert ("exhausted", "infer", made, case.error) == (
        found.reason,
        found.error.stage,
        found.error.attempts,
        found.error.source,
    )


def test_attempts_above_the_most_are_over_though_the_last_fault_is_no_candidates() -> None:
    found = Case(*[(A, DOWN)] * 4, (A, DENIED)).after()

    assert ("exhausted", 5) == (found.reason, found.error.attempts)


def test_probe_that_failed_ends_no_request() -> None:
    """B41: whoever finds out for all is not buried for it."""
    case = Case(*[(A, DOWN)] * 4, route=(A,), probe=True, a=ASLEEP)

    assert Wait(NOW_MS + 7_000, "breaker-open", A.service, NOW_MS - 9_000) == case.after()


@pytest.mark.parametrize(("left_ms", "reason"), [(30_001, None), (30_000, "deadline"), (5_000, "deadline")])
def test_wait_up_to_the_deadline_is_given_up_before_it_begins(left_ms: int, reason: str | None) -> None:
    """B48."""
    case = Case((A, LIMITED), route=(A,), retry_after_s=30.0, left_ms=left_ms)

    assert reason == getattr(case.after(), "reason", None)


def test_deadline_before_one_may_be_asked_leaves_the_others() -> None:
    assert Ask(B, 1) == Case((A, LIMITED), retry_after_s=30.0, left_ms=5_000).after()


def test_deadline_before_a_breaker_recovers_gives_nobody_up() -> None:
    """B41."""
    case = Case((A, LIMITED), retry_after_s=30.0, left_ms=5_000, b=ASLEEP)

    assert Wait(NOW_MS + 5_000, "breaker-open", B.service, NOW_MS - 9_000) == case.after()


@pytest.mark.parametrize(("left_ms", "reason"), [(30_001, None), (30_000, "deadline")])
def test_rest_of_another_candidate_must_end_before_the_deadline(left_ms: int, reason: str | None) -> None:
    case = Case((B, LIMITED), (A, DENIED), retry_after_s=30.0, left_ms=left_ms)

    assert reason == getattr(case.after(), "reason", None)


def test_deadline_before_all_that_rest_gives_up() -> None:
    case = Case((A, LIMITED), (B, LIMITED), retry_after_s=30.0, left_ms=5_000)

    assert "deadline" == case.after().reason


def test_prompt_too_long_beside_a_candidate_that_rests_too_long_gives_up() -> None:
    case = Case((C, LIMITED), (A, LONG), route=(A, C), retry_after_s=30.0, left_ms=5_000)

    assert "deadline" == case.after().reason


def test_prompt_too_long_beside_a_candidate_that_rests_above_the_budget_is_told_so() -> None:
    """A deadline that is far away is not the reason."""
    policy = CascadePolicy(RetryPolicy(attempts=4, budget_s=10.0))
    case = Case((C, LIMITED), (A, LONG), route=(A, C), policy=policy, retry_after_s=30.0, left_ms=600_000)

    assert "budget" == case.after().reason


@pytest.mark.parametrize(
    ("budget_s", "retry_after_s", "reason"),
    [(60.0, 30.0, None), (29.9, 30.0, "budget"), (0.0, None, "budget"), (LONGEST_S, 30.0, None)],
)
def test_wait_of_its_own_above_the_budget_is_given_up(
    budget_s: float, retry_after_s: float | None, reason: str | None
) -> None:
    policy = CascadePolicy(RetryPolicy(attempts=4, base_s=2.0, budget_s=budget_s))
    case = Case((A, LIMITED), route=(A,), policy=policy, retry_after_s=retry_after_s)

    assert reason == getattr(case.after(), "reason", None)


@pytest.mark.parametrize("fault", [DOWN, LIMITED, DENIED, LONG])
def test_budget_that_is_over_asks_nobody_else(fault: type[errors.ProviderError]) -> None:
    policy = CascadePolicy(RetryPolicy(attempts=4, budget_s=10.0))

    assert "budget" == Case((A, fault), policy=policy, began_ms=NOW_MS - 10_001).after().reason


@pytest.mark.parametrize(
    ("first_ms", "retry_after_s", "reason"),
    [(8_500, 1.0, None), (8_500, 1.4, None), (8_500, 1.6, "budget"), (500, 9.0, None), (500, 9.6, "budget")],
)
def test_budget_counts_from_the_first_try_to_the_end_of_the_next_wait(
    first_ms: int, retry_after_s: float, reason: str | None
) -> None:
    policy = CascadePolicy(RetryPolicy(attempts=4, base_s=0.0, budget_s=10.0))
    case = Case(
        (A, DOWN), (A, DOWN), route=(A,), policy=policy, retry_after_s=retry_after_s, first_ms=NOW_MS - first_ms
    )

    assert reason == getattr(case.after(), "reason", None)


@pytest.mark.parametrize(("first_ms", "reason"), [(10_000, None), (10_001, "budget")])
def test_budget_that_is_just_used_up_leaves_the_others(first_ms: int, reason: str | None) -> None:
    policy = CascadePolicy(RetryPolicy(attempts=4, budget_s=10.0))
    case = Case((A, DOWN), (A, DENIED), policy=policy, first_ms=NOW_MS - first_ms)

    assert reason == getattr(case.after(), "reason", None)


def test_wait_is_for_a_breaker_that_is_due_only_where_that_is_told() -> None:
    assert Wait(NOW_MS, "key-dead", A.service).due is False


def test_budget_above_one_candidate_leaves_the_others() -> None:
    policy = CascadePolicy(RetryPolicy(attempts=4, budget_s=10.0))

    assert Ask(B, 1) == Case((A, LIMITED), policy=policy, retry_after_s=30.0).after()


@pytest.mark.parametrize("failed", [[(A, DOWN)] * 4, [(A, LIMITED), (B, DOWN), (A, DOWN), (B, DOWN)]])
def test_spared_request_has_another_try_on_its_return(failed: list[Failed]) -> None:
    """Attempts are looked at after a try, so that what a flood guard held back is not lost."""
    case = Case(*failed, began_ms=NOW_MS - 600_000)

    assert isinstance(case.choose(), Ask)


def test_try_of_a_candidate_that_left_the_route_counts_as_an_attempt() -> None:
    case = Case((C, DOWN), (C, DOWN), (C, DOWN), (C, DOWN))

    assert "exhausted" == case.after().reason


@pytest.mark.parametrize(
    ("error", "closes"),
    [
        (DENIED("openai"), ("openai", NOW_MS + 60_000)),
        (LIMITED("openai", retry_after_s=3.0), (A.service, NOW_MS + 3_000)),
        (LIMITED("openai", retry_after_s=0.0), None),
        (LIMITED("openai"), None),
        (DOWN("openai", retry_after_s=3.0), None),
        (LONG("openai"), None),
        (LONG("openai", retry_after_s=3.0), None),
        (TimeoutError(), None),
    ],
)
def test_failed_try_closes_to_others_what_it_would_cost_them_too(
    error: BaseException, closes: tuple[str, int] | None
) -> None:
    assert closes == cascade.shut(FOUR, A, error, NOW_MS)


@pytest.mark.parametrize(
    ("model", "route"), [("default", (A, B)), ("small", (Candidate("echo", "small"),)), ("", (Candidate("echo", ""),))]
)
def test_model_without_a_route_is_one_candidate_of_the_configured_kind(model: str, route: cascade.Route) -> None:
    assert route == cascade.route_of({"default": (A, B)}, model, "echo")


def test_failure_that_ends_a_request_is_worth_sending_again_where_its_source_is() -> None:
    case = Case((A, DOWN), policy=CascadePolicy(RetryPolicy(attempts=1)))
    error = case.after().error

    assert (StageFailure, True) == (type(error), error.retryable)
