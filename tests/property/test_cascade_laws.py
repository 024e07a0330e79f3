"""Laws of the cascade: who must not be asked never is, the route's order holds, and every request comes to an end."""

from dataclasses import replace

from hypothesis import assume, example, given
from hypothesis import strategies as st

from streams.decisions import attempts, cascade, retry
from streams.decisions.breaker import Closed, Open, Probe, Verdict
from streams.decisions.cascade import Ask, Candidate, CascadePolicy, Choice, Course, Nobody, Sight, Wait
from streams.decisions.retry import RetryPolicy
from topics import provider_errors as errors
from topics.errors import StageFailure
from topics.messages import Try

START_MS = 1_769_860_800_000
CANDIDATES = tuple(Candidate(provider, model) for provider in ("openai", "anthropic") for model in ("s", "m", "l"))
ROUTES = st.lists(st.sampled_from(CANDIDATES), min_size=1, max_size=5, unique=True).map(tuple)
FAULTS = (
    errors.ProviderRateLimited,
    errors.ProviderDenied,
    errors.ProviderUnavailable,
    errors.ProviderTimeout,
    errors.ProviderEmpty,
    errors.ContextTooLong,
)
ANY = st.sampled_from(FAULTS)
MENDED = st.sampled_from([fault for fault in FAULTS if fault.retryable])
POLICIES = st.builds(
    CascadePolicy,
    retry=st.builds(
        RetryPolicy,
        attempts=st.integers(1, 6),
        base_s=st.floats(0, 20),
        growth=st.sampled_from(["exponential", "linear", "fixed"]),
        budget_s=st.sampled_from([0.0, 1.0, 60.0, retry.LONGEST_S]),
    ),
    dead_key_s=st.floats(0, 100),
)
PATIENT = st.just(CascadePolicy(RetryPolicy(attempts=9, base_s=5.0)))
BUSY = st.floats(0, 30).map(lambda budget_s: CascadePolicy(RetryPolicy(attempts=9, base_s=5.0, budget_s=budget_s)))
ASKED = st.none() | st.floats(0, 120)
LEFT = st.none() | st.integers(1, 200_000)
VERDICTS = st.one_of(
    st.builds(Closed, st.integers(0, 3)),
    st.builds(Probe, st.integers(0, 3)),
    st.builds(Open, st.just(START_MS), st.integers(START_MS - 1000, START_MS + 200_000)),
)


SAID = st.dictionaries(st.sampled_from([candidate.service for candidate in CANDIDATES]), VERDICTS)


def unbounded(policy: CascadePolicy) -> CascadePolicy:
    return replace(policy, retry=replace(policy.retry, budget_s=retry.LONGEST_S))


class Flow:
    """One request through its route, call by call, as ``infer`` takes it."""

    def __init__(
        self,
        policy: CascadePolicy,
        route: cascade.Route,
        faults: list[tuple[type[errors.ProviderError], float | None]],
        said: dict[str, Verdict],
        left_ms: int | None = None,
    ) -> None:
        self.policy, self.said, self.asked = policy, said, list[str]()
        self.course = Course("i-1", route, (), None if left_ms is None else START_MS + left_ms)
        self.now_ms, self.faults = START_MS, faults
        self.choices: list[Choice] = []

    def sight(self) -> Sight:
        self.asked.clear()
        return Sight(self.now_ms, self.verdict)

    def verdict(self, service: str) -> Verdict:
        self.asked.append(service)
        return self.said.get(service, Closed(0))

    def run(self) -> "Flow":
        """All tries fail with the next of the faults; ends with the faults, at the deadline, or with nobody left."""
        choice = cascade.choose(self.policy, self.course, self.sight())
        faults = iter(self.faults)
        while True:
            self.choices.append(choice)
            match choice:
                case Nobody():
                    return self
                case Wait(until_ms) if until_ms > START_MS + 400_000:
                    return self
                case Wait(until_ms):
                    self.now_ms = until_ms
                    if until_ms == self.course.deadline_ms:
                        return self
                    choice = cascade.choose(self.policy, self.course, self.sight())
                case Ask(candidate):
                    fault, asked_s = next(faults, (None, None))
                    if fault is None:
                        return self
                    error = fault(candidate.provider, retry_after_s=asked_s)
                    self.failed(candidate, error, 1.0)
                    choice = cascade.after(self.policy, self.course, self.sight(), error)

    def failed(self, candidate: Candidate, error: errors.ProviderError, work_s: float) -> None:
        made = Try(
            provider=candidate.provider,
            model=candidate.model,
            kind=error.kind,
            at_ms=self.now_ms,
            work_s=work_s,
            retry_after_s=error.retry_after_s,
        )
        self.now_ms += attempts.ms(work_s)
        self.course = replace(self.course, tries=(*self.course.tries, made))

    @property
    def calls(self) -> list[tuple[Candidate, Try]]:
        return [(Candidate(made.provider, made.model), made) for made in self.course.tries]


def flows(
    policies: st.SearchStrategy[CascadePolicy] = POLICIES,
    faults: st.SearchStrategy[type[errors.ProviderError]] = ANY,
    least: int = 0,
    left_ms: st.SearchStrategy[int | None] = LEFT,
    said: st.SearchStrategy[dict[str, Verdict]] = SAID,
) -> st.SearchStrategy[Flow]:
    failures = st.lists(st.tuples(faults, ASKED), min_size=least, max_size=8)
    return st.builds(Flow, policies, ROUTES, failures, said, left_ms).map(Flow.run)


FLOWS = flows()
COUNTED = frozenset(fault.kind for fault in FAULTS) - {errors.ContextTooLong.kind}


def end_ms(made: Try) -> int:
    return made.at_ms + attempts.ms(made.work_s)


@given(FLOWS)
def test_candidate_is_asked_only_where_its_breaker_lets(flow: Flow) -> None:
    """An open breaker is never passed, and a probe is told as one."""
    asked = [choice for choice in flow.choices if isinstance(choice, Ask)]
    said = [flow.said.get(choice.candidate.service, Closed(0)) for choice in asked]

    assert [] == [verdict for verdict in said if isinstance(verdict, Open)]
    assert [isinstance(verdict, Probe) for verdict in said] == [choice.probe for choice in asked]


@given(FLOWS)
def test_key_that_was_refused_is_not_used_again_before_its_time(flow: Flow) -> None:
    dead_ms = attempts.ms(flow.policy.dead_key_s)
    early = [
        later
        for number, (candidate, made) in enumerate(flow.calls)
        for other, later in flow.calls[number + 1 :]
        if made.kind == "provider_denied" and other.provider == candidate.provider
        if later.at_ms < end_ms(made) + dead_ms
    ]

    assert [] == early


@given(FLOWS)
def test_candidate_that_asked_for_time_is_not_asked_before_it_is_over(flow: Flow) -> None:
    """B47, whatever becomes of the other candidates meanwhile."""
    early = [
        later
        for number, (candidate, made) in enumerate(flow.calls)
        for other, later in flow.calls[number + 1 :]
        if made.kind != "context_too_long" and other == candidate
        if later.at_ms < end_ms(made) + (made.retry_after_s or 0) * 1000
    ]

    assert [] == early


@given(FLOWS)
def test_prompt_too_long_for_one_is_sent_to_later_candidates_only(flow: Flow) -> None:
    route = flow.course.route
    back = [
        other
        for number, (candidate, made) in enumerate(flow.calls)
        for other, _ in flow.calls[number + 1 :]
        if made.kind == "context_too_long" and route.index(other) <= route.index(candidate)
    ]

    assert [] == back


@given(FLOWS)
def test_calls_of_a_request_are_no_more_than_its_attempts(flow: Flow) -> None:
    """Prompts too long are no attempts, and each of them moves on in the route."""
    counted = sum(made.kind in COUNTED for _, made in flow.calls)

    assert counted <= flow.policy.retry.attempts
    assert len(flow.calls) - counted <= len(flow.course.route)


def given_up(flow: Flow, reason: retry.Reason) -> Nobody:
    """The end of a flow; only of those that were given up for that reason."""
    ended = flow.choices[-1]
    assume(isinstance(ended, Nobody) and ended.reason == reason)
    return ended


@given(flows(POLICIES.map(unbounded), MENDED, 7, st.none(), st.just({})))
def test_request_is_exhausted_exactly_at_its_last_attempt(flow: Flow) -> None:
    ended = given_up(flow, "exhausted")

    assert flow.policy.retry.attempts == sum(made.kind in COUNTED for _, made in flow.calls) == ended.error.attempts


@given(flows(PATIENT, st.sampled_from([errors.ProviderDenied, errors.ContextTooLong]), 5, st.none(), st.just({})))
def test_request_ends_for_good_only_when_each_candidate_left_refuses_it(flow: Flow) -> None:
    given_up(flow, "permanent")
    route, long = flow.course.route, [who for who, made in flow.calls if made.kind == "context_too_long"]
    floor = max((route.index(candidate) + 1 for candidate in long), default=0)
    refused = {who.provider for who, made in flow.calls if made.kind == "provider_denied"}

    assert {candidate.provider for candidate in route[floor:]} <= refused


@given(flows(PATIENT, MENDED, 5, st.integers(2_000, 30_000), st.just({})))
def test_request_given_up_for_its_deadline_had_nobody_to_ask_before(flow: Flow) -> None:
    given_up(flow, "deadline")
    assume(flow.now_ms < flow.course.deadline_ms)
    later = cascade.choose(flow.policy, flow.course, flow.sight())

    assert isinstance(later, Wait)
    assert later.until_ms == flow.course.deadline_ms


@given(flows(BUSY, MENDED, 5, st.none(), st.just({})))
def test_request_given_up_for_its_budget_could_not_be_asked_within(flow: Flow) -> None:
    given_up(flow, "budget")
    later = cascade.choose(flow.policy, flow.course, flow.sight())
    start_ms = later.until_ms if isinstance(later, Wait) else flow.now_ms

    assert start_ms - flow.course.tries[0].at_ms > flow.policy.retry.budget_s * 1000


@given(FLOWS)
def test_request_that_no_call_was_made_for_is_never_given_up(flow: Flow) -> None:
    """B41: open breakers alone end nothing."""
    assert flow.calls or not isinstance(flow.choices[-1], Nobody)


@given(FLOWS)
def test_wait_goes_forward_and_never_past_the_deadline(flow: Flow) -> None:
    until = [choice.until_ms for choice in flow.choices if isinstance(choice, Wait)]

    assert sorted(until) == until
    assert all(flow.course.deadline_ms is None or until_ms <= flow.course.deadline_ms for until_ms in until)


@given(FLOWS)
def test_ledger_that_was_written_and_read_chooses_the_same(flow: Flow) -> None:
    """B50: nothing but the tries has to survive a restart."""
    tries = tuple(Try.model_validate_json(made.model_dump_json()) for made in flow.course.tries)
    here, there = flow.course, replace(flow.course, tries=tries)

    assert repr(cascade.choose(flow.policy, here, flow.sight())) == repr(
        cascade.choose(flow.policy, there, flow.sight())
    )


@given(FLOWS)
def test_breaker_is_asked_in_order_and_of_nobody_after_the_chosen(flow: Flow) -> None:
    """A probe that was granted to this request is used by it."""
    choice = cascade.choose(flow.policy, flow.course, flow.sight())
    granted = [service for service in flow.asked if isinstance(flow.said.get(service), Probe)]

    assert granted == [choice.candidate.service] if isinstance(choice, Ask) and choice.probe else not granted


@given(POLICIES, ROUTES, SAID)
def test_first_call_goes_to_the_first_candidate_that_is_not_open(
    policy: CascadePolicy, route: cascade.Route, said: dict[str, Verdict]
) -> None:
    choice = cascade.choose(policy, Course("i", route), Flow(policy, route, [], said).sight())
    free = [candidate for candidate in route if not isinstance(said.get(candidate.service), Open)]

    assert (free or [None])[0] == getattr(choice, "candidate", None)


@given(
    POLICIES,
    ROUTES,
    st.lists(st.integers(START_MS + 1, START_MS + 500_000), min_size=5, max_size=5),
    st.integers(START_MS + 1, START_MS + 500_000),
)
def test_wait_with_all_breakers_open_is_until_the_soonest_or_the_deadline(
    policy: CascadePolicy, route: cascade.Route, until: list[int], deadline_ms: int
) -> None:
    said = {one.service: Open(START_MS, until_ms) for one, until_ms in zip(route, until, strict=False)}
    choice = cascade.choose(policy, Course("i", route, (), deadline_ms), Sight(START_MS, said.__getitem__))

    assert min(deadline_ms, *(said[one.service].until_ms for one in route)) == choice.until_ms


@given(POLICIES, MENDED, ASKED, st.integers(1, 6), LEFT, st.floats(0, 5))
@example(CascadePolicy(), errors.ProviderUnavailable, None, 3, 1000, 0.0)
def test_route_of_one_is_judged_as_the_retry_rule_judges(
    policy: CascadePolicy,
    fault: type[errors.ProviderError],
    asked_s: float | None,
    number: int,
    left_ms: int | None,
    work_s: float,
) -> None:
    """The cascade adds nothing where there is nobody else."""
    flow = Flow(policy, CANDIDATES[:1], [], {}, left_ms)
    error = fault("openai", retry_after_s=asked_s)
    for _ in range(number):
        flow.failed(CANDIDATES[0], error, work_s)
    spent_s, left_s = (flow.now_ms - START_MS) / 1000, None if left_ms is None else left_ms / 1000
    judged = retry.decide(
        policy.retry, retry.Fault("infer", error, 0.0), number, spent_s, left_s, attempts.roll("i-1", number)
    )
    choice = cascade.after(policy, flow.course, flow.sight(), error)

    if isinstance(judged, retry.GiveUp):
        assert isinstance(choice, Nobody)
        assert isinstance(choice.error, StageFailure)
        assert (judged.reason, number, error) == (choice.reason, choice.error.attempts, choice.error.source)
    else:
        due_s = spent_s + judged.delay_s if isinstance(judged, retry.RetryNow) else judged.due_s
        until_ms = choice.until_ms if isinstance(choice, Wait) else flow.now_ms
        assert (until_ms - START_MS) / 1000 <= due_s + 0.0011


@given(FLOWS, st.sampled_from([errors.ProviderRefused, errors.ProviderNotFound, errors.ProviderMalformed]))
def test_fault_of_the_request_ends_it_at_once_whoever_is_left(flow: Flow, fault: type[errors.ProviderError]) -> None:
    """B46."""
    error = fault("openai")
    flow.failed(flow.course.route[0], error, 0.5)

    assert Nobody("permanent", error) == cascade.after(flow.policy, flow.course, flow.sight(), error)
