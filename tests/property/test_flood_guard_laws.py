"""Laws of the flood guard: it forgets what lies behind its window, and an outage buries no more than its limit. I9."""

from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.flood_guard import FloodGuard, GuardPolicy
from topics import provider_errors as errors

WINDOWS = st.integers(1, 30)
POLICIES = WINDOWS.flatmap(
    lambda window: st.builds(
        GuardPolicy,
        consecutive=st.integers(1, 12),
        ratio=st.floats(0.01, 1),
        window=st.just(window),
        minimum=st.integers(1, window),
    )
)
ERRORS = {
    "f": errors.ProviderTimeout("p"),
    "r": errors.ProviderTimeout("p"),  # and it is tried again
    "d": errors.ProviderDenied("p"),
    "c": errors.ProviderRefused("p"),
    "o": None,
}
OUTCOMES = st.text("fdcor", max_size=80)


def folded(policy: GuardPolicy, outcomes: str) -> FloodGuard:
    guard = FloodGuard(policy)
    for letter in outcomes:
        guard = ended(guard, letter)
    return guard


def ended(guard: FloodGuard, letter: str) -> FloodGuard:
    """After a call that began after all others, and after its request where that is given up with it."""
    error = ERRORS[letter]
    guard = guard.called(error, guard.calls[-1][0] + 1 if guard.calls else 0)
    return guard if error is None or letter == "r" else guard.given_up(error)


def remembered(guard: FloodGuard) -> tuple[int, list[bool]]:
    """All but the times."""
    return guard.streak, [failed for _, failed in guard.calls]


def counted(outcomes: str) -> str:
    """Without the requests' own faults, and with one letter for all failures."""
    return outcomes.replace("c", "").replace("d", "f")


@given(POLICIES, OUTCOMES)
def test_guard_says_what_a_recount_of_all_outcomes_says(policy: GuardPolicy, outcomes: str) -> None:
    told = counted(outcomes)
    latest = told[-policy.window :]
    streak = told[told.rfind("o") + 1 :].count("f")
    part = len(latest) - latest.count("o") >= policy.ratio * len(latest) and len(latest) >= policy.minimum

    assert (streak >= policy.consecutive or part) == folded(policy, outcomes).systemic()


@given(POLICIES, OUTCOMES)
def test_fault_of_a_request_changes_nothing_wherever_it_stands(policy: GuardPolicy, outcomes: str) -> None:
    assert folded(policy, counted(outcomes)) == folded(policy, outcomes)


@given(POLICIES, OUTCOMES)
def test_window_full_of_answers_ends_every_outage(policy: GuardPolicy, outcomes: str) -> None:
    assert not folded(policy, outcomes + "o" * policy.window).systemic()


@given(POLICIES, OUTCOMES, st.text("for", max_size=40))
def test_what_lies_behind_the_window_is_forgotten(policy: GuardPolicy, before: str, after: str) -> None:
    """Once an answer has ended the row."""
    latest = "o" + after + "o" * policy.window

    assert remembered(folded(policy, latest)) == remembered(folded(policy, before + latest))


@given(POLICIES, OUTCOMES)
def test_outage_buries_fewer_than_its_limit_in_a_row(policy: GuardPolicy, before: str) -> None:
    """I9: of failures without end, no more than that are given up before the rest is spared."""
    guard, buried = folded(policy, before + "o"), 0
    for _ in range(50):
        guard = ended(guard, "f")
        buried += not guard.systemic()

    assert buried < policy.consecutive


@given(POLICIES, OUTCOMES, st.sampled_from("fdr"))
def test_failure_never_ends_an_outage(policy: GuardPolicy, outcomes: str, letter: str) -> None:
    guard = folded(policy, outcomes)

    assert not guard.systemic() or ended(guard, letter).systemic()


@given(POLICIES, st.text("for", min_size=30, max_size=60), st.text("or", max_size=40))
def test_call_that_began_before_the_window_is_not_in_it(policy: GuardPolicy, outcomes: str, slow: str) -> None:
    """However late it ends."""
    guard = late = folded(policy, "f" + outcomes)
    for letter in slow:
        late = late.called(ERRORS[letter], -1)

    assert guard.calls == late.calls


@given(POLICIES, st.text("co", max_size=80))
def test_worker_without_a_fault_of_a_provider_has_no_outage(policy: GuardPolicy, outcomes: str) -> None:
    assert not folded(policy, outcomes).systemic()
