"""Laws of answers from outside: whatever a provider sends, a call ends in a reply that can be written, or our error."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.providers.anthropic import Anthropic
from streams.adapters.providers.line import Response
from streams.adapters.providers.openai import OpenAI
from streams.adapters.providers.refusals import accepted
from streams.adapters.providers.remote import Dialect, parsed
from streams.ports import Call
from tests.support.builders import deduped
from topics.messages import Inferred, Reply, grown
from topics.provider_errors import ProviderError
from topics.wire import decode, encode

MARKER = "Zebra-Marker"
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.just(MARKER)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
)
JSON = st.recursive(
    SCALARS | TEXT, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)
USAGE = st.dictionaries(
    st.sampled_from(["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "cache_read_input_tokens"]),
    st.integers(-3, 2**64 - 1) | JSON,
)
MESSAGE = st.dictionaries(st.sampled_from(["role", "content", "tool_calls", "refusal", MARKER]), JSON, max_size=4)
CHOICE = st.fixed_dictionaries({}, optional={"message": MESSAGE | JSON, "finish_reason": TEXT | JSON})
BLOCK = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "tool_use", "thinking"]) | JSON},
    optional={"text": TEXT | JSON, "input": JSON, "name": JSON, "id": JSON},
)
LIKELY = st.fixed_dictionaries(
    {},
    optional={
        "choices": st.lists(CHOICE | JSON, max_size=2) | JSON,
        "content": st.lists(BLOCK | JSON, max_size=3) | JSON,
        "usage": USAGE | JSON,
        "model": TEXT | JSON,
        "stop_reason": TEXT | JSON,
    },
)
BODIES = st.binary(max_size=80) | (LIKELY | JSON).map(orjson.dumps)
DIALECTS: tuple[Dialect, ...] = (OpenAI(), Anthropic())


def outcome(dialect: Dialect, status: int, raw: bytes) -> Reply | ProviderError:
    """What a call makes of an answer."""
    try:
        response = accepted(Response(dialect.name, status, raw, "r-1"))
        return dialect.reply(parsed(response), "asked", response)
    except ProviderError as error:
        return error


@pytest.mark.parametrize("dialect", DIALECTS)
@given(raw=BODIES)
def test_answer_of_any_bytes_is_a_reply_that_can_be_written_or_our_error(dialect: Dialect, raw: bytes) -> None:
    found = outcome(dialect, 200, raw)

    if isinstance(found, Reply):
        written = encode(grown(deduped(), Inferred, reply=found))
        assert found == decode(written, Inferred).reply


@pytest.mark.parametrize("dialect", DIALECTS)
@given(raw=BODIES, status=st.integers(100, 999))
def test_answer_of_any_status_is_read_the_same_twice(dialect: Dialect, status: int, raw: bytes) -> None:
    one, two = outcome(dialect, status, raw), outcome(dialect, status, raw)

    assert (type(one), str(one)) == (type(two), str(two))


@pytest.mark.parametrize("dialect", DIALECTS)
@given(raw=BODIES, status=st.integers(100, 999))
def test_error_of_any_answer_holds_nothing_of_it(dialect: Dialect, status: int, raw: bytes) -> None:
    """B98: bodies may quote prompts."""
    found = outcome(dialect, status, raw + MARKER.encode())

    assert isinstance(found, ProviderError)
    assert MARKER not in f"{found} {found.args} {vars(found)} {found.__cause__}"


@pytest.mark.parametrize("dialect", DIALECTS)
@given(raw=BODIES)
def test_usage_of_any_answer_is_a_bounded_count(dialect: Dialect, raw: bytes) -> None:
    found = outcome(dialect, 200, raw)

    if isinstance(found, Reply):
        counts = (found.usage.input_tokens, found.usage.output_tokens)
        assert all(0 <= count <= 3 * 10**9 for count in counts)
        assert found.usage_known or (0, 0) == counts


@pytest.mark.parametrize("dialect", DIALECTS)
@given(params=st.dictionaries(TEXT, JSON, max_size=4), text=TEXT)
def test_request_of_any_parameters_is_json_for_that_model(dialect: Dialect, params: dict[str, Any], text: str) -> None:
    call = Call("c", ({"role": "user", "content": text},), "x", params)
    body = orjson.loads(orjson.dumps(dialect.asked(call, "m")))

    assert ("m", [{"role": "user", "content": text}]) == (body["model"], body["messages"])
    assert {name: orjson.loads(orjson.dumps(value)) for name, value in params.items()}.items() <= {
        **body,
        **{name: value for name, value in params.items() if name in ("model", "messages")},
    }.items()
