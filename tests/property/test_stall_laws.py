"""Laws of waiting: an outage without limit never ends a process, and giving up is never taken back by time."""

from hypothesis import assume, given
from hypothesis import strategies as st

from streams.decisions.stall import GiveUp, StallPolicy, Wait, decide

SECONDS = st.floats(0, 1e6)
POLICIES = st.builds(StallPolicy, stalled_s=st.floats(0.1, 1e4), away_s=st.none() | st.floats(0, 1e4))
ANSWERING = st.none() | SECONDS


@given(st.floats(0.1, 1e4), SECONDS)
def test_absent_broker_without_limit_never_gives_up(stalled_s: float, pending_s: float) -> None:
    assert Wait() == decide(StallPolicy(stalled_s, None), pending_s, None)


@given(POLICIES, SECONDS, ANSWERING, SECONDS)
def test_given_up_stays_given_up_as_time_goes_on(
    policy: StallPolicy, pending_s: float, answering_s: float | None, more_s: float
) -> None:
    assume(isinstance(decide(policy, pending_s, answering_s), GiveUp))
    later = None if answering_s is None else answering_s + more_s

    assert isinstance(decide(policy, pending_s + more_s, later), GiveUp)


@given(POLICIES, SECONDS, SECONDS)
def test_answering_broker_is_given_up_when_both_spans_are_above_the_limit(
    policy: StallPolicy, pending_s: float, answering_s: float
) -> None:
    stalled = pending_s > policy.stalled_s and answering_s > policy.stalled_s

    assert stalled == isinstance(decide(policy, pending_s, answering_s), GiveUp)


@given(POLICIES, SECONDS, SECONDS)
def test_limit_for_an_absent_broker_never_ends_one_that_answers(
    policy: StallPolicy, pending_s: float, answering_s: float
) -> None:
    endless = StallPolicy(policy.stalled_s, None)

    assert decide(endless, pending_s, answering_s) == decide(policy, pending_s, answering_s)


@given(POLICIES, SECONDS, ANSWERING, st.floats(1, 100))
def test_more_patient_policy_never_gives_up_earlier(
    policy: StallPolicy, pending_s: float, answering_s: float | None, times: float
) -> None:
    assume(decide(policy, pending_s, answering_s) == Wait())
    away_s = None if policy.away_s is None else policy.away_s * times
    patient = StallPolicy(policy.stalled_s * times, away_s)

    assert Wait() == decide(patient, pending_s, answering_s)


@given(POLICIES, SECONDS, ANSWERING)
def test_reason_to_give_up_is_one_line_with_the_seconds(
    policy: StallPolicy, pending_s: float, answering_s: float | None
) -> None:
    match decide(policy, pending_s, answering_s):
        case GiveUp(why):
            assert f" {pending_s:.0f} s" in why
            assert "\n" not in why
        case Wait():
            assert answering_s is not None or policy.away_s is None or pending_s <= policy.away_s
