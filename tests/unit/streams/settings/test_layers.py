"""What each source of settings says, as dotted paths."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.settings import layers

NAMES = st.text("abcdef_", min_size=1, max_size=5)
SECTIONS = st.dictionaries(NAMES, st.dictionaries(NAMES, st.integers(), min_size=1), min_size=1)


def test_no_file_anywhere_says_nothing(tmp_path: Path) -> None:
    assert {} == layers.file(tmp_path / "absent")


def test_file_says_each_leaf_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "streams.toml").write_text("[provider.echo]\ndelay_s = 1\n[worker]\napps = ['core']\n")

    origin = f"file {tmp_path / 'streams.toml'}"
    assert {"provider.echo.delay_s": (1, origin), "worker.apps": (["core"], origin)} == layers.file(tmp_path)


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, {}),
        ({"STREAMS_WORKER__SLOT": "1"}, {"worker.slot": "1"}),
        ({"STREAMS_PROVIDER__ECHO__DELAY_S": "2"}, {"provider.echo.delay_s": "2"}),
        ({"STREAMS_NOPE__X": "3"}, {"nope.x": "3"}),
        ({"STREAMS_KAFKA__PROPERTIES": '{"a.b": "c"}'}, {"kafka.properties.a.b": "c"}),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1"}, {"kafka.brokers": "a:1"}),
        ({"streams_worker__slot": "1"}, {}),
    ],
)
def test_environment_says_paths_and_raw_texts(environ: dict[str, str], expected: dict[str, object]) -> None:
    assert expected == {path: value for path, (value, _) in layers.environment(environ).items()}


@pytest.mark.parametrize(
    ("environ", "origin"),
    [
        ({"STREAMS_WORKER__SLOT": "1"}, "environment STREAMS_WORKER__SLOT"),
        ({"STREAMS_KAFKA__PROPERTIES": '{"a.b": "c"}'}, "environment STREAMS_KAFKA__PROPERTIES"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1"}, "environment KAFKA_BOOTSTRAP_SERVERS"),
        ({"STREAMS_A__B__C": "1"}, "environment STREAMS_A__B__C"),
    ],
)
def test_environment_origin_is_the_variable(environ: dict[str, str], origin: str) -> None:
    assert [origin] == [said for _, said in layers.environment(environ).values()]


def test_flags_not_given_say_nothing() -> None:
    assert {"worker.slot": (0, "flag")} == layers.flags({"worker.slot": 0, "worker.grace_s": None})


@given(SECTIONS)
def test_leaves_nested_again_are_the_same(sections: dict[str, dict[str, int]]) -> None:
    assert sections == layers.nested(dict(layers.leaves(sections)))


@pytest.mark.parametrize(
    ("values", "tree"),
    [
        ({"kafka.properties.sasl.mechanism": 1}, {"kafka": {"properties": {"sasl.mechanism": 1}}}),
        ({"worker": 3, "worker.slot": 1}, {"worker": 3}),
        ({"worker.slot": 1, "worker": 3}, {"worker": 3}),
        ({"a.b": 1, "a.c": 2}, {"a": {"b": 1, "c": 2}}),
        ({"a.b": 1, "a.b.c": 2}, {"a": {"b": 1}}),
    ],
)
def test_nested_keeps_plain_values_where_sections_belong(values: dict[str, object], tree: dict[str, Any]) -> None:
    assert tree == layers.nested(values)


def test_empty_sections_have_no_leaves() -> None:
    assert [] == list(layers.leaves({"worker": {}, "topics": {"x": {}}}))


def test_routes_are_one_value_whatever_their_names(tmp_path: Path) -> None:
    """A model's name may have dots."""
    (tmp_path / "streams.toml").write_text('[routes]\n"gpt-4.1" = ["echo:a"]\ndefault = ["echo:b"]\n')
    found = layers.file(tmp_path)

    assert {"routes": {"gpt-4.1": ["echo:a"], "default": ["echo:b"]}} == {
        path: value for path, (value, _) in found.items()
    }
    assert {"routes": found["routes"][0]} == layers.nested({"routes": found["routes"][0]})
