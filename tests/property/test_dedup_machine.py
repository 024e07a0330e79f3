"""The laws of owners and twins over both doors: any history of arrivals, outcomes, ticks, redeliveries and moves."""

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from streams.decisions import dedup_index
from streams.decisions.dedup import DedupPolicy
from streams.stage import Output, Record, dressed
from streams.stages import dedup, deliver
from tests.support.builders import NOW_MS, admitted, failed, failure, origin, record, refined, reply
from tests.support.scopes import FakeScope, handled
from topics import wire
from topics.answer import Answer
from topics.catalog import ADMITTED, DEDUPED, FAILED, REFINED, TICKS
from topics.messages import Admitted, Deduped, Failed, Refined

POLICY = DedupPolicy(window_s=100, memory_s=10_000, max_waiters=4, takeover_slack_s=60)
BINDING = ("completed", "failed")
KEYS = [f"c:{number:064d}" for number in range(2)]
PEOPLE = st.integers(0, 4)
DUE = st.sampled_from([None, None, 5_000, 30_000])


def said(output: Output) -> tuple[str, bytes | None, bytes | None]:
    """What counts of an output: after two windows a late copy of a prompt may open its epoch anew, and then the word
    for why its first final is sent changes from ``final`` to ``copy``."""
    return output.topic, output.key, output.value


class Doors(RuleBasedStateMachine):
    """One partition: the real stages, their rows, and the log of all that went in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.scope, self.now_ms, self.high_ms, self.low_ms = FakeScope(), NOW_MS, NOW_MS, NOW_MS
        self.stages = {ADMITTED: dedup.stage(POLICY), TICKS: dedup.stage(POLICY)}
        self.stages |= {REFINED: deliver.stage(POLICY), FAILED: deliver.stage(POLICY)}
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.first: dict[str, list[Output]] = {}
        self.owned = dict[tuple[str, str], Deduped]()  # what was sent on and has no outcome yet
        self.finals: dict[str, set[bytes]] = defaultdict(set)
        self.asked = dict[str, set[str]]()  # identity → admitted messages of it that wait for their first answer
        self.replies = dict[tuple[str, str], tuple[str, Refined | Failed]]()
        self.told = set[bytes | None]()

    # -- the world

    def enter(self, topic: str, message: Any) -> list[Output]:
        """One new record through its door; what comes out is noted and obeyed."""
        seen = record(message, topic=topic, offset=len(self.logs[topic]), timestamp_ms=self.now_ms)
        self.logs[topic].append(seen)
        outputs = self.handle(seen)
        self.first[seen.at] = outputs
        for output in outputs:
            self.obey(output)
        return outputs

    def handle(self, seen: Record) -> list[Output]:
        async def once() -> list[Output]:
            stage = self.stages[seen.topic]
            return [dressed(seen, stage.name, output) for output in await handled(stage, seen, self.scope)]

        return asyncio.run(once())

    def obey(self, output: Output) -> None:
        """What the rest of the pipeline would make of it, at once or later."""
        if output.topic == DEDUPED:
            message = wire.decode(output.value, Deduped)
            named = (message.identity, message.epoch)
            if named in self.replies:  # a copy is answered from the row that the first one's call left
                self.enter(*self.replies[named])
            else:
                self.owned[named] = message
        elif output.topic == FAILED:
            if output.value not in self.told:
                self.told.add(output.value)
                self.enter(FAILED, wire.decode(output.value, Failed))
        else:
            answer = Answer.model_validate_json(output.value or b"")
            if answer.status in BINDING:
                self.finals[answer.id].add(output.value or b"")
            self.asked.pop(answer.id, None)

    # -- what may happen

    @rule(who=PEOPLE, key=st.sampled_from(KEYS), due=DUE, wait_ms=st.integers(0, 20_000))
    def arrive(self, who: int, key: str, due: int | None, wait_ms: int) -> None:
        self.now_ms += wait_ms
        name, entered = f"{key[-1]}-{who}", origin(offset=len(self.logs[ADMITTED]), timestamp_ms=self.now_ms)
        deadline_ms = None if due is None else self.now_ms + due
        message = admitted(id=name, identity=name, dedup_key=key, origin=entered, deadline_ms=deadline_ms)
        self.asked.setdefault(name, set()).add(entered.at)
        before = self.running(key)
        outputs = self.enter(ADMITTED, message)

        opened = [one for one in outputs if one.topic == DEDUPED]
        assert not (before and opened), "never two New for one key"

    @rule(who=PEOPLE)
    def copy_of_the_prompt(self, who: int) -> None:
        """`admit` reads its record again: the same message at other coordinates."""
        if self.logs[ADMITTED]:
            again = self.logs[ADMITTED][-1 - who % len(self.logs[ADMITTED])]
            self.enter(ADMITTED, wire.decode(again.value, Admitted))

    @precondition(lambda self: self.owned)
    @rule(pick=st.integers(0, 9), verdict=st.sampled_from(["completed", "completed", "failed", "expired"]))
    def outcome(self, pick: int, verdict: str) -> None:
        self.now_ms += 700
        self.settle(sorted(self.owned)[pick % len(self.owned)], verdict)

    def settle(self, named: tuple[str, str], verdict: str) -> None:
        message = self.owned.pop(named)
        fields = {name: getattr(message, name) for name in ("id", "identity", "dedup_key", "epoch", "origin")}
        if verdict == "completed":
            self.replies[named] = REFINED, refined(reply(f"{message.epoch} by {message.id}"), **fields)
        else:
            given_up = failed(verdict, failure=failure(message=f"for {message.id}"), **fields)  # type: ignore[arg-type]  # an outcome
            self.replies[named] = FAILED, given_up
        self.enter(*self.replies[named])

    @rule(wait_ms=st.sampled_from([1_000, 6_000, 31_000, 61_000, 99_999, 100_001, -5_000]))
    def tick(self, wait_ms: int) -> None:
        self.now_ms += wait_ms
        self.enter(TICKS, b'{"v":1}')

    @rule(topic=st.sampled_from([ADMITTED, TICKS, REFINED, FAILED]), back=st.integers(1, 6))
    def redeliver(self, topic: str, back: int) -> None:
        for seen in self.logs[topic][-back:]:
            again = self.handle(seen)

            missing = [one for one in self.first[seen.at] if said(one) not in map(said, again)]
            assert not missing, f"{seen.at} repeats its outputs"
            for output in again:
                self.obey(output)

    @rule()
    def move_the_partition(self) -> None:
        self.scope.made.clear()

    # -- what always holds

    def running(self, key: str) -> bool:
        entry = self.ledger().entry(key)
        return entry is not None and entry.by is None

    def ledger(self) -> Any:
        return dedup.Ledger(self.scope.table, self.index())

    def index(self) -> dedup_index.Index:
        return dedup_index.build(self.scope.table.items(), POLICY)

    @invariant()
    def index_in_step_equals_one_built_anew(self) -> None:
        if self.scope.made:
            kept, built = self.scope.made[0], self.index()
            assert isinstance(kept, dedup_index.Index)

            assert (built.running, built.done, built.twins) == (kept.running, kept.done, kept.twins)
            assert {(ms, key) for ms, key, _ in self.waiting(built)} <= {(ms, key) for ms, key, _ in kept.due}

    def waiting(self, index: dedup_index.Index) -> list[tuple[int, str, int]]:
        """What is truly due one day: of generations that run."""
        return [one for one in index.due if self.running(one[1]) and self.in_range(one[1], one[2])]

    def in_range(self, key: str, number: int) -> bool:
        entry = self.ledger().entry(key)
        return number < 0 or entry.low <= number < entry.next

    @invariant()
    def finals_of_a_request_are_equal_within_the_window(self) -> None:
        self.high_ms, self.low_ms = max(self.high_ms, self.now_ms), min(self.low_ms, self.now_ms)
        if self.high_ms - self.low_ms < POLICY.window_ms:
            assert all(len(values) == 1 for values in self.finals.values())

    def teardown(self) -> None:
        """Conservation: once every owner has its outcome, everybody has an answer."""
        while self.owned:
            self.settle(min(self.owned), "completed")

        assert {} == self.asked


MANY = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck))


def test_doors_under_any_history_keep_the_laws() -> None:
    """B9, B17, B18, B23; I2; the law of state."""
    run_state_machine_as_test(Doors, settings=MANY)  # type: ignore[no-untyped-call]  # of Hypothesis
