"""Nothing accepted is lost: whatever comes and whatever breaks, a record gets one answer, a loss a dead letter."""

import asyncio
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.identity import derived_id
from streams.ports import Call
from streams.stage import Headers, Record
from streams.testing import HandClock, Pipeline
from topics.answer import Answer
from topics.catalog import ADMITTED, ASSEMBLED, DEAD_LETTERS, DEDUPED, FAILED, INFERRED, PROMPTS, REFINED, RESULTS
from topics.messages import Reply

PLAIN: Headers = (("content-type", b"text/plain"),)
STAGES = ("dedup", "retrieve", "assemble", "infer", "refine", "bury")
FAULTY = st.sampled_from([*((name, None) for name in STAGES), ("deliver", REFINED)])
AGAIN = st.sampled_from([PROMPTS, ADMITTED, DEDUPED, *ASSEMBLED.values(), INFERRED, REFINED, FAILED])
REQUEST = st.fixed_dictionaries(
    {"id": st.sampled_from("abcdefgh"), "prompt": st.sampled_from(["hello", "poison", "κόσμε"])},
    optional={"timeout_s": st.sampled_from([0.5, 5.0]), "priority": st.sampled_from(["critical", "low"])},
)
BROKEN = st.sampled_from([b"{", b"\xff", b"", b"[1]", None, b"no header", b'{"prompt": 7}', b'{"nope": 1}', b"{}"])


@dataclass
class Run:
    """What goes in, what breaks and what is handled again."""

    values: list[tuple[bytes | None, Headers]]
    faults: list[tuple[str, str | None]]
    script: list[str]
    again: list[tuple[str, int]]
    redelivered: list[Record] = field(default_factory=list)


class Poisoned(EchoProvider):
    """Echo, with a defect that certain words bring out."""

    async def complete(self, call: Call) -> Reply:
        if "poison" in str(call.messages):
            raise LookupError("poison")
        return await super().complete(call)


def named(request: dict[str, Any]) -> tuple[bytes, Headers]:
    """A request whose id follows from its body: equal ids are resends."""
    body = orjson.dumps(request, option=orjson.OPT_SORT_KEYS)
    return orjson.dumps({**request, "id": f"{request['id']}-{sha256(body).hexdigest()[:8]}"}), ()


VALUES = st.lists(
    REQUEST.map(named) | BROKEN.map(lambda value: (value, ())) | st.just((b"plain words", PLAIN)),
    min_size=1,
    max_size=8,
)
RUNS = st.builds(
    Run,
    values=VALUES,
    faults=st.lists(FAULTY, max_size=3),
    script=st.lists(st.sampled_from(["ok", "timeout", "auth"]), max_size=3).map(lambda words: [*words, "ok"]),
    again=st.lists(st.tuples(AGAIN, st.integers(0, 3)), max_size=3),
)


def ran(plan: Run, *faults: str) -> Pipeline:
    clock = HandClock()
    provider = Poisoned(EchoPolicy(delay_s=1.0, nonce=True, faults=plan.script), sleep=clock.sleep)
    pipeline = Pipeline(provider, clock=clock)
    for stage, topic in [*plan.faults, *((name, None) for name in faults)]:
        pipeline.fail(stage, KeyError("injected"), topic=topic)

    async def scenario() -> None:
        for value, headers in plan.values:
            await pipeline.submit(value, headers=headers)
        await pipeline.advance(0.7)
        for topic, offset in plan.again:
            for partition in range(2):
                pipeline.redeliver(topic, partition, offset)
        await pipeline.settle()

    asyncio.run(scenario())
    return pipeline


def known_id(record: Record) -> str:
    """The id under which a record is answered: its own where it is a request, else the derived one."""
    derived = derived_id(record.topic, record.partition, record.offset, record.timestamp_ms)
    try:
        data = orjson.loads(record.value or b"")
    except orjson.JSONDecodeError:
        return derived
    return str(data.get("id", derived)) if isinstance(data, dict) else derived


def answers(pipeline: Pipeline) -> dict[str, list[Answer]]:
    """Distinct answers by id; copies are byte-equal, so they count once."""
    distinct = dict.fromkeys(record.value or b"" for record in pipeline.records(RESULTS))
    found = [Answer.model_validate_json(value) for value in distinct]
    return {answer.id: [one for one in found if one.id == answer.id] for answer in found}


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_every_accepted_record_is_answered_and_nothing_else(plan: Run) -> None:
    """I1 and I3, under F12."""
    pipeline = ran(plan)

    assert {known_id(record) for record in pipeline.records(PROMPTS)} == set(answers(pipeline))


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_every_request_has_at_most_one_binding_final(plan: Run) -> None:
    finals = {
        name: [one for one in found if one.status in ("completed", "failed")]
        for name, found in answers(ran(plan)).items()
    }

    assert all(len(found) <= 1 for found in finals.values())


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_every_record_has_one_effective_answer_of_its_own(plan: Run) -> None:
    pipeline = ran(plan)
    sent = [known_id(record) for record in pipeline.records(PROMPTS)]

    for name, found in answers(pipeline).items():
        unbinding = [one for one in found if one.status in ("rejected", "expired")]
        assert len(unbinding) <= sent.count(name)


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_every_failed_answer_has_a_dead_letter(plan: Run) -> None:
    pipeline = ran(plan)
    lost = {name for name, found in answers(pipeline).items() if any(one.status == "failed" for one in found)}

    buried = {(record.header("prompts.error.request-id") or b"").decode() for record in pipeline.records(DEAD_LETTERS)}
    assert lost <= buried


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_every_dead_letter_of_a_whole_bury_is_what_was_accepted(plan: Run) -> None:
    plan.faults = [fault for fault in plan.faults if fault[0] != "bury"]

    pipeline = ran(plan)

    accepted = {record.value for record in pipeline.records(PROMPTS)}
    assert accepted >= {record.value for record in pipeline.records(DEAD_LETTERS)}


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_fault_in_admit_is_answered_under_the_requests_id(plan: Run) -> None:
    plan.again = []

    pipeline = ran(plan, "admit")

    assert {known_id(record) for record in pipeline.records(PROMPTS)} == set(answers(pipeline))


@settings(max_examples=60, deadline=None)
@given(RUNS)
def test_provider_is_called_at_most_once_for_each_accepted_record(plan: Run) -> None:
    pipeline = ran(plan)

    paid = [record for record in pipeline.records(INFERRED) if record.header("prompts.decision") == b"called"]
    assert len({record.value for record in paid}) <= len(pipeline.records(PROMPTS))


def test_headers_of_a_trace_reach_answer_and_dead_letter() -> None:
    pipeline, trace = Pipeline(), ("traceparent", b"00-1-2-01")
    pipeline.fail("refine", KeyError("x"))

    async def scenario() -> None:
        await pipeline.submit({"id": "a", "prompt": "x"}, headers=(trace,))
        await pipeline.settle()

    asyncio.run(scenario())
    written = [*pipeline.records(RESULTS), *pipeline.records(DEAD_LETTERS)]
    assert [trace[1], trace[1]] == [record.header("traceparent") for record in written]
