"""The law of state: any per-topic suffix of the inputs, handled again against the final state, repeats its outputs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decisions import failures, rows
from streams.decisions.cascade import CascadePolicy
from streams.decisions.course import Keys
from streams.decisions.retry import RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.ports import Call
from streams.stage import Output, Record, Stage, dressed
from streams.stages import deliver, infer
from tests.support.builders import KEY, NOW_MS, assembled, failed, failure, origin, record, refined, reply
from tests.support.scopes import FakeScope, handled
from topics import wire
from topics.catalog import ASSEMBLED, FAILED, INFERRED, PARKED, REFINED
from topics.errors import OrchestratorError
from topics.messages import Assembled, Failed, Inferred, Lane, Refined, Reply
from topics.provider_errors import ProviderRateLimited, ProviderRefused, ProviderUnavailable, WorkerError

LANES: list[Lane] = ["critical", "normal"]
REQUESTS = st.integers(0, 2)
HOUR_MS, WEEK_MS = KeepPolicy().whole_ms, KeepPolicy().marked_ms
POLICY = CascadePolicy(RetryPolicy(attempts=3, base_s=8.0, budget_s=60.0))
FATES = (None, ProviderUnavailable("p"), ProviderRateLimited("p", retry_after_s=40.0), ProviderRefused("p"))


@dataclass
class Scripted:
    """A provider whose replies never repeat, that takes its time and fails as drawn; it notes whom it was asked for."""

    scope: FakeScope
    script: Sequence[tuple[int, WorkerError | None]]
    calls: list[str] = field(default_factory=list)
    name: str = "p"

    async def complete(self, call: Call) -> Reply:
        self.calls.append(call.id)
        takes_ms, error = self.script[len(self.calls) % len(self.script)]
        self.scope.now_ms += takes_ms
        if error is not None:
            raise error
        return Reply(text=f"nonce {len(self.calls)}", model=call.model, provider=self.name)


SCRIPTS = st.lists(st.tuples(st.integers(0, 200), st.sampled_from(FATES)), min_size=1, max_size=5)


@st.composite
def of_infer(draw: st.DrawFn) -> list[Record]:
    """Copies of a few requests over two lanes; a copy is the same message, wherever it lies."""
    deadlines = [draw(st.none() | st.integers(-5, 400) | st.integers(20_000, 60_000)) for _ in range(3)]
    found = list[Record]()
    for number, lane in draw(st.lists(st.tuples(REQUESTS, st.sampled_from(LANES)), min_size=1, max_size=8)):
        topic, due = ASSEMBLED[lane], deadlines[number]
        message = assembled(
            epoch=f"prompts/0/{number}",
            origin=origin(offset=number),
            deadline_ms=None if due is None else NOW_MS + due,
            keep_until_ms=NOW_MS + WEEK_MS - HOUR_MS,
        )
        found.append(record(message, topic=topic, offset=sum(one.topic == topic for one in found)))
    return found


def served(scope: FakeScope, script: Sequence[tuple[int, WorkerError | None]]) -> tuple[Stage, Scripted]:
    provider = Scripted(scope, script)
    return infer.stage(provider, policy=POLICY, sleep=scope.sleep), provider


async def played(stage: Stage, inputs: Sequence[Record], scope: FakeScope, copies: int = 1) -> list[Record]:
    """Handles everything, and then what comes back from the tiers, so often each; returns it all, in order."""
    seen = [*inputs]
    for one in seen:
        for output in await outputs_of(stage, one, scope):
            if output.topic in PARKED:
                message = wire.decode(output.value, Assembled)
                scope.now_ms = max(scope.now_ms, message.due_ms or 0)
                for _ in range(copies):
                    offset = sum(earlier.topic == one.topic for earlier in seen)
                    seen.append(one._replace(offset=offset, value=output.value))
    return seen


@st.composite
def of_deliver(draw: st.DrawFn, *more: str) -> list[Record]:
    """Finals, refusals and expiries of a few requests, in any order, from both topics."""
    found = list[Record]()
    kinds = st.sampled_from(["completed", "failed", "rejected", "expired", *more])
    for number, kind in draw(st.lists(st.tuples(REQUESTS, kinds), min_size=1, max_size=9)):
        message = outcome(kind, len(found), identity=f"{number:064d}", id=f"r-{number}", dedup_key=KEY.decode())
        topic = FAILED if isinstance(message, Failed) else REFINED
        found.append(record(message, topic=topic, offset=sum(one.topic == topic for one in found)))
    return found


def outcome(kind: str, nth: int, **names: str) -> Refined | Failed:
    """What deliver reads for an answer of that kind; no two of them have equal bytes."""
    match kind:
        case "completed" | "large":
            text = f"text {nth}" if kind == "completed" else "x" * (rows.PAYLOAD_BYTES // 2)
            return refined(reply(text), **names)
        case _:
            return failed(kind, failure=failure(message=f"failure {nth}"), **names)  # type: ignore[arg-type]  # the rest are outcomes


async def outputs_of(stage: Stage, seen: Record, scope: FakeScope) -> list[Output]:
    """As the loop writes them: dressed, a raised error as its refusal."""
    try:
        return [dressed(seen, stage.name, output) for output in await handled(stage, seen, scope)]
    except OrchestratorError as error:
        refusal = failures.refusal(seen, stage.name, error, now_ms=seen.timestamp_ms)
        output = Output(refusal.topic, refusal.key, refusal.value, "failed", refusal.partition, refusal.headers)
        return [dressed(seen, stage.name, output)]


@st.composite
def with_suffixes(draw: st.DrawFn, inputs: st.SearchStrategy[list[Record]]) -> tuple[list[Record], list[Record]]:
    """Inputs, and the end of each of their topics from anywhere, merged in any way that keeps the order of a topic."""
    first = draw(inputs)
    ends = {topic: [one for one in first if one.topic == topic] for topic in sorted({one.topic for one in first})}
    ends = {topic: records[draw(st.integers(0, len(records))) :] for topic, records in ends.items()}
    turns = draw(st.permutations([topic for topic, records in ends.items() for _ in records]))
    return first, [ends[topic].pop(0) for topic in turns]


def law(stage: Stage, inputs: list[Record], again: list[Record], scope: FakeScope, step_ms: int = 0) -> None:
    async def scenario() -> None:
        first = {one.at: await outputs_of(stage, one, scope) for one in inputs}
        for one in again + again:
            scope.now_ms += step_ms

            assert first[one.at] == await outputs_of(stage, one, scope)

    asyncio.run(scenario())


@given(with_suffixes(of_infer()), SCRIPTS, st.integers(0, 300))
def test_infer_redelivered_against_the_final_state_repeats_its_outputs(
    seen: tuple[list[Record], list[Record]], script: list[tuple[int, WorkerError | None]], step_ms: int
) -> None:
    """While what was parked has not come back yet."""
    scope = FakeScope()

    law(served(scope, script)[0], *seen, scope, step_ms)


@given(of_infer(), SCRIPTS, st.integers(1, 2), st.data())
def test_infer_redelivered_when_all_is_over_calls_nobody_and_loses_nothing(
    inputs: list[Record], script: list[tuple[int, WorkerError | None]], copies: int, data: st.DataObject
) -> None:
    """Whatever comes of a record again is byte-equal to what its request once came to, or parked once more."""

    async def scenario() -> None:
        scope = FakeScope()
        stage, provider = served(scope, script)
        seen = await played(stage, inputs, scope, copies)
        finals = {one.at: await outputs_of(stage, one, scope) for one in seen}
        paid, told = len(provider.calls), {output.value for outputs in finals.values() for output in outputs}

        again = data.draw(st.lists(st.sampled_from(seen), max_size=8))
        repeated = [output for one in again for output in await outputs_of(stage, one, scope)]

        assert (paid, len(again)) == (len(provider.calls), len(repeated))
        assert told >= {output.value for output in repeated}

    asyncio.run(scenario())


AGES = st.lists(
    st.tuples(st.sampled_from(LANES), st.sampled_from([HOUR_MS // 2, HOUR_MS, 5 * HOUR_MS, WEEK_MS + 5 * HOUR_MS])),
    min_size=1,
    max_size=4,
)


async def passes(stage: Stage, scope: FakeScope, ages: list[tuple[Lane, int]]) -> None:
    """Time goes by: others are asked for, in these lanes, so much after the first ones."""
    for number, (lane, age_ms) in enumerate(sorted(ages, key=lambda one: one[1])):
        other, offset = f"later/{number}", 1000 + number
        scope.now_ms = max(scope.now_ms, NOW_MS + age_ms)
        message = assembled(dedup_key=other, epoch=other)
        await outputs_of(stage, record(message, ASSEMBLED[lane], offset=offset, timestamp_ms=scope.now_ms), scope)


@given(of_infer(), SCRIPTS, st.integers(1, 2), AGES, st.data())
def test_infer_redelivered_after_rows_were_thinned_calls_nobody(
    inputs: list[Record],
    script: list[tuple[int, WorkerError | None]],
    copies: int,
    ages: list[tuple[Lane, int]],
    data: st.DataObject,
) -> None:
    """B148: who has his row gets what he had; else he hears that it is gone, in the same words each time."""

    async def scenario() -> None:
        scope = FakeScope()
        stage, provider = served(scope, script)
        seen = await played(stage, inputs, scope, copies)
        finals = {one.at: await outputs_of(stage, one, scope) for one in seen}
        told = {output.value for outputs in finals.values() for output in outputs}
        await passes(stage, scope, ages)
        paid, rows_left = len(provider.calls), dict(scope.rows)

        again = data.draw(st.lists(st.sampled_from(seen), max_size=8))
        repeated = [(one, await outputs_of(stage, one, scope)) for one in again]

        assert paid == len(provider.calls)
        for one, outputs in repeated:
            news = [wire.decode(output.value, Failed).failure.kind for output in outputs if output.value not in told]
            assert set(news) <= {ending_of(one, rows_left)}
        assert all(dict(repeated)[one] == outputs for one, outputs in repeated)

    asyncio.run(scenario())


def ending_of(one: Record, rows_left: dict[bytes, bytes]) -> str:
    """How a record ends whose row is thinned: the last trace of a request goes when it has expired."""
    row = rows_left.get(Keys.of(wire.decode(one.value, Assembled)).answer)
    return "answer_gone" if row is not None and rows.spent(row) else "deadline_exceeded"


@given(with_suffixes(of_infer()), SCRIPTS, AGES)
def test_infer_redelivered_while_rows_stand_repeats_its_outputs_whatever_was_thinned(
    seen: tuple[list[Record], list[Record]], script: list[tuple[int, WorkerError | None]], ages: list[tuple[Lane, int]]
) -> None:
    """The law, for the inputs whose rows are whole."""

    async def scenario() -> None:
        scope = FakeScope()
        stage, _ = served(scope, script)
        first = {one.at: await outputs_of(stage, one, scope) for one in seen[0]}
        before = dict(scope.rows)
        await passes(stage, scope, ages)
        for one in seen[1]:
            keys = Keys.of(wire.decode(one.value, Assembled))
            needed = [key for key in (keys.answer, keys.hop(0)) if key in before]
            if all(scope.rows.get(key) == before[key] for key in needed):
                assert first[one.at] == await outputs_of(stage, one, scope)

    asyncio.run(scenario())


@given(with_suffixes(of_deliver()))
def test_deliver_redelivered_against_the_final_state_repeats_its_outputs(
    seen: tuple[list[Record], list[Record]],
) -> None:
    law(deliver.stage(), *seen, FakeScope())


@settings(max_examples=15, deadline=None)
@given(with_suffixes(of_deliver("large")))
def test_deliver_redelivered_with_answers_too_large_repeats_its_outputs(
    seen: tuple[list[Record], list[Record]],
) -> None:
    law(deliver.stage(), *seen, FakeScope())


@given(of_infer(), SCRIPTS, st.integers(1, 2))
def test_infer_pays_for_each_request_once_and_for_the_tries_it_tells_of(
    inputs: list[Record], script: list[tuple[int, WorkerError | None]], copies: int
) -> None:
    """I5: copies of records and of what was parked cost nothing."""

    async def scenario() -> None:
        scope = FakeScope()
        stage, provider = served(scope, script)
        seen = await played(stage, [*inputs, *inputs], scope, copies)
        ends = [output for one in seen for output in await outputs_of(stage, one, scope) if output.topic not in PARKED]
        tries = {output.value: attempts_of(output) for output in ends}

        assert len(provider.calls) == sum(tries.values())

    asyncio.run(scenario())


def attempts_of(output: Output) -> int:
    if output.topic == INFERRED:
        return wire.decode(output.value, Inferred).reply.attempts
    return wire.decode(output.value, Failed).attempts


@given(of_deliver())
def test_door_lets_one_final_of_each_request_through(inputs: list[Record]) -> None:
    """I2."""
    scope, finals = FakeScope(), dict[bytes, set[bytes]]()

    async def scenario() -> None:
        for one in inputs + inputs:
            for output in await outputs_of(deliver.stage(), one, scope):
                if output.decision in ("final", "copy"):
                    finals.setdefault(output.key or b"", set()).add(output.value or b"")

    asyncio.run(scenario())
    assert all(len(values) == 1 for values in finals.values())
