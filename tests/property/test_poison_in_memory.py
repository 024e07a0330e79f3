"""Does any record, however broken, get its answer, its dead letter where it is no request, and harm nobody else?"""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decisions import burial
from streams.decisions.identity import derived_id
from streams.decisions.refinement import RefinementPolicy
from streams.stage import Record
from streams.testing import Pipeline
from tests.support.poison import ANSWERED, BURIED, CORPUS, REFUSED, Poison, asking, formatted
from topics.answer import Answer
from topics.catalog import DEAD_LETTERS, INFERRED

GOOD = Poison(ANSWERED, asking(id="good"))
STATUS = {BURIED: "rejected", REFUSED: "rejected", ANSWERED: "completed"}
NAMED = {"missing prompt": "no-prompt", "wrong type": "wrong-type"}
CYCLE = {"$defs": {"d": {"anyOf": [{"$ref": "#/$defs/d"}, {"$ref": "#/$defs/d"}]}}, "$ref": "#/$defs/d"}


async def through(*sent: Poison, **parts: Any) -> tuple[list[Record], Pipeline]:
    """The records, and the pipeline that has handled them."""
    pipeline = Pipeline(**parts)
    records = [await pipeline.submit(one.value, one.key, one.headers) for one in sent]
    await pipeline.settle()
    return records, pipeline


def run(*sent: Poison, **parts: Any) -> tuple[list[Record], Pipeline]:
    return asyncio.run(through(*sent, **parts))


def ids_of(name: str, record: Record) -> set[str]:
    """The id of a record that names none, or its own."""
    return {NAMED.get(name) or derived_id(record.topic, record.partition, record.offset, record.timestamp_ms)}


@pytest.mark.parametrize("name", CORPUS)
def test_poison_of_any_kind_has_its_answer(name: str) -> None:
    """F12."""
    [record], pipeline = run(CORPUS[name])

    assert [STATUS[CORPUS[name].fate]] == [answer.status for answer in pipeline.answers()]
    assert ids_of(name, record) == {answer.id for answer in pipeline.answers()}


@pytest.mark.parametrize("name", CORPUS)
def test_poison_that_is_no_request_is_buried_as_it_came(name: str) -> None:
    """F12, B60: and nothing else is buried."""
    poison = CORPUS[name]
    _, pipeline = run(poison)

    buried = [(letter.key, letter.value) for letter in pipeline.records(DEAD_LETTERS)]
    assert ([(poison.key, poison.value)] if poison.fate == BURIED else []) == buried


@pytest.mark.parametrize("name", [name for name, poison in CORPUS.items() if poison.fate == BURIED])
def test_evidence_of_poison_leads_back_to_its_record(name: str) -> None:
    """B75."""
    [record], pipeline = run(CORPUS[name])

    (letter,) = pipeline.records(DEAD_LETTERS)
    told = burial.told(letter.headers)
    assert ("prompts", str(record.partition), str(record.offset), str(record.timestamp_ms)) == (
        told["original-topic"],
        told["original-partition"],
        told["original-offset"],
        told["original-timestamp"],
    )
    assert ("undecodable", "admit", "prompts.core", "0") == (
        told["disposition"],
        told["stage"],
        told["group"],
        told["attempts"],
    )


def test_poison_before_and_after_good_prompts_harms_none_of_them() -> None:
    """F12, I1: one answer each, whatever stands between."""
    sent = [part for poison in CORPUS.values() for part in (poison, GOOD)]
    records, pipeline = run(*sent)

    assert {"completed"} == {answer.status for answer in pipeline.answers() if answer.id == "good"}
    wanted = {"good"}.union(*map(ids_of, CORPUS, records[::2]))
    assert wanted == {answer.id for answer in pipeline.answers()}


@settings(max_examples=60)
@given(
    st.lists(st.binary(max_size=60).filter(lambda value: not value.lstrip().startswith(b"{")) | st.none(), max_size=8)
)
def test_any_bytes_between_good_prompts_harm_none_of_them(values: list[bytes | None]) -> None:
    """F12."""
    sent = [Poison(BURIED, value) for value in values]
    _, pipeline = run(*sent, GOOD)

    buried = [letter.value for letter in pipeline.records(DEAD_LETTERS)]
    assert sorted(map(str, values)) == sorted(map(str, buried))
    assert {"good": "completed"}.items() <= {answer.id: answer.status for answer in pipeline.answers()}.items()


@pytest.mark.parametrize("name", CORPUS)
def test_refusal_of_any_poison_repeats_no_control_character(name: str) -> None:
    _, pipeline = run(CORPUS[name])

    said = "".join(answer.error.message for answer in pipeline.answers() if answer.error)
    assert not {"\x1b", "\x07", "\x9b", "\U000e0041"} & set(said)


@pytest.mark.parametrize(
    ("asked", "kind"),
    [
        ({"response_format": {"type": "json_object"}}, "answer_invalid"),
        (formatted({"type": "integer"}), "answer_invalid"),
        (formatted(CYCLE), "answer_invalid"),
        ({"response_format": {"type": "text"}}, None),
    ],
)
def test_answer_that_breaks_its_format_fails_and_is_buried(asked: dict[str, object], kind: str | None) -> None:
    """F12: the request was good, so its dead letter holds it as it came; what the call cost stays on the bill."""
    value = asking(id="formatted", params=asked)
    _, pipeline = run(Poison(ANSWERED, value), GOOD)

    answer = next(answer for answer in pipeline.answers() if answer.id == "formatted")
    assert (kind, [value] if kind else []) == (
        answer.error and answer.error.kind,
        [letter.value for letter in pipeline.records(DEAD_LETTERS)],
    )
    assert answer.usage is not None and answer.usage.input_tokens > 0


def test_answer_that_keeps_its_format_is_completed() -> None:
    """Echo says the prompt back behind `echo: `, which is JSON for no prompt: so a format without rules."""
    _, pipeline = run(Poison(ANSWERED, asking(params={"response_format": {"type": "text"}})))

    assert ["completed"] == [answer.status for answer in pipeline.answers()]


def test_failed_answer_read_again_is_the_same_one() -> None:
    """I2: a redelivered reply is refused in the same bytes."""

    async def twice() -> list[Answer]:
        _, pipeline = await through(Poison(ANSWERED, asking(params={"response_format": {"type": "json_object"}})))
        for partition in range(2):
            pipeline.redeliver(INFERRED, partition, 0)
        await pipeline.settle()
        return pipeline.answers()

    first, *copies = asyncio.run(twice())

    assert copies and all(copy == first for copy in copies)


@pytest.mark.parametrize(("limit", "status"), [(11, "completed"), (10, "failed")])
def test_limit_of_an_answer_holds_through_the_whole_pipeline(limit: int, status: str) -> None:
    _, pipeline = run(GOOD, refinement=RefinementPolicy(max_answer_bytes=limit))

    assert [status] == [answer.status for answer in pipeline.answers()]
