"""The law of state: any per-topic suffix of the inputs, handled again against the final state, repeats its outputs."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decisions import failures, rows
from streams.ports import Call
from streams.stage import Output, Record, Stage, dressed
from streams.stages import deliver, infer
from tests.support.builders import KEY, NOW_MS, assembled, failed, failure, origin, record, refined, reply
from tests.support.scopes import FakeScope, handled
from topics.catalog import ASSEMBLED, FAILED, REFINED
from topics.errors import OrchestratorError, WorkerError
from topics.messages import Failed, Lane, Refined, Reply

LANES: list[Lane] = ["critical", "normal"]
REQUESTS = st.integers(0, 2)


@dataclass
class Nonce:
    """A provider whose replies never repeat, that takes its time and fails at times."""

    scope: FakeScope
    takes_ms: Sequence[int]
    calls: int = 0
    name: str = "nonce"

    async def complete(self, call: Call) -> Reply:
        self.calls += 1
        takes_ms = self.takes_ms[self.calls % len(self.takes_ms)]
        self.scope.now_ms += takes_ms
        if takes_ms % 3 == 0:
            raise WorkerError(self.name, "timeout", retryable=True)
        return Reply(text=f"nonce {self.calls}", model=call.model, provider=self.name)


@st.composite
def of_infer(draw: st.DrawFn) -> list[Record]:
    """Copies of a few requests over two lanes; a copy is the same message, wherever it lies."""
    deadlines = [draw(st.none() | st.integers(-5, 400)) for _ in range(3)]
    found = list[Record]()
    for number, lane in draw(st.lists(st.tuples(REQUESTS, st.sampled_from(LANES)), min_size=1, max_size=8)):
        topic, due = ASSEMBLED[lane], deadlines[number]
        message = assembled(
            epoch=f"prompts/0/{number}", origin=origin(offset=number), deadline_ms=None if due is None else NOW_MS + due
        )
        found.append(record(message, topic=topic, offset=sum(one.topic == topic for one in found)))
    return found


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


TAKES_MS = st.lists(st.integers(0, 200), min_size=1, max_size=4)


@given(with_suffixes(of_infer()), TAKES_MS, st.integers(0, 300))
def test_infer_redelivered_against_the_final_state_repeats_its_outputs(
    seen: tuple[list[Record], list[Record]], takes_ms: list[int], step_ms: int
) -> None:
    scope = FakeScope()

    law(infer.stage(Nonce(scope, takes_ms)), *seen, scope, step_ms)


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


@given(of_infer(), TAKES_MS)
def test_infer_pays_at_most_once_for_each_request(inputs: list[Record], takes_ms: list[int]) -> None:
    scope = FakeScope()
    provider = Nonce(scope, takes_ms)
    stage = infer.stage(provider)

    async def scenario() -> None:
        for one in inputs + inputs:
            await handled(stage, one, scope)

    asyncio.run(scenario())
    paid = [key for key in scope.rows if not key.startswith(b"expired/")]
    assert provider.calls == len(paid) <= len({one.value for one in inputs})


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
