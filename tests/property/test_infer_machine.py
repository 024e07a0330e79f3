"""Requests that arrive, come again, are parked, return once or twice, and are lost in every way a process can end."""

import asyncio
from collections import Counter, defaultdict
from typing import Literal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.decisions.cascade import CascadePolicy
from streams.decisions.retry import RetryPolicy
from streams.ports import Call
from streams.stage import Output, Record
from streams.stages import infer
from tests.support.builders import assembled, record
from tests.support.scopes import FakeScope, handled
from topics import wire
from topics.catalog import ASSEMBLED, INFERRED, PARKED
from topics.messages import Assembled, Failed, Inferred, Reply
from topics.provider_errors import ProviderRateLimited, ProviderRefused, ProviderUnavailable, WorkerError

HOUR_MS = 3_600_000
POLICY = CascadePolicy(RetryPolicy(attempts=3, base_s=6.0))
FATES: dict[str, WorkerError | None] = {
    "well": None,
    "away": ProviderUnavailable("p"),
    "later": ProviderRateLimited("p", retry_after_s=35.0),
    "refused": ProviderRefused("p"),
}
Crash = Literal["never", "in a call", "before the row", "behind the row", "before the output"]
CRASHES: list[Crash] = ["never", "in a call", "before the row", "behind the row", "before the output"]


class Died(Exception):
    """The process has ended."""


class Process(FakeScope):
    """One life of a worker, on rows that outlive it; ``durable`` is what the changelog has."""

    def __init__(
        self, rows: dict[bytes, bytes], now_ms: int, crash: Crash, fates: list[str], paid: Counter[str]
    ) -> None:
        super().__init__(dict(rows), now_ms)
        self.durable, self.crash, self.fates, self.paid, self.name = dict(rows), crash, fates, paid, "p"
        self.unwritten = Counter[str]()

    async def settled(self) -> None:
        if self.crash == "before the row":
            raise Died
        self.durable = dict(self.rows)
        self.unwritten.clear()
        if self.crash == "behind the row":
            raise Died

    async def complete(self, call: Call) -> Reply:
        self.paid[call.id] += 1
        self.unwritten[call.id] += 1
        if self.crash == "in a call":
            raise Died
        self.now_ms += 100
        error = FATES[self.fates.pop(0) if self.fates else "well"]
        if error is not None:
            raise error
        return Reply(text=f"nonce {self.paid.total()}", model=call.model, provider=self.name)


class InferMachine(RuleBasedStateMachine):
    """Whatever happens: each request comes to one end, and each call is told of, or was lost with its process."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[bytes, bytes] = {}
        self.now_ms, self.paid, self.lost = 1_769_860_800_000, Counter[str](), Counter[str]()
        self.seen, self.pending, self.away = list[Record](), list[Record](), list[Record]()
        self.arrived = 0
        self.ends = defaultdict[str, dict[bytes, Output]](dict)
        self.gone = defaultdict[str, dict[bytes, Output]](dict)

    def write(self, value: bytes | None) -> None:
        one = record(value, topic=ASSEMBLED["normal"], offset=len(self.seen), timestamp_ms=self.now_ms)
        self.seen.append(one)
        self.pending.append(one)

    def handle(self, one: Record, crash: Crash, fates: list[str]) -> None:
        process = Process(self.rows, self.now_ms, crash, fates, self.paid)
        stage = infer.stage(process, policy=POLICY, sleep=process.sleep)
        try:
            outputs = asyncio.run(handled(stage, one, process))
        except Died:
            outputs = None
        self.rows, self.now_ms = process.durable, process.now_ms
        assert process.unwritten.total() <= 1  # the one that ran, or was about to be written down
        self.lost.update(process.unwritten)
        if outputs is None or crash == "before the output":
            return
        self.pending.remove(one)
        for output in outputs:
            self.written(one, output)

    def written(self, one: Record, output: Output) -> None:
        if output.topic in PARKED:
            self.away.append(one._replace(value=output.value))
        else:
            ends = self.gone if output.decision == "answer-gone" else self.ends
            ends[wire.decode(one.value, Assembled).identity][output.value or b""] = output

    @precondition(lambda self: self.arrived < 3)
    @rule(left_s=st.sampled_from([None, 20, 90]))
    def arrives(self, left_s: int | None) -> None:
        self.arrived += 1
        name, deadline_ms = f"r-{self.arrived}", None if left_s is None else self.now_ms + left_s * 1000
        self.write(wire.encode(assembled(id=name, identity=name, epoch=name, deadline_ms=deadline_ms)))

    @precondition(lambda self: self.pending)
    @rule(which=st.integers(0), crash=st.sampled_from(CRASHES), fates=st.lists(st.sampled_from([*FATES]), max_size=4))
    def is_handled(self, which: int, crash: Crash, fates: list[str]) -> None:
        self.handle(self.pending[which % len(self.pending)], crash, fates)

    @precondition(lambda self: self.seen)
    @rule(which=st.integers(0))
    def comes_again(self, which: int) -> None:
        one = self.seen[which % len(self.seen)]
        if one not in self.pending:
            self.pending.append(one)

    @precondition(lambda self: self.away)
    @rule(which=st.integers(0), copies=st.integers(1, 2))
    def returns(self, which: int, copies: int) -> None:
        one = self.away.pop(which % len(self.away))
        self.now_ms = max(self.now_ms, wire.decode(one.value, Assembled).due_ms or 0)
        for _ in range(copies):
            self.write(one.value)

    @precondition(lambda self: self.seen)
    @rule(hours=st.integers(1, 7))
    def time_passes(self, hours: int) -> None:
        """B148: less than the retention in all; what is asked for afterwards thins the rows of what was before."""
        self.now_ms += hours * HOUR_MS

    @invariant()
    def each_request_has_at_most_one_end(self) -> None:
        """I2: beside it, it may hear in one way that this is kept no longer."""
        assert all(len(ends) == 1 for ends in (*self.ends.values(), *self.gone.values()))

    def teardown(self) -> None:
        """I1, I5: in calm weather all comes to an end."""
        while self.pending or self.away:
            if self.pending:
                self.handle(self.pending[0], "never", [])
            else:
                self.returns(0, 1)
        asked = {wire.decode(one.value, Assembled).identity for one in self.seen}
        assert asked == set(self.ends) | set(self.gone)
        for identity in asked:
            ends = self.ends.get(identity) or self.gone[identity]
            assert self.paid[identity] <= sum(map(attempts, ends.values())) + self.lost[identity]


def attempts(output: Output) -> int:
    if output.topic == INFERRED:
        return wire.decode(output.value, Inferred).reply.attempts
    return wire.decode(output.value, Failed).attempts


TestInfer = InferMachine.TestCase
TestInfer.settings = settings(max_examples=50, stateful_step_count=20, deadline=None)
