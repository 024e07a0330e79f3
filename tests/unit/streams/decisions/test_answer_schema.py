"""Answers against schemas: what fits, what a misfit says, and hostile ones of either."""

import doctest
import inspect
import sys
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import answer_schema
from streams.decisions.answer_schema import Compiled, Unusable
from topics.errors import AnswerInvalid

PROPERTIES = {"name": {"type": "string", "pattern": "^[A-Z]"}, "tags": {"type": "array", "uniqueItems": True}}
PERSON = {"type": "object", "properties": PROPERTIES, "required": ["name"], "additionalProperties": False}
PATH = "response_format.json_schema.schema"
BOMB = {
    "$defs": {
        **{f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(40)},
        "d40": {"type": "integer"},
    },
    "$ref": "#/$defs/d0",
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(depth):
        schema = {"items": schema}
    return schema


def params(schema: object) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": True, "schema": schema}}}


def compiled(schema: object) -> Compiled:
    found = answer_schema.asked(params(schema))
    assert isinstance(found, Compiled), found
    return found


def misfit(schema: object, answer: object) -> str | None:
    """Path and rule of the misfit; an answer that is no text is written as JSON."""
    text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
    found = answer_schema.misfit(text, compiled(schema))
    return None if found is None else f"{found.path}: {found.rule}"


# -- what is asked


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"response_format": None},
        {"response_format": {"type": "text"}},
        {"response_format": {"type": "grammar", "grammar": "root ::= 'a'"}},
    ],
)
def test_params_without_a_schema_ask_for_nothing(wanted: dict[str, Any]) -> None:
    assert answer_schema.asked(wanted) is None


@pytest.mark.parametrize(
    ("wanted", "path", "reason"),
    [
        ("json", "response_format", "should be an object with a 'type'"),
        ({}, "response_format", "should be an object with a 'type'"),
        ({"type": 5}, "response_format", "should be an object with a 'type'"),
        ({"type": "json_schema"}, PATH, "is missing"),
        ({"type": "json_schema", "json_schema": []}, PATH, "is missing"),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, PATH, "is missing"),
    ],
)
def test_format_in_a_wrong_shape_is_unusable(wanted: object, path: str, reason: str) -> None:
    assert Unusable(path, reason) == answer_schema.asked({"response_format": wanted})


@pytest.mark.parametrize(
    ("schema", "where", "reason"),
    [
        ([1], "", "should be an object"),
        (True, "", "should be an object"),
        ({"type": "objct"}, ".type", "is no valid JSON Schema (draft 2020-12)"),
        ({"properties": {"a": {"minimum": "x"}}}, ".properties.a.minimum", "is no valid JSON Schema (draft 2020-12)"),
        ({"$ref": "https://127.0.0.1/s.json"}, ".$ref", "leads to no schema inside this one"),
        (nested(60), "", None),
        (nested(64), "", "is nested deeper than 64 levels"),
        ({"description": "x" * 70_000}, "", "70018 bytes, the limit is 65536"),
    ],
)
def test_schema_that_cannot_be_applied_is_refused_by_its_place(schema: object, where: str, reason: str | None) -> None:
    found = answer_schema.asked(params(schema))

    assert (reason is None) == isinstance(found, Compiled)
    assert reason is None or Unusable(PATH + where, reason) == found


def test_word_of_a_schema_as_a_property_name_is_no_rule() -> None:
    names = {"pattern": {"type": "string"}, "$ref": {"type": "string"}, "enum": {"type": "null"}}

    assert misfit({"properties": names}, {"pattern": "(", "$ref": "http://x", "enum": None}) is None


@pytest.mark.parametrize("ref", ["#", "#/$defs/d", "#/properties/p", "#/items", "#/allOf/0", "#/$defs/a~1b%20c"])
def test_reference_from_schema_to_schema_is_followed(ref: str) -> None:
    inner = {"type": "object"}
    around = {"$defs": {"d": inner, "a/b c": inner}, "properties": {"p": inner}, "items": inner, "allOf": [inner]}

    assert "$: type object" == misfit({**around, "anyOf": [{"$ref": ref}]}, 5)


def test_draft_and_id_at_the_root_are_passed_over() -> None:
    root = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://127.0.0.1/s"}

    assert "$: type null" == misfit({**root, "definitions": {"d": {"type": "null"}}, "$ref": "#/definitions/d"}, 5)


def test_equal_schemas_in_another_order_are_compiled_once() -> None:
    turned = dict(reversed(PERSON.items()))

    assert compiled(PERSON) is compiled(turned)


# -- what fits


@pytest.mark.parametrize("answer", [{"name": "Ann"}, {"name": "Ann", "tags": [1, "1", [1], True]}, ' {"name": "Ö A"}'])
def test_answer_that_keeps_every_rule_fits(answer: object) -> None:
    schema = {**PERSON, "properties": {**PROPERTIES, "name": {"pattern": "[A-Z]"}}}

    assert misfit(schema, answer) is None


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("no JSON", "$: not JSON (line 1 column 1)"),
        ('{"name": "Ann"', "$: not JSON (line 1 column 15)"),
        ('```json\n{"name": "Ann"}\n```', "$: not JSON (line 1 column 1)"),
        ('{"name": NaN}', "$: not JSON (line 1 column 10)"),
        ([1], "$: type object"),
        ({}, "$: required name"),
        ({"name": 5}, "$.name: type string"),
        ({"name": "ann"}, "$.name: pattern"),
        ({"name": "Ann", "tags": [1, 1.0]}, "$.tags: uniqueItems"),
        ({"name": "Ann", "tags": [{"a": [2.0]}, {"a": [2]}]}, "$.tags: uniqueItems"),
        ({"name": "Ann", "secret": 1}, "$: additionalProperties"),
        ("[" * 65 + "]" * 65, "$: it is nested deeper than 64 levels"),
        ('"' + "x" * 262_143 + '"', "$: 262145 bytes, the limit is 262144"),
    ],
)
def test_answer_that_breaks_a_rule_is_told_by_place_and_rule(answer: object, said: str) -> None:
    assert said == misfit(PERSON, answer)


@pytest.mark.parametrize(
    ("schema", "answer", "said"),
    [
        ({"items": {"minimum": 3}}, [3, 2], "$[1]: minimum 3"),
        ({"enum": ["secret"]}, 5, "$: enum"),
        ({"const": {"a": 1}}, {"a": 2}, "$: const"),
        ({"maxLength": 2}, '"long"', "$: maxLength 2"),
        ({"type": ["string", "null"]}, 5, "$: type"),
        ({"additionalProperties": {"type": "null"}}, {"secret words": 5}, "$.*: type null"),
        ({"required": ["a\x1b" + "b" * 60]}, {}, "$: required a?" + "b" * 38),
        (nested(30), [[[[[[[[[[[[[5]]]]]]]]]]]]], None),
    ],
)
def test_misfit_shows_only_what_the_caller_wrote(schema: object, answer: object, said: str | None) -> None:
    assert said == misfit(schema, answer)


def test_path_into_a_deep_answer_is_cut_short() -> None:
    schema: dict[str, Any] = {"type": "null"}
    answer: Any = 5
    for _ in range(20):
        schema, answer = {"items": schema}, [answer]

    assert "$" + "[0]" * 12 + "…: type null" == misfit(schema, answer)


@given(json_values)
def test_object_is_all_that_a_json_object_format_asks_for(value: Any) -> None:
    wanted = answer_schema.asked({"response_format": {"type": "json_object"}})
    assert isinstance(wanted, Compiled)

    found = answer_schema.misfit(orjson.dumps(value).decode(), wanted)

    assert isinstance(value, dict) == (found is None)


@given(json_values)
def test_any_value_fits_a_schema_without_rules(value: Any) -> None:
    assert misfit({}, orjson.dumps(value).decode()) is None


@given(json_values)
def test_any_value_fits_its_own_constant(value: Any) -> None:
    text = orjson.dumps(value)

    assert misfit({"const": orjson.loads(text)}, text.decode()) is None


@given(st.lists(json_values, max_size=6), st.booleans())
def test_equal_items_are_found_wherever_they_stand(values: list[Any], twice: bool) -> None:
    distinct = list(
        {orjson.dumps(value): value for value in values if not isinstance(value, float | list | dict)}.values()
    )
    items = distinct + distinct[:1] * twice

    assert (twice and bool(distinct)) == (misfit({"uniqueItems": True}, items) is not None)


def test_items_of_a_list_may_repeat_where_they_are_allowed_to() -> None:
    assert misfit({"uniqueItems": False}, [1, 1]) is None


def test_unique_items_do_not_bind_other_values() -> None:
    assert misfit({"uniqueItems": True, "pattern": "a"}, {"a": 1}) is None


# -- what a misfit may not do


@given(
    json_values.filter(lambda value: value is not None), st.sampled_from([PERSON, {"type": "null"}, {"items": PERSON}])
)
def test_reason_of_any_misfit_holds_no_word_of_the_answer(value: Any, schema: dict[str, Any]) -> None:
    secret = {"name": f"zQx{value}", "zQx": [value, {"zQx": "zQx"}]}

    for answer in (secret, [secret], f"zQx{value}"):
        assert "zQx" not in str(misfit(schema, answer))


@pytest.mark.parametrize(
    ("schema", "answer"),
    [
        (BOMB, "1"),
        ({"$ref": "#"}, "1"),
        ({"items": {"$ref": "#"}}, "[" * 1000 + "]" * 1000),
        ({"pattern": "^(a+)+$"}, '"' + "a" * 200_000 + '!"'),
        ({"pattern": r"^(\w+\s?)*$"}, '"' + "a " * 100_000 + '!"'),
        ({"allOf": [{"pattern": r"(x+x+)+y"}] * 1500}, '"' + "x" * 250_000 + '"'),
        ({"items": {"allOf": [{"const": [0] * 2000}] * 10}}, orjson.dumps([[0] * 2000] * 60).decode()),
        ({"uniqueItems": True, "items": False}, orjson.dumps([{"a": n} for n in range(20_000)]).decode()),
        ({"items": {"enum": [[0] * 50 + [n] for n in range(400)]}}, orjson.dumps([[0] * 51] * 2000).decode()),
    ],
)
def test_hostile_schema_and_answer_end_in_bounded_time(schema: object, answer: str) -> None:
    """F12."""
    wanted = compiled(schema)

    started = time.process_time()
    found = answer_schema.misfit(answer, wanted)

    assert isinstance(found, AnswerInvalid)
    assert time.process_time() - started < 20.0  # without a bound: for ever


def test_work_of_one_check_is_not_charged_to_the_next() -> None:
    wanted = compiled(BOMB)

    first, second = answer_schema.misfit("1", wanted), answer_schema.misfit("1", wanted)

    assert (
        str(first)
        == str(second)
        == ("The answer breaks its response_format at $: checking it takes more than 100000 steps")
    )


def test_answers_within_the_limits_are_checked_whole() -> None:
    many = [{"name": "A", "tags": [n]} for n in range(5000)]

    assert misfit({"items": PERSON}, many) is None
    assert "$[4999]: required name" == misfit({"items": PERSON}, [*many[:4999], {}])


@pytest.mark.parametrize("taken", [0, 1])
def test_steps_are_spent_to_the_last_one(taken: int) -> None:
    steps = answer_schema.Steps(2)
    steps.take(2)

    if taken:
        with pytest.raises(AnswerInvalid, match="100000 steps"):
            steps.take(taken)
    else:
        steps.take(taken)


def test_reference_that_turns_in_a_circle_is_told_as_too_deep() -> None:
    assert "$: it is nested too deeply to be checked" == misfit({"$ref": "#"}, 1)


def test_schema_that_overflows_the_stack_is_refused() -> None:
    """A caller may have used most of the stack already."""

    def far_down(frames: int) -> object:
        return far_down(frames - 1) if frames else answer_schema.asked(params(nested(55)))

    found = far_down(sys.getrecursionlimit() - len(inspect.stack()) - 200)

    assert Unusable(PATH, "is nested too deeply") == found


def test_examples_of_the_docstrings_hold() -> None:
    ran = doctest.testmod(answer_schema)

    assert (0, True) == (ran.failed, ran.attempted > 0)
