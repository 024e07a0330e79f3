"""Whatever is written to ``prompts``, each record gets exactly one answer, and what is no request a dead letter (F12).

Batches that unpack to far more than they weigh are the broker's and the client's matter: a topic bounds what one batch
may weigh, and here one value, unpacked, is refused above 1 MiB.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.decisions.identity import derived_id
from streams.stage import CARRIED_BYTES, Headers, Record
from streams.testing import Pipeline
from topics import wire
from topics.answer import Answer
from topics.catalog import ASSEMBLED, CATALOG, DEAD_LETTERS, PROMPT_BYTES, PROMPTS, RESULTS
from topics.messages import Assembled

TAGS = st.text(st.characters(min_codepoint=0xE0000, max_codepoint=0xE007F), min_size=1, max_size=5)
ODD = st.text(
    st.sampled_from("a\x00\x1b\u200b\u202e\u2028\ufeff\ud7ff\U000e0041\U0010ffff\"'{}[]\\,:\n"), min_size=1, max_size=9
)
TRACE = "traceparent"
PLAIN: Headers = (("content-type", b"text/plain"),)
DEEP = 2_000
Value = bytes | Mapping[str, Any] | None


def ran(*records: tuple[Value, Headers], key: bytes | None = b"k") -> Pipeline:
    """A pipeline that has handled the records."""
    pipeline = Pipeline()

    async def scenario() -> None:
        for value, headers in records:
            await pipeline.submit(value, key, headers)
        await pipeline.settle()

    asyncio.run(scenario())
    return pipeline


def one(value: Value, headers: Headers = ()) -> tuple[Pipeline, Answer]:
    """The same for one record, which has one answer."""
    pipeline = ran((value, headers))
    (answer,) = pipeline.answers()
    return pipeline, answer


def buried(pipeline: Pipeline) -> list[bytes | None]:
    return [record.value for record in pipeline.records(DEAD_LETTERS)]


def answered(records: Iterable[Record]) -> list[str]:
    return sorted((record.key or b"").decode() for record in records)


def nested(levels: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return b'{"prompt": "hi", "metadata": {"a": ' + opening * levels + b"1" + closing * levels + b"}}"


# Depth


@pytest.mark.parametrize("pair", [(b"[", b"]"), (b'{"a":', b"}")])
@pytest.mark.parametrize(
    ("levels", "status", "letters"),
    [(60, "completed", 0), (70, "rejected", 0), (200, "rejected", 0), (DEEP, "rejected", 1)],
)
def test_nested_json_is_answered_once_and_buried_when_unreadable(
    levels: int, status: str, letters: int, pair: tuple[bytes, bytes]
) -> None:
    pipeline, answer = one(nested(levels, *pair))

    assert (status, letters) == (answer.status, len(buried(pipeline)))


@pytest.mark.parametrize(
    "value", [b"[" * 500_000, b'{"a":' * 100_000, b"[" * 500_000 + b"]" * 500_000, b'"' + b"\\" * 9]
)
def test_endless_brackets_are_answered_and_buried_as_they_are(value: bytes) -> None:
    pipeline, answer = one(value)

    assert ("rejected", [value]) == (answer.status, buried(pipeline))


@pytest.mark.parametrize("field", ["params", "metadata", "retrieve", "messages", "unheard-of"])
def test_nesting_in_any_field_is_answered_once(field: str) -> None:
    value = orjson.dumps({"prompt": "hi", field: orjson.loads(b"[" * 150 + b"]" * 150)})

    assert "rejected" == one(value)[1].status


# Size: what was small on the way and is large here


@pytest.mark.parametrize("letter", [b" ", b"\x00", b"a"])
def test_value_above_the_limit_is_answered_and_leaves_a_dead_letter(letter: bytes) -> None:
    pipeline, answer = one(letter * (PROMPT_BYTES + 1), PLAIN)

    assert answer.error is not None
    assert ("rejected", "undecodable", 1) == (answer.status, answer.error.kind, len(buried(pipeline)))


@pytest.mark.parametrize(
    "value",
    [
        b'{"prompt": "hi", "timeout_s": ' + b"9" * 400 + b"}",
        b'{"prompt": "hi", "sample": ' + b"9" * 5000 + b"}",
        b'{"prompt": "hi", "timeout_s": 1e400}',
        b'{"prompt": "hi", "sample": -0}',
        b'{"prompt": "hi", ' + b'"a": 1, ' * 50_000 + b'"b": 1}',
        orjson.dumps({"prompt": "hi", **{f"f{number}": 1 for number in range(20_000)}}),
        orjson.dumps({"prompt": "hi", "metadata": {"a": "x" * 500_000}}),
        orjson.dumps({"messages": [{"role": "user", "content": ""}] * 20_000}),
        orjson.dumps({"prompt": "hi", "template": "x" * 100_000}),
    ],
)
def test_swollen_request_has_one_small_answer(value: bytes) -> None:
    pipeline, _ = one(value)

    assert all(len(record.value or b"") < 20_000 for record in pipeline.records(RESULTS))


# Characters that nobody sees


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["id", "tenant", "model", "template"]), TAGS)
def test_name_with_tag_characters_is_refused_without_repeating_them(field: str, tags: str) -> None:
    """B136."""
    pipeline, answer = one({"prompt": "hi", field: f"a{tags}"})

    assert "rejected" == answer.status
    assert answer.error is not None
    assert f"{field} = " in answer.error.message
    assert not set(tags) & set(answer.error.message)
    assert [] == buried(pipeline)


@settings(max_examples=30, deadline=None)
@given(TAGS)
def test_prompt_with_tag_characters_reaches_the_provider_unchanged(tags: str) -> None:
    """B136."""
    _, answer = one({"prompt": f"hi{tags}"})

    assert f"echo: hi{tags}" == answer.text


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries({"prompt": ODD}, optional={"id": ODD, "tenant": ODD, "metadata": st.dictionaries(ODD, ODD)})
)
def test_request_of_odd_characters_has_exactly_one_answer(request: dict[str, Any]) -> None:
    pipeline, _ = one(request)

    assert [] == buried(pipeline)


@settings(max_examples=60, deadline=None)
@given(ODD.map(str.encode) | st.binary(max_size=30), st.sampled_from([(), PLAIN]))
def test_bytes_of_any_kind_have_one_answer_and_are_buried_when_no_request(value: bytes, headers: Headers) -> None:
    pipeline, answer = one(value, headers)
    undecodable = answer.error is not None and answer.error.kind == "undecodable"

    assert ([value] if undecodable else []) == buried(pipeline)


# Headers


def flood(count: int, size: int = 10, name: str = "x-{}") -> Headers:
    return tuple((name.format(number), b"v" * size) for number in range(count))


def carried(pipeline: Pipeline) -> int:
    """The most that the headers of one record beyond ``prompts`` and the dead letters weigh."""
    inside = [record for topic in CATALOG if topic not in (PROMPTS, DEAD_LETTERS) for record in pipeline.records(topic)]
    return max(sum(len(name) + len(value) for name, value in record.headers) for record in inside)


FLOODS = {
    "many": flood(5_000),
    "huge": flood(3, 300_000),
    "same": flood(2_000, 4_000, TRACE),
    "huge trace": ((TRACE, b"v" * 900_000),),
    "forged": (("prompts.stage", b"infer"), ("prompts.cause", b"x/0/0"), ("prompts.decision", b"paid")),
    "nameless": flood(1_000, 5, ""),
    "odd": (("\x00\x1b", b"\xff"), ("é" * 9_000, b""), ("content-type", b"\xff\xfe;" * 9)),
}


@pytest.mark.parametrize("name", FLOODS)
@pytest.mark.parametrize(("value", "letters"), [({"prompt": "hi", "id": "a"}, 0), (b"\xff", 1)])
def test_record_with_a_flood_of_headers_has_one_answer(name: str, value: Value, letters: int) -> None:
    pipeline, _ = one(value, FLOODS[name])

    assert letters == len(buried(pipeline))


@pytest.mark.parametrize("name", FLOODS)
def test_headers_beyond_those_carried_stay_behind(name: str) -> None:
    """B137."""
    pipeline, _ = one({"prompt": "hi"}, FLOODS[name])

    assert carried(pipeline) <= CARRIED_BYTES + 400


@pytest.mark.parametrize("name", FLOODS)
def test_dead_letter_of_a_flood_stays_below_its_limit(name: str) -> None:
    pipeline, _ = one(b"\xff", FLOODS[name])
    (letter,) = pipeline.records(DEAD_LETTERS)

    assert sum(len(key.encode()) + len(value) for key, value in letter.headers) <= 64 * 1024


def test_evidence_in_headers_is_the_pipelines_own() -> None:
    pipeline, _ = one({"prompt": "hi"}, FLOODS["forged"])
    (record,) = pipeline.records(RESULTS)

    assert [b"deliver"] == [value for name, value in record.headers if name == "prompts.stage"]


@pytest.mark.parametrize("count", [1, 2, 500])
def test_trace_that_is_there_more_than_once_travels_once(count: int) -> None:
    """B137."""
    headers = tuple((TRACE, b"%d" % number) for number in range(count))
    pipeline, _ = one({"prompt": "hi"}, headers)
    (record,) = pipeline.records(RESULTS)

    assert [b"0"] == [value for name, value in record.headers if name == TRACE]


NAMES = st.sampled_from([TRACE, "tracestate", "content-type", "prompts.original-key", "prompts.error.kind", "x", ""])
HEADERS = st.lists(st.tuples(NAMES, st.binary(max_size=20)), max_size=20).map(tuple)
VALUES = st.sampled_from(
    [b"", b"\xff", b"{", b"null", b"[]", None, nested(100), b'{"prompt": "hi"}', b'{"prompt": ""}']
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(VALUES, HEADERS), min_size=1, max_size=6), st.none() | st.binary(max_size=5))
def test_every_hostile_record_has_exactly_one_answer(records: list[tuple[Value, Headers]], key: bytes | None) -> None:
    """I1 and I3, under F12."""
    pipeline = ran(*records, key=key)
    sent = [derived_id(one.topic, one.partition, one.offset, one.timestamp_ms) for one in pipeline.records(PROMPTS)]

    assert sorted(sent) == answered(pipeline.records(RESULTS))


# What retrieved documents and templates cannot do


@settings(max_examples=30, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(str.strip))
def test_words_of_a_prompt_never_become_another_message(prompt: str) -> None:
    pipeline, _ = one({"prompt": prompt})
    (record,) = (record for lane in ASSEMBLED.values() for record in pipeline.records(lane))

    assert ({"role": "user", "content": prompt},) == wire.decode(record.value, Assembled).rendered
