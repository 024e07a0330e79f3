"""Is a request whose first candidate fails answered by the next? From `streams.toml` to the answer, over loopback."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams import providers, settings
from streams.drill.provider import FakeProvider
from streams.drill.script import Plan
from streams.pipeline import Nowhere, parts_of
from streams.testing import Pipeline
from tests.support.brokers import Broker, External
from tests.support.loops import in_loop
from tests.support.running import Line, RunningWorker, request
from topics.answer import Answer

ROUTES = 'default = ["openai:small", "anthropic:large"]\nlocal = ["openai:tiny"]'
PRICES = "{{ {} = {{ input = 1000000 }} }}"


class Site:
    """A pipeline whose route leads over two fake providers, one of each dialect."""

    def __init__(self, pipeline: Pipeline, first: FakeProvider, second: FakeProvider) -> None:
        self.pipeline, self.first, self.second = pipeline, first, second

    async def ask(self, *names: str, **fields: Any) -> list[Answer]:
        """The answers of requests, each settled before the next one enters."""
        for name in names:
            await self.pipeline.submit({"id": name, "prompt": f"hello {name}", **fields})
            await self.pipeline.settle()
        found = {answer.id: answer for answer in self.pipeline.answers()}
        return [found[name] for name in names]

    def probes(self, name: str) -> list[bool]:
        """Which of the calls that failed for a request were probes."""
        found = (orjson.loads(record.value or b"") for record in self.pipeline.records("inferred"))
        return [made["probe"] for message in found if message["id"] == name for made in message["tries"]]

    @property
    def calls(self) -> tuple[int, int]:
        """How often each of the two was called."""
        first, second = (fake.ledger.actions().count("start") for fake in (self.first, self.second))
        return first, second


def written(first: FakeProvider, second: FakeProvider, more: str = "") -> str:
    """A `streams.toml` whose routes lead over the two."""
    common, mine = 'api_key_env = "KEY"\nfirst_byte_s = 0.2\n', 'model = "own"'
    return (
        f'[routes]\n{ROUTES}\n{more}\n[provider]\nkind = "openai"\n'
        f'[provider.openai]\nbase_url = "{first.base_url}"\n{mine}\n{common}prices = {PRICES.format("small")}\n'
        f'[provider.anthropic]\nbase_url = "{second.url}"\n{common}prices = {PRICES.format("large")}\n'
    )


@asynccontextmanager
async def site(directory: Path, *first: str, second: tuple[str, ...] = (), text: str = "") -> AsyncIterator[Site]:
    """The first candidate's provider plays ``first``, the second's ``second``; ``text`` is more of `streams.toml`."""
    async with FakeProvider(Plan(first)) as one, FakeProvider(Plan(second)) as other:
        (directory / "streams.toml").write_text(written(one, other, text))
        given = settings.load({}, {"KEY": "k-1"}, directory).settings
        settings.check(given)
        parts = parts_of(given, Nowhere())
        names = ("providers", "routes", "retry", "dead_key_s", "guard", "breaker")
        pipeline = Pipeline(parts.provider, **{name: getattr(parts, name) for name in names})
        try:
            yield Site(pipeline, one, other)
        finally:
            await providers.close(parts.providers)


def told(answer: Answer) -> list[tuple[str, str, str | None]]:
    """Whom the tries of an answer asked, and how each ended."""
    return [(made.provider, made.model, made.kind) for made in answer.tries or ()]


@pytest.mark.parametrize(
    ("step", "kind", "times"),
    [
        ("429", "provider_rate_limited", 1),
        ("429:600", "provider_rate_limited", 1),
        ("503:600", "provider_unavailable", 1),
        ("401", "provider_denied", 1),
        ("403", "provider_denied", 1),
        ("context", "context_too_long", 1),
        ("500", "provider_unavailable", 2),
        ("reset", "provider_unreachable", 2),
        ("hang", "provider_timeout", 2),
        ("empty", "provider_empty", 2),
    ],
)
@in_loop
async def test_failure_of_the_first_candidate_is_answered_by_the_second(
    tmp_path: Path, step: str, kind: str, times: int
) -> None:
    async with site(tmp_path, step) as here:
        (answer,) = await here.ask("a-1")

    assert ("completed", "anthropic", "large", times + 1) == (
        answer.status,
        answer.provider,
        answer.model,
        answer.attempts,
    )
    assert [("openai", "small", kind)] * times + [("anthropic", "large", None)] == told(answer)


@pytest.mark.parametrize(
    ("step", "kind"), [("400", "provider_refused"), ("404", "provider_not_found"), ("garbage", "provider_malformed")]
)
@in_loop
async def test_fault_of_the_request_is_no_reason_to_ask_another(tmp_path: Path, step: str, kind: str) -> None:
    """B46."""
    async with site(tmp_path, step) as here:
        (answer,) = await here.ask("a-1")

    assert answer.error is not None
    assert ("failed", kind, None, (1, 0)) == (answer.status, answer.error.kind, answer.tries, here.calls)


@in_loop
async def test_first_candidate_that_answers_is_the_only_one_asked(tmp_path: Path) -> None:
    async with site(tmp_path) as here:
        (answer,) = await here.ask("a-1")

    assert ("openai", "small", None, (1, 0)) == (answer.provider, answer.model, answer.tries, here.calls)


@in_loop
async def test_answer_costs_what_its_own_candidate_takes(tmp_path: Path) -> None:
    async with site(tmp_path, "429") as here:
        (answer,) = await here.ask("a-1")
    (entry, *_) = here.second.ledger.entries

    assert ("large", entry.input_tokens) == (entry.model, answer.cost_usd_micros)


@pytest.mark.parametrize(("model", "asked"), [("local", "tiny"), ("other", "other")])
@in_loop
async def test_name_in_a_request_chooses_its_route_or_the_configured_provider(
    tmp_path: Path, model: str, asked: str
) -> None:
    async with site(tmp_path) as here:
        (answer,) = await here.ask("a-1", model=model)

    assert ("openai", asked, (1, 0)) == (answer.provider, answer.model, here.calls)


@in_loop
async def test_limited_rates_of_all_candidates_are_waited_for(tmp_path: Path) -> None:
    """B47: no sooner than the first of them allows."""
    async with site(tmp_path, "429:90", "ok", second=("429:120", "ok")) as here:
        (answer,) = await here.ask("a-1")
    began = [made.at for made in answer.tries or ()]

    assert ["provider_rate_limited", "provider_rate_limited", None] == [kind for _, _, kind in told(answer)]
    assert ("completed", "openai") == (answer.status, answer.provider)
    assert 90 <= seconds_between(began[0], began[-1]) < 96


def seconds_between(first: str, last: str) -> float:
    return (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()


@in_loop
async def test_limited_rate_is_kept_by_the_requests_after_it_too(tmp_path: Path) -> None:
    async with site(tmp_path, "429:600", "ok") as here:
        answers = await here.ask("a-1", "a-2", "a-3")

    assert (["anthropic"] * 3, (1, 3)) == ([answer.provider for answer in answers], here.calls)


@in_loop
async def test_key_that_was_refused_is_not_tried_by_others_until_its_time_is_over(tmp_path: Path) -> None:
    async with site(tmp_path, "401", "ok", text="[infer]\ndead_key_s = 30.0") as here:
        before = await here.ask("a-1", "a-2", "a-3")
        await here.pipeline.advance(31)
        after = await here.ask("a-4")

    assert ["anthropic", "anthropic", "anthropic", "openai"] == [answer.provider for answer in (*before, *after)]
    assert (2, 3) == here.calls


@in_loop
async def test_refused_keys_of_all_candidates_fail_the_request(tmp_path: Path) -> None:
    async with site(tmp_path, "401", second=("403",)) as here:
        (answer,) = await here.ask("a-1")

    assert answer.error is not None
    assert ("failed", "provider_denied", False, 2) == (
        answer.status,
        answer.error.kind,
        answer.error.retryable,
        answer.attempts,
    )


@in_loop
async def test_prompt_too_long_for_all_candidates_fails_the_request(tmp_path: Path) -> None:
    async with site(tmp_path, "context", second=("context",)) as here:
        (answer,) = await here.ask("a-1")

    assert answer.error is not None
    assert ("failed", "context_too_long", (1, 1)) == (answer.status, answer.error.kind, here.calls)


@in_loop
async def test_attempts_of_the_settings_are_those_of_all_candidates_together(tmp_path: Path) -> None:
    """B45, B51."""
    async with site(tmp_path, "500", second=("500",), text="[retry]\nattempts = 3\nbase_s = 0.1") as here:
        (answer,) = await here.ask("a-1")

    assert answer.error is not None
    assert ("failed", 3, (2, 1)) == (answer.status, answer.attempts, here.calls)
    assert "failed after 3 attempts" in answer.error.message


@in_loop
async def test_candidate_whose_breaker_is_open_is_passed_over(tmp_path: Path) -> None:
    """B39, B41: the second one's is its own."""
    async with site(tmp_path, "500", text="[breaker]\nconsecutive = 2\nopen_s = 3600.0\ncap_s = 3600.0") as here:
        answers = await here.ask(*(f"a-{number}" for number in range(6)))

    assert ["anthropic"] * 6 == [answer.provider for answer in answers]
    assert (2, 6) == here.calls


@in_loop
async def test_request_that_probes_for_all_pays_with_none_of_its_attempts(tmp_path: Path) -> None:
    """B41: five probes in a row fail, and two attempts are all that it has."""
    more = "[breaker]\nconsecutive = 1\nopen_s = 1.0\ncap_s = 1.0\nmin_probes = 1\n[retry]\nattempts = 2"
    async with site(tmp_path, "500*6", "ok*9", text=more) as here:
        (answer,) = await here.ask("a-1", model="local")

    assert ("completed", 7, [False] + [True] * 5) == (answer.status, answer.attempts, here.probes("a-1"))


@in_loop
async def test_twin_of_an_answer_with_tries_has_none_of_its_own(tmp_path: Path) -> None:
    async with site(tmp_path, "429") as here:
        await here.pipeline.submit({"id": "a-1", "prompt": "hello"})
        await here.pipeline.submit({"id": "a-2", "prompt": "hello"})
        await here.pipeline.settle()
        tries = {answer.id: len(answer.tries or ()) for answer in here.pipeline.answers()}

    assert [0, 2] == sorted(tries.values())


# The same as a process, over a broker


@in_loop
async def test_worker_of_a_settings_file_goes_down_its_route(
    broker: Broker | External, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call each: the providers that the routes name are there, with their keys, beside the configured one."""
    monkeypatch.setenv("KEY", "k-1")
    line = Line(broker.bootstrap_servers)
    async with FakeProvider(Plan(("429:600",), key="k-1")) as first, FakeProvider(Plan(key="k-1")) as second:
        (tmp_path / "streams.toml").write_text(written(first, second))
        await line.prepare()
        worker = RunningWorker(line, tmp_path).start()
        try:
            worker.ready()
            await line.publish(request("a-1"))
            answer = await line.answer("a-1")
            code = worker.stop()
        finally:
            worker.kill()

    kinds = [(made["provider"], made["kind"]) for made in answer["tries"]]
    assert [("openai", "provider_rate_limited"), ("anthropic", None)] == kinds
    assert ("completed", "anthropic", 0) == (answer["status"], answer["provider"], code)
