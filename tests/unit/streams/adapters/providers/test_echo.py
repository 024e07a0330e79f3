import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streams.adapters.clock import HandClock
from streams.adapters.providers.echo import EchoPolicy, EchoProvider, last_said, script, tokens
from streams.ports import Call
from tests.support.scopes import until
from topics.errors import ConfigurationError
from topics.messages import Reply, Usage
from topics.provider_errors import WorkerError


def call(text: str = "hello", call_id: str = "c-1", model: str = "default") -> Call:
    return Call(call_id, ({"role": "user", "content": text},), model)


def provider(slept: list[float] | None = None, **knobs: Any) -> EchoProvider:
    async def pause(seconds: float) -> None:
        if slept is not None:
            slept.append(seconds)

    numbers = iter(range(1000))
    return EchoProvider(EchoPolicy(**knobs), sleep=pause, fresh=lambda: f"n{next(numbers)}", now=lambda: 1.5)


def answered(echo: EchoProvider, *calls: Call) -> list[Reply]:
    async def all_of_them() -> list[Reply]:
        return [await echo.complete(one) for one in calls]

    return asyncio.run(all_of_them())


def outcomes(echo: EchoProvider, times: int) -> list[str]:
    async def one() -> str:
        try:
            return (await echo.complete(call())).finish_reason
        except WorkerError as error:
            return f"{error.reason} {error.retryable}"

    async def all_of_them() -> list[str]:
        return [await one() for _ in range(times)]

    return asyncio.run(all_of_them())


def test_reply_repeats_what_the_user_said() -> None:
    (reply,) = answered(provider(), call("hello", model="m"))

    assert ("echo: hello", "m", "echo", "stop", 0) == (
        reply.text,
        reply.model,
        reply.provider,
        reply.finish_reason,
        reply.cost_usd_micros,
    )


def test_name_of_the_provider_is_echo() -> None:
    assert "echo" == provider().name


def test_equal_calls_get_equal_replies() -> None:
    one, two = answered(provider(), call(), call())

    assert one == two


def test_equal_calls_with_nonce_get_different_replies() -> None:
    one, two = answered(provider(nonce=True), call(), call())

    assert ("echo: hello [n0]", "echo: hello [n1]") == (one.text, two.text)


def test_nonce_of_its_own_is_fresh_each_call() -> None:
    texts = {reply.text for reply in answered(EchoProvider(EchoPolicy(nonce=True)), *[call()] * 20)}

    assert 20 == len(texts)


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], ""),
        ([{"role": "system", "content": "be brief"}], ""),
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        ([{"role": "user", "content": "a"}, {"role": "user", "content": "b"}], "b"),
        ([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}], "ab"),
        ([{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}], ""),
        ([{"role": "user", "content": None}], ""),
        ([{"role": "user"}], ""),
    ],
)
def test_last_words_of_a_conversation_are_the_users(messages: Sequence[dict[str, Any]], said: str) -> None:
    assert said == last_said(messages)


@pytest.mark.parametrize(("text", "count"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("éé", 1), ("ééé", 2)])
def test_tokens_of_a_text_are_its_bytes_by_four(text: str, count: int) -> None:
    assert count == tokens(text)


def test_usage_of_a_call_counts_every_message() -> None:
    asked = Call("c", ({"role": "system", "content": "12345"}, {"role": "user", "content": "1234"}), "m")

    (reply,) = answered(provider(), asked)

    assert Usage(input_tokens=3, output_tokens=tokens("echo: 1234")) == reply.usage


@pytest.mark.parametrize(("delay_s", "rate", "slept"), [(0.0, None, 0.0), (0.5, None, 0.5), (0.5, 2.0, 2.0)])
def test_pace_of_a_reply_is_delay_plus_tokens(delay_s: float, rate: float | None, slept: float) -> None:
    seen = list[float]()

    answered(provider(seen, delay_s=delay_s, tokens_per_s=rate), call("hello"))

    assert [slept] == seen


def test_script_of_faults_is_followed_and_starts_again() -> None:
    echo = provider(faults=("ok", "timeout", "error:auth"))

    assert ["stop", "timeout True", "auth False", "stop", "timeout True"] == outcomes(echo, 5)


@pytest.mark.parametrize(("reason", "retryable"), [("rate_limited", True), ("overloaded", True), ("budget", False)])
def test_fault_of_each_reason_says_whether_to_retry(reason: str, retryable: bool) -> None:
    assert [f"{reason} {retryable}"] == outcomes(provider(faults=(reason,)), 1)


@pytest.mark.parametrize(
    ("faults", "reasons"),
    [
        ((), ()),
        ("", ()),
        ("ok, timeout ,error:auth", (None, "timeout", "auth")),
        (["error:ok", " ", "budget"], (None, "budget")),
    ],
)
def test_script_in_each_form_reads_the_same(faults: Sequence[str], reasons: tuple[str | None, ...]) -> None:
    assert reasons == script(faults)


@pytest.mark.parametrize("word", ["tiemout", "error:", "OK", "error:error:auth"])
def test_script_with_an_unknown_word_is_refused_with_the_known_ones(word: str) -> None:
    with pytest.raises(ConfigurationError, match="rate_limited") as refused:
        provider(faults=(word,))
    assert ("provider.echo.faults", word) == (refused.value.field, refused.value.value)


def test_fault_text_holds_no_prompt() -> None:
    with pytest.raises(WorkerError) as refused:
        answered(provider(faults=("auth",)), call("secret"))
    assert "Worker inference failed: echo: auth" == str(refused.value)


def test_log_of_a_good_call_has_start_and_end(tmp_path: Path) -> None:
    path = tmp_path / "calls.log"

    answered(provider(log_path=path, nonce=True), call(call_id="c-1"))

    pid = os.getpid()
    assert [f"start c-1 {pid} 1.500000 n0", f"end c-1 {pid} 1.500000 n0"] == path.read_text().splitlines()


def test_log_of_a_failed_call_has_start_and_error(tmp_path: Path) -> None:
    path = tmp_path / "calls.log"

    outcomes(provider(log_path=path, faults=("timeout",)), 1)

    assert ["start", "error"] == [line.split()[0] for line in path.read_text().splitlines()]


def test_log_of_a_cancelled_call_has_start_and_cancel(tmp_path: Path) -> None:
    path, clock = tmp_path / "calls.log", HandClock()
    echo = EchoProvider(EchoPolicy(delay_s=20, log_path=path), sleep=clock.sleep)

    async def scenario() -> bool:
        task = asyncio.ensure_future(echo.complete(call()))
        await until(lambda: clock.sleepers)
        task.cancel()
        await asyncio.wait({task})
        return task.cancelled()

    assert asyncio.run(scenario())
    assert ["start", "cancel"] == [line.split()[0] for line in path.read_text().splitlines()]


def test_log_of_an_earlier_process_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "calls.log"
    path.write_text("start c-0 1 1.0 n\n")

    answered(provider(log_path=path), call())

    assert 3 == len(path.read_text().splitlines())


def test_calls_at_once_are_counted_in_their_order() -> None:
    async def scenario() -> list[str]:
        clock = HandClock()
        echo = EchoProvider(EchoPolicy(delay_s=1, faults=("ok", "timeout")), sleep=clock.sleep)
        tasks = [asyncio.ensure_future(echo.complete(call())) for _ in range(3)]
        await until(lambda: clock.sleepers == 3)
        clock.wind_to(clock.now_ms() + 1000)
        await asyncio.wait(tasks)
        return [type(task.exception()).__name__ for task in tasks]

    assert ["NoneType", "WorkerError", "NoneType"] == asyncio.run(scenario())
