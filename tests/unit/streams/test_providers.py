"""Which providers and routes the settings make."""

import asyncio
from typing import Any

import pytest

from streams import providers
from streams.adapters.providers.echo import EchoProvider
from streams.adapters.providers.line import LinePolicy
from streams.adapters.providers.remote import Models, Price
from streams.decisions.attempts import Candidate
from streams.ports import Call, Closing
from streams.settings import Settings
from tests.support.loops import in_loop
from topics.errors import ConfigurationError

REMOTE = {"base_url": "http://127.0.0.1:9/v1", "api_key": "k-1", "model": "real"}


def settings(**sections: Any) -> Settings:
    return Settings(**sections)


def test_echo_gets_its_knobs_from_the_settings() -> None:
    provider = providers.provider_of(settings(provider={"echo": {"nonce": True, "faults": ("ok",)}}))
    one, two = (asyncio.run(provider.complete(Call("c", ({"role": "user", "content": "a"},), "m"))) for _ in range(2))

    assert one.text != two.text


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_paid_provider_of_the_settings_has_its_name(kind: str) -> None:
    assert kind == providers.provider_of(settings(provider={"kind": kind, kind: REMOTE})).name


@pytest.mark.parametrize(
    ("kind", "headers"),
    [
        ("openai", {"Authorization": "Bearer k-1"}),
        ("anthropic", {"x-api-key": "k-1", "anthropic-version": "2023-06-01"}),
    ],
)
def test_knobs_of_a_line_come_from_the_settings(monkeypatch: pytest.MonkeyPatch, kind: str, headers: Any) -> None:
    knobs = {"connect_s": 1.0, "first_byte_s": 2.0, "idle_s": 3.0, "total_s": 4.0, "pool": 5, "max_bytes": 6000}
    made: list[Any] = []
    monkeypatch.setattr(getattr(providers, kind), "provider", lambda *given: made.append(given))
    prices = {"real": {"input": 7, "output": 8}}
    more = {"models": {"fast": "small"}, "prices": prices}
    providers.provider_of(settings(provider={"kind": kind, kind: {**REMOTE, **knobs, **more}}))
    (line, models, *_), *_ = made

    assert LinePolicy("http://127.0.0.1:9/v1", headers, **knobs) == line
    assert Models("real", {"fast": "small"}, {"real": Price(7, 8)}) == models


@pytest.mark.parametrize(("pool", "calls"), [(None, 9), (5, 5)])
def test_pool_that_is_not_set_is_as_large_as_the_calls_in_flight(pool: int | None, calls: int) -> None:
    given = settings(infer={"in_flight": 9}, provider={"openai": {"pool": pool}})

    assert calls == providers._line(given, given.provider.openai, lambda _: {}).pool


def test_default_times_and_sizes_of_settings_and_line_are_the_same() -> None:
    assert LinePolicy("") == providers._line(settings(), settings().provider.openai, lambda _: {})


def test_limit_of_tokens_of_anthropic_comes_from_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(providers.anthropic, "provider", lambda *given: made.append(given[-1]))
    providers.provider_of(settings(provider={"kind": "anthropic", "anthropic": {"max_tokens": 7}}))

    assert [7] == made


def test_provider_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match=r"provider\.kind = 'oracle'"):
        providers.provider_of(settings(provider={"kind": "oracle"}))


@pytest.mark.parametrize(
    ("kind", "routes", "named"),
    [
        ("echo", {}, ["echo"]),
        ("openai", {}, ["openai"]),
        ("echo", {"default": ["openai:a", "anthropic:b"]}, ["echo", "openai", "anthropic"]),
        ("openai", {"a": ["anthropic:b"], "b": ["openai:a", "anthropic:c"]}, ["openai", "anthropic"]),
        ("echo", {"default": ["echo:a", "echo:b"]}, ["echo"]),
    ],
)
def test_providers_are_those_that_kind_and_routes_name(
    kind: str, routes: dict[str, list[str]], named: list[str]
) -> None:
    made = providers.providers_of(settings(provider={"kind": kind}, routes=routes))

    assert named == list(made) == [provider.name for provider in made.values()]


def test_routes_are_read_as_candidates_in_their_order() -> None:
    routes = providers.routes_of(settings(routes={"default": ["openai:gpt-5-mini", "anthropic:claude-haiku-4-5"]}))

    assert {"default": (Candidate("openai", "gpt-5-mini"), Candidate("anthropic", "claude-haiku-4-5"))} == routes


def test_model_of_a_candidate_may_have_colons_of_its_own() -> None:
    assert (Candidate("openai", "llama3:8b"),) == providers.routes_of(settings(routes={"a": ["openai:llama3:8b"]}))["a"]


class Holding(EchoProvider):
    """A provider with connections."""

    closed = 0

    async def aclose(self) -> None:
        self.closed += 1


@in_loop
async def test_providers_with_connections_are_closed_once() -> None:
    first, second = Holding(), Holding()
    await providers.close({"a": first, "b": EchoProvider(), "c": second})

    assert (1, 1) == (first.closed, second.closed)


def test_provider_without_connections_needs_no_closing() -> None:
    assert not isinstance(EchoProvider(), Closing)
