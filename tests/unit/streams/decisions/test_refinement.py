"""Which replies may be shown, under which policy."""

import doctest
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import refinement
from streams.decisions.refinement import RefinementPolicy
from tests.support.builders import reply
from topics.errors import AnswerEmpty, AnswerInvalid, AnswerTooLong, AnswerTruncated, OrchestratorError
from topics.messages import Reply

STRICT = RefinementPolicy(empty="fail", truncated="fail")
LENIENT = RefinementPolicy()
OBJECT = {"response_format": {"type": "json_object"}}
CALLS = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function"}]}


def fault(answer: Reply, policy: RefinementPolicy = LENIENT, **params: Any) -> OrchestratorError | None:
    return refinement.fault(answer, params, policy)


def raised(answer: Reply, policy: RefinementPolicy = STRICT, **params: Any) -> None:
    """Raises what stands against a reply."""
    found = fault(answer, policy, **params)
    if found is not None:
        raise found


def test_defaults_accept_what_the_provider_could_give() -> None:
    assert ("accept", "accept", 1024 * 1024) == (LENIENT.empty, LENIENT.truncated, LENIENT.max_answer_bytes)


def test_policy_of_a_running_worker_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        LENIENT.empty = "fail"  # type: ignore[misc]  # the claim


@given(st.text(), st.sampled_from(["stop", "length", "tool_calls", "content_filter"]))
def test_any_text_within_the_limit_may_be_shown_by_default(text: str, finish: str) -> None:
    assert fault(reply(text, finish_reason=finish)) is None


@pytest.mark.parametrize("text", ["", " ", "\n\t "])
def test_reply_without_text_fails_where_that_is_set(text: str) -> None:
    with pytest.raises(AnswerEmpty):
        raised(reply(text))


def test_tool_calls_without_text_are_an_answer() -> None:
    assert fault(reply("", message=CALLS), STRICT) is None


@pytest.mark.parametrize("message", [None, {}, {"role": "assistant", "tool_calls": []}])
def test_message_without_tool_calls_is_empty(message: dict[str, Any] | None) -> None:
    assert isinstance(fault(reply("", message=message), STRICT), AnswerEmpty)


def test_reply_that_was_cut_short_fails_where_that_is_set() -> None:
    with pytest.raises(AnswerTruncated):
        raised(reply("half an ans", finish_reason="length"))


@pytest.mark.parametrize("finish", ["stop", "tool_calls"])
def test_reply_that_came_to_its_end_passes_the_strict_policy(finish: str) -> None:
    assert fault(reply("whole", finish_reason=finish), STRICT) is None


def test_reply_above_the_limit_fails_with_both_sizes() -> None:
    with pytest.raises(AnswerTooLong, match="has 5 bytes, the limit is 4"):
        raised(reply("abcde"), RefinementPolicy(max_answer_bytes=4))


@pytest.mark.parametrize(
    ("text", "limit", "above"), [("üü", 4, 0), ("üü", 3, 4), ("😀", 4, 0), ("😀", 3, 4), ("a", 1, 0)]
)
def test_limit_counts_bytes_and_is_inclusive(text: str, limit: int, above: int) -> None:
    found = fault(reply(text), RefinementPolicy(max_answer_bytes=limit))

    assert above == (found.size if isinstance(found, AnswerTooLong) else 0)


@given(st.text(), st.integers(1, 40))
def test_any_text_fails_exactly_above_the_limit(text: str, limit: int) -> None:
    found = fault(reply(text), RefinementPolicy(max_answer_bytes=limit))

    assert (len(text.encode()) > limit) == isinstance(found, AnswerTooLong)


def test_answer_that_breaks_its_format_fails() -> None:
    with pytest.raises(AnswerInvalid, match=r"at \$: type object"):
        raised(reply("[1]"), LENIENT, **OBJECT)


def test_answer_that_keeps_its_format_may_be_shown() -> None:
    assert fault(reply('{"a": 1}'), STRICT, **OBJECT) is None


@pytest.mark.parametrize("wanted", [None, {"type": "text"}, {"type": "grammar"}])
def test_format_that_cannot_be_checked_here_binds_nothing(wanted: object) -> None:
    assert fault(reply("no JSON"), response_format=wanted) is None


def test_answer_that_was_cut_short_is_told_so() -> None:
    assert "The answer breaks its response_format at $: not JSON (line 1 column 5); it was cut short" == str(
        fault(reply('{"a"', finish_reason="length"), **OBJECT)
    )


def test_answer_that_was_cut_short_and_still_fits_may_be_shown() -> None:
    assert fault(reply("{}", finish_reason="length"), **OBJECT) is None


def test_empty_answer_breaks_a_format_even_where_empty_is_accepted() -> None:
    assert isinstance(fault(reply(""), **OBJECT), AnswerInvalid)


def test_tool_calls_are_not_held_against_a_format() -> None:
    assert fault(reply("", message=CALLS), **OBJECT) is None


def test_text_beside_tool_calls_has_to_fit_its_format() -> None:
    assert isinstance(fault(reply("no JSON", message=CALLS), **OBJECT), AnswerInvalid)


def test_format_that_is_unusable_fails_with_its_place() -> None:
    assert "response_format.json_schema.schema is missing" in str(
        fault(reply("{}"), response_format={"type": "json_schema"})
    )


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(reply("abcdef", finish_reason="length"), AnswerTooLong), (reply(" ", finish_reason="length"), AnswerEmpty)],
)
def test_worst_fault_of_several_is_told(answer: Reply, kind: type[OrchestratorError]) -> None:
    policy = RefinementPolicy("fail", "fail", 5)

    assert type(fault(answer, policy, **OBJECT)) is kind


@given(st.text(min_size=12, alphabet="zQx"))
def test_fault_of_any_reply_holds_no_word_of_it(text: str) -> None:
    for policy in (STRICT, RefinementPolicy(max_answer_bytes=1)):
        assert text not in str(fault(reply(text, finish_reason="length"), policy, **OBJECT))


def test_examples_of_the_docstrings_hold() -> None:
    assert (0, 1) == tuple(doctest.testmod(refinement))
