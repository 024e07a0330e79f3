"""Restart rule: back-off bounded and growing, healthy workers forgiven, one poisonous record stops its app only."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import restart
from streams.decisions.restart import Exited, Fatal, GiveUp, Restart, RestartPolicy, RestartState, StopApp

KILLED = Exited(-9)
USUAL = RestartPolicy()
policies = st.builds(
    RestartPolicy,
    base_s=st.floats(0.0, 10.0),
    cap_s=st.floats(0.0, 60.0),
    healthy_s=st.floats(1.0, 600.0),
    same_fatal=st.integers(1, 5),
)
fatals = st.builds(
    Fatal,
    reason=st.sampled_from(["hole", "cannot_deliver"]),
    app=st.sampled_from(["core", "infer"]),
    topic=st.just("prompts"),
    partition=st.integers(0, 3),
    offset=st.integers(0, 3),
)
exits = st.builds(Exited, code=st.sampled_from([-9, 0, 1, 2, 70]), fatal=st.none() | fatals)


def fatal(**fields):
    return Fatal(**{"reason": "hole", "app": "core", "topic": "prompts", "partition": 3, "offset": 1042, **fields})


def run(events, policy=USUAL, lived_s=1.0):
    """Decisions for a row of exits, each ``lived_s`` after its start."""
    state, decisions = RestartState(started_s=0.0), []
    for event in events:
        decision = restart.step(state, event, policy, state.started_s + lived_s)
        decisions.append(decision)
        state = getattr(decision, "state", state)
    return decisions


def test_delay_of_exits_in_a_row_doubles_up_to_the_cap():
    delays = [decision.after_s for decision in run([KILLED] * 6, RestartPolicy(base_s=0.5, cap_s=5.0))]

    assert [0.5, 1.0, 2.0, 4.0, 5.0, 5.0] == delays


def test_delay_after_a_healthy_life_starts_again_at_the_base():
    policy = RestartPolicy(base_s=0.5, healthy_s=60.0)
    tired = RestartState(started_s=100.0, exits=9)

    decision = restart.step(tired, KILLED, policy, now=160.0)

    assert Restart(0.5, RestartState(started_s=160.5, exits=1)) == decision


def test_delay_just_below_a_healthy_life_keeps_growing():
    tired = RestartState(started_s=100.0, exits=2)

    decision = restart.step(tired, KILLED, RestartPolicy(base_s=0.5, healthy_s=60.0), now=159.9)

    assert 2.0 == decision.after_s


@given(st.integers(1, 10_000), policies)
def test_delay_for_any_number_of_exits_stays_between_zero_and_the_cap(exits, policy):
    assert 0.0 <= restart.delay(exits, policy) <= policy.cap_s


@given(policies, st.lists(st.integers(1, 3_000), min_size=2, max_size=20))
def test_delay_for_more_exits_never_shrinks(policy, counts):
    delays = [restart.delay(exits, policy) for exits in sorted(counts)]

    assert all(earlier <= later for earlier, later in pairwise(delays))


@given(st.lists(exits, max_size=60), policies, st.floats(0.0, 1000.0))
def test_history_of_any_exits_stays_bounded(events, policy, lived_s):
    decisions = run(events, policy, lived_s)

    assert all(len(d.state.seen) <= restart.REMEMBERED for d in decisions if not isinstance(d, GiveUp))


@given(st.lists(exits, max_size=60), policies)
def test_start_time_after_any_exit_is_exit_plus_delay(events, policy):
    state = RestartState(started_s=0.0)
    for event in events:
        now = state.started_s + 1.0
        decision = restart.step(state, event, policy, now)
        if not isinstance(decision, GiveUp):
            state = decision.state

            assert now + decision.after_s == state.started_s


@given(st.lists(fatals, max_size=60), policies)
def test_app_is_stopped_exactly_at_each_nth_sight_of_a_record(seen, policy):
    decisions = run([Exited(70, report) for report in seen], policy)

    counts = {}
    for report, decision in zip(seen, decisions, strict=True):
        counts[report] = counts.get(report, 0) + 1

        assert (counts[report] % policy.same_fatal == 0) == isinstance(decision, StopApp)


def test_same_fatal_seen_three_times_stops_its_app_and_names_the_record():
    decisions = run([Exited(70, fatal())] * 3)

    assert [Restart, Restart, StopApp] == [type(decision) for decision in decisions]
    assert ("core", fatal()) == (decisions[-1].app, decisions[-1].record)


def test_stopped_app_still_waits_before_the_others_restart():
    assert 2.0 == run([Exited(70, fatal())] * 3, RestartPolicy(base_s=0.5))[-1].after_s


def test_stopped_app_forgets_its_record_and_keeps_the_others():
    other = fatal(offset=7)
    decisions = run([Exited(70, other), *[Exited(70, fatal())] * 3])

    assert ((other, 1),) == decisions[-1].state.seen


@pytest.mark.parametrize("field", ["reason", "app", "topic", "partition", "offset"])
def test_fatal_differing_in_one_field_counts_apart(field):
    changed = fatal(**{field: {"partition": 4, "offset": 9}.get(field, "other")})
    decisions = run([Exited(70, fatal()), Exited(70, changed), Exited(70, fatal())])

    assert [Restart] * 3 == [type(decision) for decision in decisions]


@pytest.mark.parametrize("between", [KILLED, Exited(1), Exited(0), Exited(70, fatal(offset=8))])
def test_fatal_count_with_another_exit_between_goes_on(between):
    report = Exited(70, fatal())

    assert isinstance(run([report, between, report, between, report])[-1], StopApp)


def test_fatal_count_after_a_healthy_life_goes_on():
    assert isinstance(run([Exited(70, fatal())] * 3, RestartPolicy(healthy_s=60.0), lived_s=90.0)[-1], StopApp)


def test_oldest_fatal_beyond_the_memory_is_forgotten_first():
    reports = [Exited(70, fatal(offset=n)) for n in range(restart.REMEMBERED + 1)]

    seen = [report.offset for report, _ in run(reports)[-1].state.seen]

    assert list(range(1, restart.REMEMBERED + 1)) == seen


def test_refused_configuration_is_given_up_at_once():
    assert GiveUp(2) == run([Exited(2)])[0]


@pytest.mark.parametrize("code", [0, 1, 3, 70, -9, -15])
def test_exit_with_any_other_code_is_restarted(code):
    assert isinstance(run([Exited(code)])[0], Restart)


@pytest.mark.parametrize(
    ("event", "words"),
    [(KILLED, "restarting in 0.5 s"), (Exited(2), "not restarted: it refused its configuration (exit 2)")],
)
def test_explanation_of_a_plain_decision_says_what_happens(event, words):
    assert words == restart.explain(run([event])[0])


def test_explanation_of_a_stopped_app_names_app_and_record():
    words = restart.explain(run([Exited(70, fatal())] * 3)[-1])

    assert "stopping 'core': hole at prompts/3/1042 again and again; the rest goes on" == words


def test_policy_defaults_are_three_sights_and_half_a_minute():
    assert (0.5, 30.0, 60.0, 3) == (
        RestartPolicy().base_s,
        RestartPolicy().cap_s,
        RestartPolicy().healthy_s,
        RestartPolicy().same_fatal,
    )
