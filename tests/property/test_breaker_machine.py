"""The laws of a breaker over any history of calls, asks, orders, ticks, redeliveries and moves."""

from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from streams.adapters.board import Board
from streams.decisions.breaker import BreakerPolicy, CircuitBreaker, Closed, Probe, asked, heard
from streams.decisions.breaker_rows import SAID
from streams.stage import Output, Record
from tests.support.breakers import POLICY, SERVICE, Handled, asks, order, told
from tests.support.builders import NOW_MS
from topics import wire
from topics.calls import Asked, Breaker, Ordered, Told
from topics.catalog import BREAKERS, CALLS

OUTCOMES = st.sampled_from(["ok", "ok", "failed", "failed", "failed", "slow", "limited", "ignored"])
LETTERS = st.text("osfl", max_size=6)
INTERVAL_MS = round(POLICY.probe_interval_s * 1000)
WORKERS = ("a", "b", "c")


Grant = tuple[int, int, int]  # epoch, number, when


def grant_of(word: Breaker) -> Grant:
    assert word.probing is not None
    return word.epoch, word.probing.number, word.probing.at_ms


class Breakers(RuleBasedStateMachine):
    """The real stage, three boards, and a log between them; words and evidence travel when the rules let them."""

    def __init__(self) -> None:
        super().__init__()
        self.bench, self.now_ms = Handled(), NOW_MS
        self.unread: list[Any] = []  # written to `calls`, not yet handled
        self.words: list[bytes] = []
        self.heard = dict.fromkeys(WORKERS, 0)
        self.first: dict[str, list[Output]] = {}
        self.boards = {name: self.board(name) for name in WORKERS}
        self.running: list[tuple[str, int, bool]] = []
        self.probes: list[tuple[Grant, int]] = []

    def board(self, name: str) -> Board:
        return Board(name, lambda service, value: self.unread.append(value), POLICY, every_ms=0)

    # -- what happens

    @rule(ms=st.sampled_from([1, 499, 500, 1000, 2000, 5000]))
    def time_passes(self, ms: int) -> None:
        self.now_ms += ms

    @rule(name=st.sampled_from(WORKERS))
    def worker_looks(self, name: str) -> None:
        """A request comes to its call, if it may."""
        match self.boards[name].verdict(SERVICE, self.now_ms):
            case Closed(epoch):
                self.running.append((name, epoch, False))
            case Probe(epoch):
                self.running.append((name, epoch, True))
                mine = [word for word in self.known[: self.heard[name]] if self.holds(name, word)]
                self.probes.append((grant_of(mine[-1]), self.now_ms))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), outcome=OUTCOMES)
    def call_ends(self, data: st.DataObject, outcome: Any) -> None:
        self.ends(data.draw(st.integers(0, len(self.running) - 1)), outcome)

    def ends(self, number: int, outcome: Any) -> None:
        name, epoch, probe = self.running.pop(number)
        self.boards[name].told(SERVICE, epoch, outcome, self.now_ms, self.now_ms, probe)

    @rule(name=st.sampled_from(WORKERS), outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
    def worker_calls(self, name: str, outcomes: list[Any]) -> None:
        """A few requests, one after the other."""
        for outcome in outcomes:
            before = len(self.running)
            self.worker_looks(name)
            if len(self.running) > before:
                self.ends(before, outcome)

    @rule(name=st.sampled_from(WORKERS))
    def all_is_heard(self, name: str) -> None:
        """A request waits for the answer to what its verdict asked."""
        self.worker_looks(name)
        self.stage_reads(len(self.unread))
        for each in WORKERS:
            self.worker_hears(each)

    @rule(name=st.sampled_from(WORKERS), outcomes=st.lists(OUTCOMES, min_size=1, max_size=4))
    def worker_comes_back_each_second(self, name: str, outcomes: list[Any]) -> None:
        """As one that finds it open: it asks, hears, probes where it may, and comes back."""
        for outcome in outcomes:
            self.all_is_heard(name)
            self.worker_calls(name, [outcome])
            self.time_passes(1000)

    @initialize(opened=st.booleans())
    def begins(self, opened: bool) -> None:
        if opened:
            self.worker_calls("a", ["failed"] * 3)
            self.all_is_heard("b")

    @rule(what=st.sampled_from(["trip", "reset"]), for_s=st.sampled_from([None, 0.0, 3.0]))
    def person_orders(self, what: str, for_s: float | None) -> None:
        self.unread.append(wire.encode(order(what, for_s)))

    @rule(many=st.integers(1, 5))
    def stage_reads(self, many: int) -> None:
        for _ in range(min(many, len(self.unread))):
            self.told(self.bench.enter(CALLS, self.unread.pop(0), self.now_ms), self.bench.logs[CALLS][-1])

    @rule()
    def stage_ticks(self) -> None:
        assert [] == self.bench.tick(self.now_ms)

    @rule(name=st.sampled_from(WORKERS))
    def worker_hears(self, name: str) -> None:
        for number in range(self.heard[name], len(self.words)):
            self.boards[name].apply(Record(BREAKERS, 0, number, self.now_ms, SERVICE.encode(), self.words[number]))
        self.heard[name] = len(self.words)

    @rule(name=st.sampled_from(WORKERS))
    def worker_restarts(self, name: str) -> None:
        """It is another life: it begins at the end of the words, and its calls are gone."""
        life = f"{name}{len(self.words)}-{self.now_ms}"
        self.boards[name], self.heard[name] = self.board(life), 0
        self.running = [one for one in self.running if one[0] != name]
        self.worker_hears(name)

    @rule(data=st.data(), moves=st.booleans())
    def records_come_again(self, data: st.DataObject, moves: bool) -> None:
        """Any suffix, with the memory of before or on another worker: each says at least what it said."""
        log = self.bench.logs[CALLS]
        if moves:
            self.bench.moved()
        self.again(0 if moves else data.draw(st.integers(0, len(log))))

    # -- how

    def again(self, start: int) -> None:
        log = self.bench.logs[CALLS]
        standing = [seen.at for seen in log if self.first[seen.at]][-SAID:]
        for seen in log[start:]:
            outputs = self.bench.handle(seen)
            before = self.first[seen.at] if seen.at in standing else []
            assert before == outputs[: len(before)]
            assert bool(before) == bool(outputs)
            self.words += [output.value or b"" for output in outputs]

    def told(self, outputs: list[Output], seen: Record) -> None:
        self.first[seen.at] = outputs
        self.words += [output.value or b"" for output in outputs]

    def holds(self, name: str, word: Breaker) -> bool:
        return word.probing is not None and word.probing.worker == self.boards[name].worker

    @property
    def grants(self) -> set[Grant]:
        return {grant_of(word) for word in self.known if word.probing}

    @property
    def known(self) -> list[Breaker]:
        return [wire.decode(word, Breaker) for word in self.words]

    # -- laws

    @invariant()
    def newest_word_is_last_on_the_topic(self) -> None:
        """Who begins to read now knows the same as who read all along."""
        known = self.known
        assert not known or known[-1].number == max(word.number for word in known)

    @invariant()
    def probes_are_granted_an_interval_apart(self) -> None:
        """B30, over all workers; across epochs a wait lies between them, unless a person said otherwise."""
        for (epoch, _, before_ms), (later, _, after_ms) in pairwise(sorted(self.grants)):
            assert epoch != later or after_ms - before_ms >= INTERVAL_MS

    @invariant()
    def probes_are_made_under_a_grant_of_their_own(self) -> None:
        """And while it is good, so that there is one an interval."""
        assert len(self.probes) == len({grant for grant, _ in self.probes})
        for (_, _, granted_ms), made_ms in self.probes:
            assert granted_ms <= made_ms < granted_ms + INTERVAL_MS

    @invariant()
    def workers_that_heard_all_agree_with_the_stage(self) -> None:
        """B38."""
        if not self.words or self.unread:
            return
        last = max(self.known, key=lambda word: word.number)
        for name, board in self.boards.items():
            if self.heard[name] == len(self.words) and last.state != "closed":
                assert last.state == board.states[SERVICE]

    @invariant()
    def epochs_never_fall(self) -> None:
        epochs = [word.epoch for word in sorted(self.known, key=lambda word: word.number)]
        assert epochs == sorted(epochs)


def test_breaker_and_boards_under_any_history_keep_the_laws() -> None:
    run_state_machine_as_test(Breakers, settings=settings(max_examples=60, stateful_step_count=40, deadline=None))


# -- redelivery, by itself

MESSAGES = st.one_of(
    st.builds(told, LETTERS, st.integers(0, 4), probe=st.booleans()),
    st.builds(asks, st.integers(0, 4), st.sampled_from(WORKERS)),
    st.builds(order, st.sampled_from(["trip", "reset"]), st.sampled_from([None, 0.0, 2.0])),
)
STEPS = st.lists(st.tuples(st.one_of(MESSAGES, st.none()), st.sampled_from([0, 100, 600, 5000])), max_size=30)


def played(steps: list[tuple[Told | Asked | Ordered | None, int]]) -> tuple[Handled, list[list[Output]]]:
    """A partition after these records of ``calls``, None being a tick; and what each said."""
    bench, now_ms, outputs = Handled(), NOW_MS, []
    for message, later_ms in steps:
        now_ms += later_ms
        if message is None:
            assert [] == bench.tick(now_ms)
        else:
            outputs.append(bench.enter(CALLS, message, now_ms))
    return bench, outputs


@given(STEPS, st.data())
def test_redelivered_suffixes_repeat_the_words(steps: Any, data: st.DataObject) -> None:
    """The state rule: any suffix of the records against the final row gives at least what it gave."""
    bench, outputs = played(steps)
    start = data.draw(st.integers(0, len(outputs)))
    bench.moved()

    for seen, before in zip(bench.logs[CALLS][start:], outputs[start:], strict=True):
        assert before == bench.handle(seen)[: len(before)]


@given(STEPS, st.data())
def test_redelivered_suffixes_leave_the_rows_as_they_were(steps: Any, data: st.DataObject) -> None:
    bench, outputs = played(steps)
    bench.tick(NOW_MS + 10**6)
    rows = dict(bench.scope.rows)
    start = data.draw(st.integers(0, len(outputs)))
    bench.moved()
    for seen in bench.logs[CALLS][start:]:
        bench.handle(seen)
    bench.tick(NOW_MS + 10**6)

    assert rows == bench.scope.rows


@given(STEPS)
def test_same_records_give_the_same_words_and_rows(steps: Any) -> None:
    (one, first), (other, second) = played(steps), played(steps)

    assert (first, one.scope.rows) == (second, other.scope.rows)


@given(STEPS, st.integers(0, 30))
def test_move_between_two_records_changes_no_word(steps: Any, place: int) -> None:
    """What was folded in memory alone comes again, as it was never acknowledged."""
    _, outputs = played(steps)
    bench, before = played(steps[:place])
    bench.moved()
    for seen in bench.logs[CALLS]:
        bench.handle(seen)
    now_ms, after = NOW_MS + sum(later_ms for _, later_ms in steps[:place]), []
    for message, later_ms in steps[place:]:
        now_ms += later_ms
        after += [] if message is None else [bench.enter(CALLS, message, now_ms)]

    assert outputs == before + after


# -- the rule

CALLS_MADE = st.lists(st.tuples(st.sampled_from("osfl"), st.integers(0, 30_000)), max_size=60)


def fed(calls: list[tuple[str, int]], policy: BreakerPolicy) -> list[CircuitBreaker]:
    """The breaker after each call."""
    found, now_ms, states = CircuitBreaker(), NOW_MS, []
    for letter, later_ms in calls:
        now_ms += later_ms
        found = heard(found, letter, 0, now_ms, policy)
        states.append(found)
    return states


@given(CALLS_MADE, st.integers(1, 6))
def test_closed_breaker_never_saw_the_threshold_in_a_row(calls: Any, consecutive: int) -> None:
    states = fed(calls, BreakerPolicy(consecutive=consecutive, minimum=1000))
    counted = "".join(letter for letter, _ in calls if letter != "l").replace("s", "f")

    assert ("f" * consecutive in counted) == (bool(states) and states[-1].state == "open")


@given(CALLS_MADE)
def test_good_call_never_opens_a_breaker(calls: Any) -> None:
    states = [CircuitBreaker(), *fed(calls, POLICY)]

    for before, after, (letter, _) in zip(states, states[1:], calls, strict=False):
        assert letter in "sf" or before.state == after.state


@given(CALLS_MADE, st.integers(1, 20), st.floats(0.1, 60))
def test_window_holds_the_latest_calls_alone(calls: Any, window_n: int, window_s: float) -> None:
    policy = BreakerPolicy(consecutive=10**6, minimum=10**6, window_n=window_n, window_s=window_s)
    now_ms = NOW_MS
    seen: list[tuple[int, bool]] = []
    for letter, later_ms in calls:
        now_ms += later_ms
        seen += [] if letter == "l" else [(now_ms, letter in "sf")]
    states = fed(calls, policy)

    last_ms = seen[-1][0] if seen else 0
    wanted = [one for one in seen if one[0] >= last_ms - window_s * 1000][-window_n:]
    assert wanted == [*map(tuple, states[-1].window if states else ())]


@given(CALLS_MADE, st.integers(1, 5))
def test_calls_told_together_or_one_by_one_are_the_same(calls: Any, pieces: int) -> None:
    letters = "".join(letter for letter, _ in calls)
    together = heard(CircuitBreaker(), letters, 0, NOW_MS, POLICY)
    found = CircuitBreaker()
    for start in range(0, len(letters), pieces):
        found = heard(found, letters[start : start + pieces], 0, NOW_MS, POLICY)

    assert together == found


@given(st.lists(st.booleans(), max_size=12), st.integers(1, 6), st.floats(0.1, 1.0))
def test_recovery_needs_its_probes_and_its_rate(probes: list[bool], least: int, rate: float) -> None:
    policy = BreakerPolicy(open_s=1, consecutive=1, min_probes=least, success_rate=rate)
    found = heard(CircuitBreaker(), "f", 0, NOW_MS, policy)
    found = asked(found, "w", 1, NOW_MS + 1000, policy)
    good = bad = 0
    for went_well in probes:
        if found.state != "half-open":
            break
        good, bad = good + went_well, bad + (not went_well)
        found = heard(found, "o" if went_well else "f", 1, NOW_MS + 2000, policy, probe=True)

    assert (found.state == "closed") == (good + bad >= least and good >= rate * (good + bad) and good + bad > 0)
    assert (found.state == "open") == (good < rate * (good + bad))
