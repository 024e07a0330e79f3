"""Whose fault was it? Only the service's own counts against it."""

import asyncio

import pytest

from streams.decisions import blame
from streams.decisions.blame import LETTERS, Outcome, graded, outcome_of
from streams.decisions.breaker import BAD, COUNTED
from topics import provider_errors as errors
from topics.errors import CircuitOpen, DeadlineExceeded, RecordTooLarge
from topics.provider_errors import WorkerError

FAILED = (
    *(errors.ProviderUnavailable, errors.ProviderUnreachable, errors.ProviderTimeout),
    *(errors.ProviderEmpty, errors.ProviderMalformed),
)
IGNORED = (errors.ContextTooLong, errors.ProviderDenied, errors.ProviderNotFound, errors.ProviderRefused)


@pytest.mark.parametrize("error", FAILED)
def test_fault_of_the_service_is_failed(error: type[errors.ProviderError]) -> None:
    """B28."""
    assert "failed" == outcome_of(error("openai"))


@pytest.mark.parametrize("error", IGNORED)
def test_fault_of_the_request_is_ignored(error: type[errors.ProviderError]) -> None:
    """B37."""
    assert "ignored" == outcome_of(error("openai"))


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        TimeoutError(),  # of our deadline, not of the provider
        DeadlineExceeded(1, 2),
        CircuitOpen("a:b", "now"),
        RecordTooLarge("inferred", 2, 1),
        KeyError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_no_provider_raised_is_ignored(error: BaseException) -> None:
    """B37, B72."""
    assert "ignored" == outcome_of(error)


@pytest.mark.parametrize(("retryable", "outcome"), [(True, "failed"), (False, "ignored")])
def test_error_of_a_worker_is_judged_by_whether_it_may_pass(retryable: bool, outcome: Outcome) -> None:
    assert outcome == outcome_of(WorkerError("echo", "scripted", retryable=retryable))


def test_limit_of_the_rate_stands_apart() -> None:
    assert "limited" == outcome_of(errors.ProviderRateLimited("openai", retry_after_s=3))


def test_every_error_of_a_provider_is_judged_here() -> None:
    known = {*FAILED, *IGNORED, errors.ProviderRateLimited}

    assert known == {kind for kind in errors.ProviderError.__subclasses__() if kind.__module__ == errors.__name__}


@pytest.mark.parametrize(("took_ms", "outcome"), [(0, "ok"), (1999, "ok"), (2000, "slow"), (99_999, "slow")])
def test_answer_that_took_too_long_is_slow(took_ms: int, outcome: Outcome) -> None:
    assert outcome == graded("ok", took_ms, 2.0)


@pytest.mark.parametrize("outcome", ["failed", "limited", "ignored", "slow"])
def test_slowness_of_what_was_no_answer_changes_nothing(outcome: Outcome) -> None:
    assert outcome == graded(outcome, 10**9, 2.0)


def test_letters_tell_all_outcomes_apart() -> None:
    assert len(LETTERS) == len({*LETTERS.values()})


def test_letters_that_count_are_those_of_the_breaker() -> None:
    counted = {letter for outcome, letter in LETTERS.items() if outcome in ("ok", "slow", "failed")}

    assert (sorted(counted), sorted(LETTERS["slow"] + LETTERS["failed"])) == (sorted(COUNTED), sorted(BAD))


def test_answer_without_an_error_counts_as_good() -> None:
    assert "ok" == blame.outcome_of(None)
