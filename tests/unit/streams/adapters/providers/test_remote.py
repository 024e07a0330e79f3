"""What all providers behind HTTP share: names of models, prices, counts, and the way of a call."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.providers import openai
from streams.adapters.providers.line import LinePolicy, Response
from streams.adapters.providers.remote import DEEPEST, MOST_TOKENS, Models, Price, parsed, usage, word
from streams.drill.provider import FakeProvider
from streams.drill.script import Plan
from streams.ports import Call, Closing
from tests.support.loops import in_loop
from topics.messages import Usage
from topics.provider_errors import ProviderMalformed

COUNTS = st.integers(0, MOST_TOKENS)


def call(model="default", **params):
    return Call("c-1", ({"role": "user", "content": "hello"},), model, params)


@pytest.mark.parametrize(
    ("models", "asked", "real"),
    [
        (Models(), "default", "default"),
        (Models(), "m", "m"),
        (Models("big"), "default", "big"),
        (Models("big"), "m", "m"),
        (Models("big", {"fast": "small"}), "fast", "small"),
        (Models("big", {"default": "small"}), "default", "small"),
        (Models(None, {"default": "small"}), "default", "small"),
        (Models("big", {"big": "small"}), "default", "big"),
    ],
)
def test_model_asked_for_becomes_the_provider_s_own(models, asked, real):
    assert real == models.real(asked)


@pytest.mark.parametrize(
    ("price", "read", "written", "micros"),
    [
        (Price(2_500_000, 10_000_000), 1_000_000, 0, 2_500_000),
        (Price(2_500_000, 10_000_000), 0, 1_000_000, 10_000_000),
        (Price(2_500_000, 10_000_000), 100, 20, 450),
        (Price(150_000, 600_000), 9, 20, 14),
        (Price(150_000, 600_000), 1, 0, 1),
        (Price(150_000, 600_000), 0, 0, 0),
        (Price(), 9, 20, 0),
    ],
)
def test_cost_of_a_call_is_rounded_up_to_millionths(price, read, written, micros):
    models = Models(prices={"m": price})

    assert micros == models.cost_usd_micros("m", Usage(input_tokens=read, output_tokens=written))


def test_cost_of_a_model_without_price_is_nothing():
    assert 0 == Models(prices={"m": Price(1, 1)}).cost_usd_micros("n", Usage(input_tokens=9, output_tokens=9))


@given(COUNTS, COUNTS, st.integers(0, 10**9), st.integers(0, 10**9))
def test_cost_is_at_most_one_millionth_above_the_exact_one(read, written, dear, dearer):
    found = Models(prices={"m": Price(dear, dearer)}).cost_usd_micros(
        "m", Usage(input_tokens=read, output_tokens=written)
    )

    assert 0 <= found * 10**6 - (read * dear + written * dearer) < 10**6


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ("gpt-5.1", "gpt-5.1"),
        ("org/model:tag@1+x", "org/model:tag@1+x"),
        ("", "m"),
        (None, "m"),
        (3, "m"),
        ("two words", "m"),
        ("\x1b[2J", "m"),
        ("x" * 200, "x" * 200),
        ("x" * 201, "m"),
    ],
)
def test_word_of_a_provider_is_taken_where_it_is_plain(told, found):
    assert found == word(told, "m")


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ({"in": 3, "out": 4}, (3, 4, True)),
        ({"in": 3, "more": 2, "out": 4}, (5, 4, True)),
        ({"in": 3, "more": None, "out": 4}, (3, 4, True)),
        ({"in": 0, "out": 0}, (0, 0, True)),
        ({"in": MOST_TOKENS, "out": 0}, (MOST_TOKENS, 0, True)),
        ({"in": MOST_TOKENS + 1, "out": 0}, (0, 0, False)),
        ({"in": 3}, (0, 0, False)),
        ({"out": 4}, (0, 0, False)),
        ({"in": -1, "out": 4}, (0, 0, False)),
        ({"in": 3, "out": "many"}, (0, 0, False)),
        ({"in": 3.5, "out": 4}, (0, 0, False)),
        ({"in": True, "out": 4}, (0, 0, False)),
        ({}, (0, 0, False)),
        (None, (0, 0, False)),
        ([3, 4], (0, 0, False)),
        ("3", (0, 0, False)),
    ],
)
def test_usage_that_is_no_count_is_zero_and_flagged(told, found):
    counted, known = usage(told, ("in", "more"), "out")

    assert found == (counted.input_tokens, counted.output_tokens, known)


@pytest.mark.parametrize("raw", [b"", b"{", b"<html>", b"\xff", b"NaN", b'{"a": Infinity}', b"[" * 5000 + b"]" * 5000])
def test_answer_that_is_no_json_is_malformed_without_its_bytes(raw):
    with pytest.raises(ProviderMalformed, match="no JSON") as raised:
        parsed(Response("openai", 200, raw))

    assert raised.value.__cause__ is None


@pytest.mark.parametrize(("left", "right"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_answer_above_the_depth_is_malformed(left, right):
    inner = b"1"

    assert parsed(Response("openai", 200, left * DEEPEST + inner + right * DEEPEST))
    with pytest.raises(ProviderMalformed, match="nested too deeply"):
        parsed(Response("openai", 200, left * (DEEPEST + 1) + inner + right * (DEEPEST + 1)))


@in_loop
async def test_call_through_the_shared_way_has_model_price_and_request_id():
    models = Models("real", prices={"real": Price(1_000_000, 1_000_000)})
    async with FakeProvider() as fake:
        remote = openai.provider(LinePolicy(fake.base_url), models)
        reply = await remote.complete(call())
        await remote.aclose()

    assert ("openai", "real", "req_fake-1") == (remote.name, reply.model, reply.request_id)
    assert reply.usage.input_tokens + reply.usage.output_tokens == reply.cost_usd_micros


@in_loop
async def test_provider_that_was_closed_opens_again_with_the_next_call():
    async with FakeProvider(Plan()) as fake:
        remote = openai.provider(LinePolicy(fake.base_url))
        await remote.aclose()
        await remote.complete(call())
        await remote.aclose()
        reply = await remote.complete(call())
        await remote.aclose()

    assert "echo: hello" == reply.text


def test_provider_behind_http_offers_to_be_closed():
    assert isinstance(openai.provider(LinePolicy("http://127.0.0.1:1")), Closing)
