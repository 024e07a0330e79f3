"""Calls beyond the first of a key: which have a cause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.drill.account import Account, Blow, Call, Move, account, calls_of, running
from streams.drill.ledger import Entry


def call(key="k", nonce="n", by="worker-0", began=1.0, ended=2.0, word="end", safe=2.5):
    return Call(key, nonce, by, began, ended, word, safe)


def entry(action="start", key="k", nonce="n", at=1.0, by="worker-0"):
    return Entry(action, key, "ok", nonce, by=by, at=at)


def blow(at, worker="worker-0"):
    return Blow(worker, at)


# -- one call


def test_call_that_ended_well_and_safe_excuses_nothing():
    assert not call().excuses([])


@pytest.mark.parametrize("word", ["error", "cancel"])
def test_call_that_came_to_nothing_excuses_the_next(word):
    assert call(word=word).excuses([])


@pytest.mark.parametrize(
    ("at", "excused"), [(0.9, False), (1.0, True), (1.5, True), (2.4, True), (2.5, True), (2.6, False)]
)
def test_kill_excuses_from_the_beginning_until_the_call_is_safe(at, excused):
    assert excused == call().excuses([blow(at)])


@pytest.mark.parametrize("at", [1.0, 2.0, 1e9])
def test_call_that_never_was_safe_is_excused_by_any_later_kill(at):
    assert call(safe=None).excuses([blow(at)])


def test_kill_of_another_worker_excuses_nothing():
    assert not call(safe=None).excuses([blow(1.5, "worker-1")])


def test_one_kill_among_many_is_enough():
    assert call().excuses([blow(0.1), blow(9.0), blow(2.0)])


@pytest.mark.parametrize(
    ("word", "at", "cut"),
    [
        ("end", None, False),
        ("error", None, False),
        ("cancel", None, True),
        ("end", 1.5, True),
        ("error", 1.5, True),
        ("error", 2.9, True),
        ("error", 3.1, False),
    ],
)
def test_call_was_cut_by_a_cancel_or_a_blow_before_its_outcome_was_written(word, at, cut):
    safe = None if word == "error" else 2.5

    assert cut == call(word=word, safe=safe).was_cut([] if at is None else [blow(at)])


# -- out of the ledger


def test_calls_are_put_together_by_their_nonces():
    entries = [
        entry(nonce="a"),
        entry(nonce="b", at=1.5),
        entry("end", nonce="b", at=2.0),
        entry("error", nonce="a", at=3.0),
    ]

    assert [("a", "error", 3.0), ("b", "end", 2.0)] == [(c.nonce, c.word, c.ended) for c in calls_of(entries, {})]


def test_call_without_an_end_runs_still():
    [found] = calls_of([entry()], {})

    assert (None, "") == (found.ended, found.word)


def test_call_knows_when_it_was_safe():
    found = calls_of([entry(nonce="a"), entry(nonce="b")], {"b": 7.0})

    assert [None, 7.0] == [each.safe for each in found]


def test_call_knows_who_called():
    [found] = calls_of([entry(by="worker-3")], {})

    assert "worker-3" == found.by


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        ([], {}),
        ([entry()], {"n": "worker-0"}),
        ([entry(), entry("end")], {}),
        ([entry(), entry("cancel")], {}),
        ([entry(), entry("error")], {}),
        ([entry(nonce="a"), entry(nonce="b", by="worker-1"), entry("end", nonce="a")], {"b": "worker-1"}),
        ([entry("end", nonce="of another run")], {}),
    ],
)
def test_running_calls_are_those_without_an_end(entries, left):
    assert left == running(entries)


# -- the account


def test_nothing_called_is_an_empty_account():
    assert Account() == account([], [])


def test_one_call_a_key_repeats_nothing():
    found = account([call("a", "1"), call("b", "2")], [])

    assert Account(2, 2) == found
    assert 0 == found.repeats


def test_second_call_without_a_cause_names_its_key():
    found = account([call("a", "1"), call("a", "2", began=5.0)], [])

    assert (1, 0, ("a",)) == (found.repeats, found.allowed, found.baseless)


def test_second_call_after_a_failed_one_has_a_cause():
    found = account([call("a", "1", word="error", safe=None), call("a", "2", began=5.0, safe=6.0)], [])

    assert (1, 1, ()) == (found.repeats, found.allowed, found.baseless)


def test_failed_and_cut_calls_are_counted_apart():
    calls = [call("a", "1", word="error"), call("b", "2", word="cancel"), call("c", "3", word="end")]
    found = account(calls, [])

    assert (1, 1, 2) == (found.failed, found.excused, found.allowed)


def test_failure_of_the_last_call_excuses_no_earlier_one():
    found = account([call("a", "1"), call("a", "2", began=5.0, word="error")], [])

    assert ("a",) == found.baseless


def test_order_of_the_ledger_does_not_matter():
    late, early = call("a", "2", began=5.0), call("a", "1", word="error")

    assert account([early, late], []) == account([late, early], [])


def dropped(key="a", nonce="1", **fields):
    """A call whose outcome never became safe."""
    return call(key, nonce, **{"safe": None, **fields})


def test_call_that_was_dropped_when_its_partition_moved_is_excused():
    calls = [dropped(), call("a", "2", by="worker-1", began=5.0, safe=7.0)]

    found = account(calls, [], [Move("worker-0", 4.0, 1)])

    assert (1, ()) == (found.excused, found.baseless)


def test_later_call_may_be_the_one_that_was_dropped():
    calls = [call("a", "1", safe=9.0), dropped("a", "2", by="worker-1", began=5.0)]

    assert () == account(calls, [], [Move("worker-1", 8.0, 1)]).baseless


@pytest.mark.parametrize("move", [Move("worker-1", 4.0, 1), Move("worker-0", 0.5, 1), Move("worker-0", 4.0, 0)])
def test_move_of_another_worker_or_time_excuses_nothing(move):
    calls = [dropped(), call("a", "2", by="worker-1", began=5.0, safe=7.0)]

    assert ("a",) == account(calls, [], [move]).baseless


def test_move_takes_no_call_that_was_safe():
    calls = [call("a", "1", safe=6.0), call("a", "2", began=5.0, safe=None)]

    assert ("a",) == account(calls, [], [Move("worker-9", 4.0, 5)]).baseless


def test_move_excuses_as_many_calls_as_it_says():
    calls = [one for key in "abc" for one in (dropped(key, f"{key}1"), call(key, f"{key}2", began=5.0, safe=7.0))]
    found = account(calls, [], [Move("worker-0", 4.0, 2)])

    assert (2, 1) == (found.excused, len(found.baseless))


def test_call_that_was_cancelled_and_moved_is_excused_once():
    found = account([dropped(word="cancel"), call("a", "2", began=5.0)], [], [Move("worker-0", 4.0, 1)])

    assert 1 == found.excused


def test_call_that_began_when_another_was_safe_is_baseless_however_it_ended():
    calls = [call("a", "1", safe=3.0), call("a", "2", began=5.0, word="cancel", safe=None)]

    assert ("a",) == account(calls).baseless


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["end", "error", "cancel"])), max_size=20))
def test_keys_without_baseless_calls_never_repeat_more_than_allowed(made):
    calls = [
        call(key, str(n), began=float(n), ended=n + 0.5, word=word, safe=n + 0.6) for n, (key, word) in enumerate(made)
    ]
    found = account(calls, [])

    assert found.baseless or found.repeats <= found.allowed


@given(st.lists(st.sampled_from("abcd"), max_size=20))
def test_calls_are_unique_ones_and_repeats(keys):
    found = account([call(key, str(number)) for number, key in enumerate(keys)], [])

    assert (len(keys), len(set(keys))) == (found.calls, found.unique)
    assert len(keys) == found.unique + found.repeats
