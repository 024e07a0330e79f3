"""May a reply be shown? Total: each reply either may, or has one error that says why not, without any word of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from streams.decisions import answer_schema
from streams.decisions.answer_schema import Compiled, Unusable
from topics.catalog import MIB
from topics.errors import AnswerEmpty, AnswerInvalid, AnswerTooLong, AnswerTruncated, OrchestratorError
from topics.messages import Reply

CUT_SHORT = "length"  # the providers' own words for it become this one
UTF8_BYTES = 4  # of one character at most

Choice = Literal["accept", "fail"]


@dataclass(frozen=True, slots=True)
class RefinementPolicy:
    """The knobs of ``refine``.

    Args:
        empty: Whether a reply with neither text nor tool calls is an answer.
        truncated: Whether a reply that was cut short by the token limit is one; its ``finish_reason`` says so.
        max_answer_bytes: Bytes of text, inclusive.
    """

    empty: Choice = "accept"
    truncated: Choice = "accept"
    max_answer_bytes: int = MIB


def fault(reply: Reply, params: Mapping[str, Any], policy: RefinementPolicy) -> OrchestratorError | None:
    """What stands against showing a reply.

    Args:
        reply: What the provider returned.
        params: The request's parameters; ``response_format`` is what the text has to fit.
        policy: What is accepted.

    Returns:
        None where it may be shown, else one of ``AnswerTooLong``, ``AnswerEmpty``, ``AnswerTruncated`` and
        ``AnswerInvalid``. Tool calls without text are not held against a format.

    >>> str(fault(Reply(text="", model="m", provider="p"), {}, RefinementPolicy(empty="fail")))
    'The answer has neither text nor tool calls'
    """
    size = _bytes_above(reply.text, policy.max_answer_bytes)
    if size:
        return AnswerTooLong(size, policy.max_answer_bytes)
    silent = not reply.text or reply.text.isspace()
    calls = silent and bool((reply.message or {}).get("tool_calls"))
    if silent and not calls and policy.empty == "fail":
        return AnswerEmpty()
    if reply.finish_reason == CUT_SHORT and policy.truncated == "fail":
        return AnswerTruncated()
    return None if calls or answer_schema.FIELD not in params else _misfit(reply, params)


def _bytes_above(text: str, limit: int) -> int:
    """The size of a text above the limit, else 0; short texts are not encoded to be measured."""
    size = len(text.encode()) if len(text) * UTF8_BYTES > limit else 0
    return size if size > limit else 0


def _misfit(reply: Reply, params: Mapping[str, Any]) -> AnswerInvalid | None:
    match answer_schema.asked(params):
        case None:
            return None
        case Unusable(path, reason):
            return AnswerInvalid("$", f"{path} {reason}")
        case Compiled() as compiled:
            found = answer_schema.misfit(reply.text, compiled)
            cut = found is not None and reply.finish_reason == CUT_SHORT
            return AnswerInvalid(found.path, f"{found.rule}; it was cut short") if found and cut else found
        case other:
            assert_never(other)


__all__ = ["Choice", "RefinementPolicy", "fault"]
