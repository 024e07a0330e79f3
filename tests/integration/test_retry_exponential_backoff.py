"""Is a call that failed tried again as the rule says? One worker process, a real broker, a provider told to fail.

The provider's own ledger is the truth about calls and when they began. Requests are asked one after another.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from streams.drill.ledger import Entry
from streams.drill.served import ServedProvider
from tests.support.crew import working
from tests.support.running import Line, RunningWorker, eventually, request
from topics.catalog import DEAD_LETTERS, PARKED

pytestmark = pytest.mark.broker

ATTEMPTS, BASE_S, SLACK_S = 4, 0.4, 1.0
KNOBS = {
    "retry__attempts": ATTEMPTS,
    "retry__base_s": BASE_S,
    "retry__in_process_s": 0.9,
    "retry__tiers_s": "1,2,4,8",
    "breaker__consecutive": 1000,  # it has a story of its own
    "breaker__rate": 1,
    "breaker__minimum": 1000,
    "breaker__window_n": 1000,
    "infer__guard_consecutive": 100_000,
    "infer__guard_minimum": 10_000,
    "infer__guard_window": 10_000,
}


class Site:
    """The worker, the provider that it calls, and what is asked of both."""

    def __init__(self, line: Line, worker: RunningWorker, provider: ServedProvider) -> None:
        self.line, self.worker, self.provider = line, worker, provider
        self.before, self.asked_at = 0, 0.0

    def ask(self, id: str, *script: str, **fields: Any) -> None:
        """Publishes one request; from now on the provider does this, and is good at the end."""
        asyncio.run(self.provider.play(*script, "ok*100000"))
        self.before, self.asked_at = len(self.starts()), time.time()
        asyncio.run(self.line.publish(request(id, f"question {id}", **fields)))

    def answer(self, id: str) -> dict[str, Any]:
        return asyncio.run(self.line.answer(id))

    def starts(self) -> list[Entry]:
        return [entry for entry in self.provider.entries() if entry.action == "start"]

    def calls(self) -> list[float]:
        """When each call since the last question began, in seconds after the question."""
        return [entry.at - self.asked_at for entry in self.starts()[self.before :]]

    def waits(self) -> list[float]:
        """Seconds between one call and the next."""
        return [later - earlier for earlier, later in pairwise(self.calls())]

    def called(self, count: int) -> None:
        """Returns once so many calls have begun since the last question."""
        self.worker.until(lambda: len(self.calls()) >= count, 20.0, f"{count} calls")

    def parked(self) -> int:
        """How many records were ever written to the tiers."""

        async def counted() -> int:
            return sum([len(await self.line.all(topic)) for topic in PARKED])

        return asyncio.run(counted())


@pytest.fixture(scope="module")
def site(broker: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("retry")
    provider = asyncio.run(ServedProvider(directory, ["ok"]).start())
    try:
        with working(Line(broker.bootstrap_servers), directory, provider.url, size=1, **KNOBS) as crew:
            yield Site(crew.line, crew.workers[0], provider)
    finally:
        provider.end()


@pytest.mark.parametrize("script", ["500*2", "503*2", "reset*2", "429*2"])
def test_call_that_fails_twice_is_made_a_third_time(site: Site, script: str) -> None:
    """B45: and each of them is counted."""
    id = f"twice-{script[:3]}"
    site.ask(id, script)
    answer = site.answer(id)

    assert ("completed", 3, 3) == (answer["status"], answer["attempts"], len(site.calls()))


def test_waits_between_calls_stay_below_a_bound_that_doubles(site: Site) -> None:
    """B42, B44: a part, by chance, of 0.4 s, then of 0.8 s, then of 1.6 s; the tier of 1 s may round up the last."""
    site.ask("bound", "503*3")
    site.answer("bound")

    assert [True] * 3 == [
        wait <= bound + SLACK_S for wait, bound in zip(site.waits(), (BASE_S, 2 * BASE_S, 4 * BASE_S), strict=True)
    ]


def test_request_is_given_up_after_its_last_try_with_its_cause(site: Site) -> None:
    """B45, B51: attempts made, and what went wrong the last time; nobody is asked again."""
    site.ask("hopeless", "503*100")
    answer = site.answer("hopeless")
    told = f"Pipeline stage 'infer' failed after {ATTEMPTS} attempts: Worker inference failed: openai: is unavailable"

    assert ("failed", ATTEMPTS, ATTEMPTS) == (answer["status"], answer["attempts"], len(site.calls()))
    assert answer["error"]["message"].startswith(told)


def test_request_that_was_given_up_has_a_dead_letter_with_its_attempts(site: Site) -> None:
    """B51"""
    site.ask("buried", "500*100")
    site.answer("buried")
    letters = asyncio.run(
        site.line.read(DEAD_LETTERS, lambda found: [one for one in found if b'"buried"' in (one.value or b"")])
    )
    [headers] = [dict(one.headers) for one in letters if b'"buried"' in one.value]

    assert (b"infer", b"4") == (headers["prompts.error.stage"], headers["prompts.error.attempts"])


@pytest.mark.parametrize("script", ["400*100", "404*100", "garbage*100"])
def test_failure_that_no_try_can_mend_is_final_at_once(site: Site, script: str) -> None:
    """B46"""
    site.ask(f"final-{script[:3]}", script)
    answer = site.answer(f"final-{script[:3]}")

    assert ("failed", 1, 1) == (answer["status"], answer["attempts"], len(site.calls()))


def test_wait_that_a_provider_asks_for_is_kept_in_the_tiers(site: Site) -> None:
    """B47: 3 s are the tiers of 2 s and 1 s; not before, and at most one second later for each."""
    before = site.parked()
    site.ask("patient", "429:3")
    answer = site.answer("patient")
    [wait] = site.waits()

    assert ("completed", 2) == (answer["status"], site.parked() - before)
    assert 3.0 <= wait <= 3.0 + 2 * SLACK_S


def test_wait_beyond_the_deadline_is_given_up_at_once(site: Site) -> None:
    """B47, B48: with the reason, and not after the wait."""
    site.ask("hurried", "503:30*100", timeout_s=8)
    answer = site.answer("hurried")

    assert ("failed", 1) == (answer["status"], len(site.calls()))
    assert time.time() - site.asked_at < 6.0


def test_other_requests_are_answered_while_one_waits(site: Site) -> None:
    """B49: parked for four seconds, it holds nobody up, not even in its partition."""
    site.ask("waits", "503:4")
    site.called(1)
    others = [f"other-{number}" for number in range(10)]
    asyncio.run(site.line.publish(*[request(id, id) for id in others]))
    asyncio.run(site.line.results(others))
    took_s = time.time() - site.asked_at
    answered = site.answer("waits")

    assert took_s < 4.0 <= time.time() - site.asked_at
    assert "completed" == answered["status"]


def test_crash_while_one_is_parked_keeps_its_time_and_its_attempts(site: Site) -> None:
    """B50: the next call is made once, when it is due, and it is the second."""
    site.ask("survivor", "429:4")
    site.called(1)
    parked = site.parked()
    asyncio.run(eventually(lambda: asyncio.to_thread(site.parked), parked, 2.0))
    site.worker.kill()
    site.worker.start().ready()
    answer = site.answer("survivor")
    [wait] = site.waits()

    assert ("completed", 2) == (answer["status"], answer["attempts"])
    assert wait >= 4.0


def test_calls_of_a_request_stand_in_its_answer(site: Site) -> None:
    """The ledger of attempts: which model, and how each failed."""
    site.ask("told", "503", "429:1")
    tries = site.answer("told")["tries"]

    assert [["provider_unavailable"], ["provider_rate_limited"], [None]] == [[one.get("kind")] for one in tries]
    assert json.dumps(tries).count("question") == 0
