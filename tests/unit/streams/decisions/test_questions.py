"""What a row asks for, and its id: the same in every run of a batch, whatever rows come or go around it."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions.questions import Naming, Question, by_content, digest, encoded, request
from topics.catalog import PROMPT_BYTES
from topics.errors import ConfigurationError
from topics.request import Request

prompts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), max_size=12)


def named(rows, batch="mine"):
    """The ids that one run of a batch gives."""
    naming = Naming(by_content(batch))
    return [naming.question(row, "row").id for row in rows]


def refused(rows):
    with pytest.raises(ConfigurationError) as found:
        named(rows)
    return found.value


@pytest.mark.parametrize(
    ("row", "meant"),
    [
        ("hi", {"prompt": "hi"}),
        ("", {"prompt": ""}),
        ({"id": "a", "prompt": "x"}, {"id": "a", "prompt": "x"}),
        ({"promt": "left for the pipeline to judge"}, {"promt": "left for the pipeline to judge"}),
        (Request(prompt="x", priority="high"), {"prompt": "x", "priority": "high"}),
    ],
)
def test_request_of_a_row_is_what_it_says(row, meant):
    assert meant == request(row, "row 1")


def test_request_of_a_mapping_is_another_mapping():
    row = {"prompt": "x"}

    assert row is not request(row, "row 1")


@pytest.mark.parametrize("row", [5, None, ["x"], b"x"])
def test_row_that_is_no_request_is_refused_by_its_place(row):
    with pytest.raises(ConfigurationError) as found:
        request(row, "row 7")

    assert ("row 7", type(row).__name__) == (found.value.field, found.value.value)


def test_question_of_a_row_is_the_row_with_its_id_as_key():
    question = Naming(by_content("mine")).question({"id": "ä", "prompt": "x"}, "row 1")

    assert ("ä", "ä".encode(), {"id": "ä", "prompt": "x"}) == (question.id, question.key, json.loads(question.value))


def test_question_of_a_nameless_row_holds_the_made_id():
    question = Naming(lambda content: "made").question({"id": None, "prompt": "x"}, "row 1")

    assert Question("made", b'{"id":"made","prompt":"x"}') == question


@given(prompts)
def test_ids_of_a_batch_are_the_same_in_every_run(rows):
    assert named(rows) == named(rows)


@given(prompts)
def test_ids_of_a_batch_differ_from_row_to_row(rows):
    assert len(rows) == len(set(named(rows)))


@given(prompts, st.text("abc", min_size=6, max_size=8), st.integers(0, 12))
def test_ids_of_other_rows_stay_when_a_new_row_comes_between(rows, new, at):
    before, after = named(rows), named([*rows[:at], new, *rows[at:]])

    assert before == [id for place, id in enumerate(after) if place != min(at, len(rows))]


@given(prompts)
def test_ids_of_two_batches_never_meet(rows):
    assert set() == set(named(rows, "one")) & set(named(rows, "two"))


def test_ids_of_a_batch_are_pinned() -> None:
    """A later version of the program asks the same requests again."""
    assert ["r-b3254c008c3378703983a0fc", "r-a0cbe1d60ffda3d9da82edcd", "r-e0b9eac5cc64b0eac638397c"] == named(
        ["a"] * 3
    )


def test_id_that_is_null_is_no_part_of_the_content():
    assert named([{"prompt": "x"}]) == named([{"id": None, "prompt": "x"}])


def test_order_of_fields_does_not_change_the_made_id():
    assert named([{"prompt": "x", "model": "m"}]) == named([{"model": "m", "prompt": "x"}])


@pytest.mark.parametrize("field", ["budget", "model", "metadata", "sample"])
def test_any_other_field_makes_another_id(field):
    assert named([{"prompt": "x"}]) != named([{"prompt": "x", field: "y"}])


def test_made_id_can_be_told_from_others():
    assert ["r-", 26] == [named(["x"])[0][:2], len(named(["x"])[0])]


@pytest.mark.parametrize("id", [5, "", [], True, "é" * 2049, "a" * 4097])
def test_id_that_is_no_text_is_refused(id):
    assert "row: id" == refused([{"id": id, "prompt": "x"}]).field


@pytest.mark.parametrize("second", [{"id": "a", "prompt": "x"}, {"id": "a", "prompt": "y"}])
def test_id_that_comes_twice_is_refused_by_value(second):
    found = refused([{"id": "a", "prompt": "x"}, second])

    assert ("row: id", "a") == (found.field, found.value)


def test_row_that_was_refused_does_not_take_its_id():
    naming = Naming(by_content("mine"))
    with pytest.raises(ConfigurationError):
        naming.question({"id": "a", "prompt": object()}, "row 1")

    assert "a" == naming.question({"id": "a", "prompt": "x"}, "row 2").id


@pytest.mark.parametrize("value", [object(), "\ud800", {1: "x"}, 1 << 70, float("nan"), [{"a": float("-inf")}]])
def test_value_that_is_no_json_is_refused_without_quoting_it(value):
    with pytest.raises(ConfigurationError, match="cannot be written as JSON") as found:
        encoded({"prompt": "secret", "metadata": value}, "row 3")

    assert ("row 3: metadata", type(value).__name__) == (found.value.field, found.value.value)
    assert "secret" not in str(found.value)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_digests_are_equal_for_equal_ids_alone(one, other):
    assert (one == other) == (digest(one) == digest(other))


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_digest_of_an_id_has_128_bits(id):
    assert 0 <= digest(id) < 1 << 128


def test_digests_of_ids_use_all_of_their_bits():
    assert max(digest(f"{number}") for number in range(100)) >= 1 << 127


@pytest.mark.parametrize("value", [None, "null", {"a": [None]}])
def test_value_that_is_null_on_purpose_is_written(value):
    assert {"metadata": value} == json.loads(encoded({"metadata": value}, "row 3"))


@pytest.mark.parametrize(("bytes_", "taken"), [(PROMPT_BYTES, True), (PROMPT_BYTES + 1, False)])
def test_row_above_the_size_of_a_request_is_refused_by_its_size(bytes_, taken):
    row = {"id": "a", "prompt": "x" * (bytes_ - len('{"id":"a","prompt":""}'))}

    if taken:
        assert bytes_ == len(Naming(by_content("mine")).question(row, "row").value)
    else:
        assert ("row", f"{bytes_} bytes") == (refused([row]).field, refused([row]).value)


def test_id_of_the_largest_size_is_taken():
    assert ["é" * 2048] == named([{"id": "é" * 2048, "prompt": "x"}])


def test_id_that_is_too_large_is_shown_by_its_beginning():
    assert "a" * 40 == refused([{"id": "a" * 5000, "prompt": "x"}]).value
