"""What a schema may not hold, told by its place in the request."""

import doctest
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import schema_faults
from streams.decisions.schema_faults import Unusable

PATH = "response_format.json_schema.schema"
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text() | st.sampled_from(["$ref", "items"]), inner),
)


def nested(depth: int, innermost: object) -> dict[str, Any]:
    schema: Any = innermost
    for _ in range(depth):
        schema = {"items": schema}
    return dict(schema)


@pytest.mark.parametrize(
    ("schema", "where", "reason"),
    [
        ({"type": "objct"}, ".type", "is no valid JSON Schema (draft 2020-12)"),
        ({"items": [{}]}, ".items", "is no valid JSON Schema (draft 2020-12)"),
        ({"$ref": "https://127.0.0.1/s.json"}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "file:///etc/passwd"}, ".$ref", "leads to no schema inside this one"),
        ({"items": {"$ref": "#/$defs/none"}}, ".items.$ref", "leads to no schema inside this one"),
        ({"$ref": "#/enum/0", "enum": [{"type": 5}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/1", "allOf": [{}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/x", "allOf": [{}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/0/type", "allOf": [{"type": "null"}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/$defs"}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#anchor", "$defs": {"a": {"$anchor": "anchor"}}}, ".$ref", "leads to no schema inside this one"),
        ({"$dynamicRef": "#a"}, ".$dynamicRef", "is not supported: use $ref"),
        ({"$recursiveRef": "#"}, ".$recursiveRef", "is not supported: use $ref"),
        ({"patternProperties": {"^a": {}}}, ".patternProperties", "is not supported: name the properties"),
        ({"items": {"$schema": "x"}}, ".items.$schema", "may stand at the root only"),
        ({"items": {"$id": "x"}}, ".items.$id", "may stand at the root only"),
        ({"items": {"x\x1b" + "y" * 99: {"$id": "x"}}}, ".items.x?" + "y" * 38 + ".$id", "may stand at the root only"),
        ({"enum": [{"$ref": "#/nowhere"}]}, ".enum.0.$ref", "leads to no schema inside this one"),
        ({"$ref": "#/$defs/d", "$defs": {"d": 5}}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/$defs"}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/$defs/a/items", "$defs": {"a": True}}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/9999999", "allOf": [{}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/\u0661", "allOf": [{}, {}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/-1", "allOf": [{}]}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": "#/allOf/0"}, ".$ref", "leads to no schema inside this one"),
        ({"$ref": ""}, ".$ref", "leads to no schema inside this one"),
        ({"patternProperties": "x"}, ".patternProperties", "is not supported: name the properties"),
    ],
)
def test_fault_of_a_schema_is_told_by_its_place(schema: dict[str, Any], where: str, reason: str) -> None:
    assert Unusable(PATH + where, reason) == schema_faults.fault(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"type": ["string", "null"], "pattern": "^a", "format": "email"},
        {"properties": {"pattern": {"type": "string"}, "$ref": {"type": "string"}}},
        {"$ref": "#/$defs/a~1b%20c", "$defs": {"a/b c": True}},
        {"$ref": "#/prefixItems/1", "prefixItems": [{}, False]},
        {"$ref": "#/properties/a/allOf/0/items", "properties": {"a": {"allOf": [{"items": {}}]}}},
        {"$ref": "#/dependentSchemas/a", "dependentSchemas": {"a": {}}},
        {"description": "$ref: http://nowhere", "examples": [{"type": 5}], "default": {"minimum": "x"}},
        {"x-own": {"anything": [1, {"goes": None}]}},
    ],
)
def test_schema_without_fault_has_none(schema: dict[str, Any]) -> None:
    assert schema_faults.fault(schema) is None


def test_rule_that_is_refused_is_refused_as_a_name_too() -> None:
    """A reference could lead there, so such a property cannot be asked for."""
    assert schema_faults.fault({"properties": {"patternProperties": {"type": "string"}}}) is not None


@pytest.mark.parametrize("pattern", ["(?=a)b", r"(a)\1", "[unclosed", r"\w{400}"])
def test_pattern_that_cannot_be_bounded_is_refused(pattern: str) -> None:
    found = schema_faults.fault({"properties": {"a": {"pattern": pattern}}})

    assert isinstance(found, Unusable) and f"{PATH}.properties.a.pattern" == found.path


@given(st.dictionaries(st.sampled_from(["$ref", "items", "$defs", "enum", "pattern", "type", "x"]), values))
def test_fault_of_any_object_is_found_without_an_exception(schema: dict[str, Any]) -> None:
    found = schema_faults.fault(schema)

    assert found is None or found.path.startswith(PATH)


@given(st.text(max_size=80), st.integers(0, 20))
def test_place_of_any_fault_is_printable_and_short(name: str, depth: int) -> None:
    found = schema_faults.fault(nested(depth, {"properties": {name: {"$id": "x"}}}))

    assert found is not None and found.path.isprintable() and len(found.path) < 200


@pytest.mark.parametrize(
    ("value", "deeper"),
    [
        (nested(63, {}), False),
        (nested(64, {}), True),
        (nested(63, []), False),
        (nested(64, 5), True),
        ([[]] * 99, False),
        ("x" * 99, False),
    ],
)
def test_levels_of_nesting_are_counted_to_the_limit(value: object, deeper: bool) -> None:
    assert deeper == schema_faults.deeper(value)


@pytest.mark.parametrize(
    ("place", "path"),
    [
        ((), ""),
        (("items", 3), ".items.3"),
        (("a\x1b", "b" * 50), ".a?." + "b" * 40),
        (tuple("abcdefghi"), ".a.b.c.d.e.f.g.h.i"),
        (tuple("abcdefghij"), ".a.b.c.d.e.f.g.h.i…"),
    ],
)
def test_place_in_a_request_is_a_path_of_bounded_length(place: tuple[str | int, ...], path: str) -> None:
    assert PATH + path == schema_faults.in_request(place)


def test_examples_of_the_docstrings_hold() -> None:
    ran = doctest.testmod(schema_faults)

    assert (0, True) == (ran.failed, ran.attempted > 0)
