"""Do all providers keep one contract, and does the pipeline answer whatever they do? Over loopback, without broker."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from streams import settings
from streams.adapters.providers import anthropic, openai
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.adapters.providers.line import LinePolicy
from streams.adapters.providers.remote import Models, Price, RemoteProvider
from streams.drill.provider import FakeProvider
from streams.drill.script import Plan
from streams.pipeline import provider_of
from streams.ports import Call, Provider
from streams.testing import Pipeline
from tests.support.loops import in_loop, until
from topics.answer import Answer
from topics.messages import Reply
from topics.provider_errors import WorkerError

SECRET = "launch codes"
PRICES = Models("real", prices={"real": Price(1_000_000, 2_000_000)})


@asynccontextmanager
async def remote(kind: Any, plan: Plan, **knobs: Any) -> AsyncIterator[tuple[RemoteProvider, FakeProvider]]:
    """A provider of that kind, and the fake server that it calls."""
    async with FakeProvider(plan) as fake:
        url = fake.base_url if kind is openai else fake.url
        provider = kind.provider(LinePolicy(url, kind.headers("k-1"), **knobs), PRICES)
        try:
            yield provider, fake
        finally:
            await provider.aclose()


# One contract for all


@asynccontextmanager
async def hung_echo() -> AsyncIterator[tuple[Provider, Callable[[], list[str]]]]:
    actions: list[str] = []

    async def sleep(seconds: float) -> None:
        actions.append("start")
        try:
            await asyncio.Event().wait()
        finally:
            actions.append("cancel")

    yield EchoProvider(sleep=sleep), lambda: actions


class Kind:
    """A provider under contract: with good answers, with one that fails, with one that hangs."""

    def __init__(self, module: Any = None) -> None:
        self.module = module
        self.transient, self.permanent = ("503", "401") if module else ("overloaded", "auth")

    @asynccontextmanager
    async def __call__(self, *steps: str, nonce: bool = False) -> AsyncIterator[Provider]:
        if self.module is None:
            yield EchoProvider(EchoPolicy(faults=steps, nonce=nonce))
            return
        async with remote(self.module, Plan(steps, nonce=nonce)) as (provider, _):
            yield provider

    @asynccontextmanager
    async def hung(self) -> AsyncIterator[tuple[Provider, Callable[[], list[str]]]]:
        if self.module is None:
            async with hung_echo() as found:
                yield found
            return
        async with remote(self.module, Plan(("hang",))) as (provider, fake):
            yield provider, fake.ledger.actions


KINDS = {"echo": Kind(), "openai": Kind(openai), "anthropic": Kind(anthropic)}
contract = pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)


def call(text: Any = "hello", *before: dict[str, Any], call_id: str = "c-1") -> Call:
    return Call(call_id, (*before, {"role": "user", "content": text}), "m-1")


async def replies(made: AbstractAsyncContextManager[Provider], *calls: Call) -> list[Reply]:
    async with made as provider:
        return [await provider.complete(one) for one in calls]


@contract
@in_loop
async def test_reply_of_every_provider_answers_the_last_user(kind: Kind) -> None:
    earlier = ({"role": "system", "content": "be brief"}, {"role": "user", "content": "first"})
    (reply,) = await replies(kind(), call("hello", *earlier, {"role": "assistant", "content": "and"}))

    assert ("echo: hello", "stop") == (reply.text, reply.finish_reason)


@contract
@in_loop
async def test_reply_of_every_provider_names_provider_and_model(kind: Kind) -> None:
    async with kind() as provider:
        reply = await provider.complete(call())

    assert (provider.name, "m-1", 1) == (reply.provider, reply.model, reply.attempts)


@contract
@in_loop
async def test_reply_of_every_provider_counts_its_tokens(kind: Kind) -> None:
    short, long = await replies(kind(), call("hello"), call("hello " * 50))

    assert (2, 3, True) == (short.usage.input_tokens, short.usage.output_tokens, short.usage_known)
    assert short.usage.input_tokens < long.usage.input_tokens


@contract
@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "echo: "),
        ("Grüße 日本 🎉", "echo: Grüße 日本 🎉"),
        ('"}]}\n\x00', 'echo: "}]}\n\x00'),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], "echo: ab"),
    ],
)
@in_loop
async def test_text_of_any_kind_comes_back_from_every_provider(kind: Kind, content: Any, text: str) -> None:
    (reply,) = await replies(kind(), call(content))

    assert text == reply.text


@contract
@in_loop
async def test_equal_calls_of_every_provider_get_equal_replies(kind: Kind) -> None:
    one, two = await replies(kind(), call(), call())

    assert one == two


@contract
@in_loop
async def test_calls_of_every_provider_with_a_nonce_differ(kind: Kind) -> None:
    found = await replies(kind(nonce=True), call(), call(), call())

    assert 3 == len({reply.text for reply in found})


@contract
@in_loop
async def test_calls_of_every_provider_run_at_once(kind: Kind) -> None:
    async with kind() as provider:
        found = await asyncio.gather(*(provider.complete(call(f"n{n}", call_id=f"c-{n}")) for n in range(50)))

    assert [f"echo: n{n}" for n in range(50)] == [reply.text for reply in found]


@contract
@pytest.mark.parametrize("retryable", [True, False])
@in_loop
async def test_failure_of_every_provider_is_a_worker_error_that_names_it(kind: Kind, retryable: bool) -> None:
    async with kind(kind.transient if retryable else kind.permanent) as provider:
        with pytest.raises(WorkerError) as raised:
            await provider.complete(call(SECRET))

    assert (provider.name, retryable) == (raised.value.provider, raised.value.retryable)
    assert SECRET not in f"{raised.value} {raised.value.args}"


@contract
@in_loop
async def test_every_provider_answers_again_after_a_failure(kind: Kind) -> None:
    async with kind(kind.transient, "ok") as provider:
        with pytest.raises(WorkerError):
            await provider.complete(call())
        reply = await provider.complete(call())

    assert "echo: hello" == reply.text


@contract
@in_loop
async def test_cancelled_call_of_every_provider_ends_where_it_runs(kind: Kind) -> None:
    async with kind.hung() as (provider, actions):
        task = asyncio.ensure_future(provider.complete(call()))
        await until(lambda: actions() == ["start"])
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: actions() == ["start", "cancel"])


# The whole pipeline over them

paid = pytest.mark.parametrize("kind", [openai, anthropic], ids=["openai", "anthropic"])


async def answered(provider: Provider, **fields: Any) -> tuple[Answer, Pipeline]:
    """The one answer of a request through the whole pipeline."""
    pipeline = Pipeline(provider)
    await pipeline.submit({"id": "a-1", "prompt": SECRET, **fields})
    await pipeline.settle()
    (answer,) = pipeline.answers()
    return answer, pipeline


@paid
@in_loop
async def test_request_through_the_pipeline_has_text_usage_and_cost(kind: Any) -> None:
    async with remote(kind, Plan()) as (provider, fake):
        answer, _ = await answered(provider)
    end = fake.ledger.entries[-1]

    assert ("completed", f"echo: {SECRET}", "real") == (answer.status, answer.text, answer.model)
    assert answer.usage is not None
    assert (end.input_tokens, end.output_tokens) == (answer.usage.input_tokens, answer.usage.output_tokens)
    assert end.input_tokens + 2 * end.output_tokens == answer.cost_usd_micros


@paid
@in_loop
async def test_parameters_of_a_request_and_its_identity_reach_the_provider(kind: Any) -> None:
    async with remote(kind, Plan()) as (provider, fake):
        answer, _ = await answered(provider, model="other", params={"seed": 1})
    keys = {entry.key for entry in fake.ledger.entries}

    assert ("other", 1, 64) == (answer.model, len(keys), len(keys.pop()))


@paid
@pytest.mark.parametrize(
    ("step", "error", "retryable", "after"),
    [
        ("401", "provider_denied", False, None),
        ("403", "provider_denied", False, None),
        ("404", "provider_not_found", False, None),
        ("redirect", "provider_not_found", False, None),
        ("429:2", "provider_rate_limited", True, 2.0),
        ("500", "provider_unavailable", True, None),
        ("503:7", "provider_unavailable", True, 7.0),
        ("reset", "provider_unreachable", True, None),
        ("cut", "provider_unreachable", True, None),
        ("hang", "provider_timeout", True, None),
        ("stall", "provider_timeout", True, None),
        ("truncated", "provider_malformed", False, None),
        ("garbage", "provider_malformed", False, None),
        ("huge", "provider_malformed", False, None),
        ("bomb", "provider_malformed", False, None),
        ("empty", "provider_empty", True, None),
        ("context", "context_too_long", False, None),
        ("400", "provider_refused", False, None),
        ("422", "provider_refused", False, None),
    ],
)
@in_loop
async def test_failure_of_a_provider_becomes_its_own_answer(
    kind: Any, step: str, error: str, retryable: bool, after: float | None
) -> None:
    """B103, B46, B98, F14: each failure has its kind in the answer, and no word of the prompt.

    What can pass is tried again; what cannot is told after one call.
    """
    patience = {"hang": {"first_byte_s": 0.2}, "stall": {"idle_s": 0.2}}
    knobs = {"max_bytes": 100_000, **patience.get(step, {})}
    async with remote(kind, Plan((step,)), **knobs) as (provider, _):
        answer, pipeline = await answered(provider)
    tries = json.loads(pipeline.records("failed")[0].value or b"")["tries"]

    assert answer.error is not None
    assert ("failed", "stage_failure" if retryable else error, retryable, after) == (
        answer.status,
        answer.error.kind,
        answer.error.retryable,
        answer.error.retry_after_s,
    )
    assert [error] * (4 if retryable else 1) == [made["kind"] for made in tries]
    assert SECRET not in answer.error.message


@paid
@pytest.mark.parametrize(("step", "finish"), [("length", "length"), ("slow:0.1", "stop")])
@in_loop
async def test_answer_that_came_otherwise_is_completed(kind: Any, step: str, finish: str) -> None:
    async with remote(kind, Plan((step,))) as (provider, _):
        answer, _ = await answered(provider)

    assert ("completed", finish) == (answer.status, answer.finish_reason)


@paid
@pytest.mark.parametrize("step", ["no-usage", "wrong-usage"])
@in_loop
async def test_answer_without_usage_costs_nothing_that_is_known(kind: Any, step: str) -> None:
    async with remote(kind, Plan((step,))) as (provider, _):
        answer, pipeline = await answered(provider)
    (written,) = pipeline.records("inferred")

    assert ("completed", 0) == (answer.status, answer.cost_usd_micros)
    assert b'"usage_known":false' in (written.value or b"")


@paid
@in_loop
async def test_tool_call_of_a_provider_reaches_the_caller_in_the_shape_of_openai(kind: Any) -> None:
    async with remote(kind, Plan(("tools",))) as (provider, _):
        answer, _ = await answered(provider)
    (tool_call,) = (answer.message or {})["tool_calls"]

    assert ("completed", "tool_calls") == (answer.status, answer.finish_reason)
    assert ("call_1", "function", "lookup") == (tool_call["id"], tool_call["type"], tool_call["function"]["name"])


@paid
@in_loop
async def test_deadline_of_a_request_ends_its_call_on_the_server(kind: Any) -> None:
    """B72: the caller gets `expired`, the provider sees the caller go."""
    async with remote(kind, Plan(("hang",))) as (provider, fake):
        pipeline = Pipeline(provider)
        await pipeline.submit({"id": "a-1", "prompt": "hello", "timeout_s": 5})
        settling = asyncio.ensure_future(pipeline.settle())
        await until(lambda: fake.ledger.actions() == ["start"])
        pipeline.clock.wind_to(pipeline.clock.now_ms() + 5000)
        await settling
        await until(lambda: fake.ledger.actions() == ["start", "cancel"])

    assert ["expired"] == [answer.status for answer in pipeline.answers()]


@paid
@in_loop
async def test_storm_of_refusals_is_waited_out_and_all_are_answered(kind: Any) -> None:
    """F14: no request is lost to it, and none is called before the second that was asked for."""
    async with remote(kind, Plan(("429:1*20", "ok*200"))) as (provider, fake):
        pipeline = Pipeline(provider)
        for number in range(40):
            await pipeline.submit({"id": f"a-{number}", "prompt": f"hello {number}"})
        await pipeline.settle()

    assert ["completed"] * 40 == [answer.status for answer in pipeline.answers()]
    assert 60 == fake.ledger.actions().count("start")


@paid
@pytest.mark.parametrize(("key", "status"), [("k-7", "completed"), ("k-8", "failed")])
@in_loop
async def test_provider_of_the_settings_file_is_called_with_its_key(
    tmp_path: Path, kind: Any, key: str, status: str
) -> None:
    """From `streams.toml` and a named variable to the answer: address, key, default model and price."""
    name = kind.NAME
    async with FakeProvider(Plan(key="k-7")) as fake:
        url = fake.base_url if kind is openai else fake.url
        about = f'base_url = "{url}"\nmodel = "real"\napi_key_env = "KEY"\nprices = {{ real = {{ input = 1000000 }} }}'
        (tmp_path / "streams.toml").write_text(f'[provider]\nkind = "{name}"\n[provider.{name}]\n{about}\n')
        provider = provider_of(settings.load({}, {"KEY": key}, tmp_path).settings)
        answer, _ = await answered(provider)
        await provider.aclose()  # type: ignore[attr-defined]  # a paid one has connections

    asked = fake.ledger.entries[0].input_tokens
    assert (status, name if status == "completed" else None) == (answer.status, answer.provider)
    assert (asked if status == "completed" else 0) == answer.cost_usd_micros
