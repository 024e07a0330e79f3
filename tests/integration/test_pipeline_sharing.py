"""The same words asked more than once: paid for once, answered each time. Over a real broker and in memory."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from streams.adapters.clock import HandClock
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.decisions.identity import identity
from streams.testing import Pipeline
from tests.support.drivers import PLACES, Driver, driven
from tests.support.running import Seen, eventually, request
from topics.answer import Answer
from topics.catalog import DEAD_LETTERS, PROMPTS, RESULTS

START_MS = HandClock().now_ms()
WINDOW_S = 3600.0
SLACK_S = 60.0  # after an owner's deadline, before a twin takes over
CALL_S = 4.0
TWENTY = [f"same-{number:02}" for number in range(20)]
BURST: dict[str, dict[str, Any]] = {
    **{id: {"prompt": "what is a log?"} for id in TWENTY},
    "acme": {"prompt": "whose is it?", "tenant": "acme"},
    "zeta": {"prompt": "whose is it?", "tenant": "zeta"},
    "draw-0": {"prompt": "roll a die"},
    "draw-1": {"prompt": "roll a die", "sample": 1},
    "mine-1": {"prompt": "mine alone", "dedup": False},
    "mine-2": {"prompt": "mine alone", "dedup": False},
    "patient": {"prompt": "can you wait?"},
    "hasty": {"prompt": "can you wait?", "timeout_s": 0.5},
    "gone": {"prompt": "who goes on?", "timeout_s": 1.0},
    "next": {"prompt": "who goes on?"},
    "last": {"prompt": "who goes on?"},
    "again": {"prompt": "say it again"},
}


def value(id: str) -> bytes:
    return json.dumps({"id": id, **BURST[id]}).encode()


# -- the same claims over a broker and in memory


@pytest.fixture(scope="module", params=PLACES)
def driver(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    """Every call takes four seconds and answers differently."""
    directory = tmp_path_factory.mktemp("sharing")
    with driven(str(request.param), request, directory, nonce="true", delay_s=CALL_S) as driver:
        yield driver


@pytest.fixture(scope="module")
def burst(driver: Driver) -> dict[str, list[Seen]]:
    """All records on `results` by id, after a burst of prompts, and one of them sent three times."""

    async def ask() -> list[Seen]:
        values = [*map(value, BURST), value("again"), value("again")]
        await driver.line.publish(*values, key=b"in one partition, so in this order")
        await driver.line.results(list(BURST))
        await eventually(driver.line.waiting, {})
        return await driver.line.all(RESULTS)

    found: dict[str, list[Seen]] = {}
    for seen in asyncio.run(ask()):
        found.setdefault(seen.key.decode(), []).append(seen)
    return found


@pytest.fixture(scope="module")
def answers(burst: dict[str, list[Seen]]) -> dict[str, Answer]:
    return {id: Answer.model_validate_json(seen[0].value) for id, seen in burst.items()}


def calls_for(driver: Driver, *answers: Answer, tenant: str | None = None) -> int:
    """How many provider calls were begun for these requests."""
    known = {identity(tenant, answer.id, answer.request_hash) for answer in answers}
    return sum(line[1] in known for line in driver.calls.lines("start"))


def test_twenty_identical_prompts_are_one_call_and_twenty_answers(driver: Driver, answers: Any) -> None:
    """B25"""
    found = [answers[id] for id in TWENTY]

    assert (1, 1) == (calls_for(driver, *found), len({answer.text for answer in found}))
    assert {"completed"} == {answer.status for answer in found}


def test_answers_of_twins_say_whose_call_they_share(answers: Any) -> None:
    found = [answers[id] for id in TWENTY]

    assert ["coalesced"] * 19 + ["provider"] == sorted(answer.source for answer in found)
    [owner] = [answer for answer in found if answer.source == "provider"]
    assert {owner.id} == {answer.same_as for answer in found if answer is not owner}


def test_answers_of_twins_are_billed_once_and_tell_what_they_saved(answers: Any) -> None:
    [owner] = [answers[id] for id in TWENTY if answers[id].source == "provider"]
    twins = [answers[id] for id in TWENTY if answers[id] is not owner]

    assert (None, 0, 0) == (
        owner.saved_usage,
        *{twin.cost_usd_micros for twin in twins},
        *{twin.attempts for twin in twins},
    )
    assert {(0, 0)} == {(twin.usage.input_tokens, twin.usage.output_tokens) for twin in twins}
    assert {owner.usage.output_tokens} == {twin.saved_usage.output_tokens for twin in twins}


@pytest.mark.parametrize(("one", "other"), [("acme", "zeta"), ("draw-0", "draw-1"), ("mine-1", "mine-2")])
def test_equal_words_that_are_not_one_request_are_two_calls(answers: Any, one: str, other: str) -> None:
    """B3, B6"""
    assert ("provider", "provider") == (answers[one].source, answers[other].source)
    assert answers[one].text != answers[other].text


def test_twin_whose_deadline_passes_is_answered_expired_and_the_owner_goes_on(driver: Driver, answers: Any) -> None:
    """B16"""
    patient, hasty = answers["patient"], answers["hasty"]

    assert (("completed", "provider"), "expired") == ((patient.status, patient.source), hasty.status)
    assert hasty.finished_at < patient.finished_at
    assert 1 == calls_for(driver, patient, hasty)


def test_owner_whose_deadline_passes_leaves_its_key_to_the_oldest_twin(driver: Driver, answers: Any) -> None:
    """B12"""
    gone, following, last = answers["gone"], answers["next"], answers["last"]

    assert ("expired", "completed", "completed") == (gone.status, following.status, last.status)
    assert ("provider", "coalesced", "next") == (following.source, last.source, last.same_as)
    assert (following.text, 2) == (last.text, calls_for(driver, gone, following, last))


def test_request_sent_three_times_is_one_call_and_equal_bytes(driver: Driver, burst: Any, answers: Any) -> None:
    """I2, I6, F15"""
    assert (1, 1) == (len({seen.value for seen in burst["again"]}), calls_for(driver, answers["again"]))


def test_prompt_asked_again_within_the_window_is_answered_from_the_cache(driver: Driver, answers: Any) -> None:
    """B10"""
    before = driver.calls.started

    async def ask() -> Answer:
        await driver.line.publish(request("asked-later", BURST["same-00"]["prompt"]))
        return Answer.model_validate(await driver.line.answer("asked-later"))

    later = asyncio.run(ask())
    assert ("completed", "cache", answers["same-00"].text) == (later.status, later.source, later.text)
    assert before == driver.calls.started


def test_answered_request_sent_again_gets_its_own_bytes_again(driver: Driver, burst: Any) -> None:
    """I2, I6: also where its answer was that of a twin."""
    before, ids = driver.calls.started, [*TWENTY[:2], "last", "mine-1"]
    wanted = {id.encode(): 1 + len(burst[id]) for id in ids}

    async def ask() -> list[Seen]:
        await driver.line.publish(*map(value, ids))
        return await driver.line.read(
            RESULTS, lambda found: all(len([x for x in found if x.key == key]) >= n for key, n in wanted.items())
        )

    found = asyncio.run(ask())
    assert dict.fromkeys(ids, 1) == {id: len({seen.value for seen in found if seen.key == id.encode()}) for id in ids}
    assert before == driver.calls.started


# -- in memory alone: by the clock, to the millisecond


class Asked:
    """A pipeline in memory whose calls take ten seconds and answer differently; ``faults`` as ``echo`` knows them."""

    def __init__(self, *faults: str, **parts: Any) -> None:
        clock = HandClock()
        self.provider = EchoProvider(EchoPolicy(delay_s=10.0, nonce=True, faults=faults), sleep=clock.sleep)
        self.pipeline = Pipeline(self.provider, clock=clock, **parts)

    async def ask(self, *ids: str, prompt: str = "hello", **fields: Any) -> None:
        """One prompt an id, in the same words; handled so far that nothing is left to do at this instant."""
        for id in ids:
            await self.pipeline.submit({"id": id, "prompt": prompt, **fields}, key=b"in one partition")
        await self.pipeline.advance(0)

    @property
    def answers(self) -> dict[str, Answer]:
        return {answer.id: answer for answer in self.pipeline.answers()}

    @property
    def seconds(self) -> float:
        return (self.pipeline.clock.now_ms() - START_MS) / 1000

    def told(self, *ids: str) -> list[tuple[str, str | None]]:
        return [(self.answers[id].status, self.answers[id].source) for id in ids]


BOUGHT, SHARED, CACHED = ("completed", "provider"), ("completed", "coalesced"), ("completed", "cache")
EXPIRED = ("expired", None)


@pytest.mark.parametrize(("after_s", "told"), [(WINDOW_S - 0.001, CACHED), (WINDOW_S, BOUGHT)])
def test_window_around_its_last_millisecond_decides_about_a_call(after_s: float, told: object) -> None:
    """B10, B11"""
    line = Asked()

    async def scenario() -> None:
        await line.ask("first")
        await line.pipeline.settle()
        await line.pipeline.advance(after_s)
        await line.ask("second")
        await line.pipeline.settle()

    asyncio.run(scenario())
    assert [BOUGHT, told] == line.told("first", "second")
    assert (1 if told == CACHED else 2) == line.provider.calls


@pytest.mark.parametrize(("timeout_s", "second"), [(3.0, 3), (2.001, 3), (0.5, 1), (9.0, 9)])
def test_twin_expires_on_the_first_tick_after_its_deadline(timeout_s: float, second: int) -> None:
    """B16"""
    line = Asked()

    async def scenario() -> tuple[int, int]:
        await line.ask("owner")
        await line.ask("twin", timeout_s=timeout_s)
        await line.pipeline.advance(second - 0.001)
        before = len(line.pipeline.answers())
        await line.pipeline.advance(0.001)
        at = len(line.pipeline.answers())
        await line.pipeline.settle()
        return before, at

    assert (0, 1) == asyncio.run(scenario())
    assert ([BOUGHT, EXPIRED], 1) == (line.told("owner", "twin"), line.provider.calls)


def test_owner_that_expires_hands_on_to_each_next_twin_in_turn() -> None:
    """B12"""
    line = Asked()

    async def scenario() -> None:
        await line.ask("one", timeout_s=5)
        await line.ask("two", timeout_s=7)
        await line.ask("three", "four")
        await line.pipeline.settle()

    asyncio.run(scenario())
    assert [EXPIRED, EXPIRED, BOUGHT, SHARED] == line.told("one", "two", "three", "four")
    assert (3, 17.0) == (line.provider.calls, line.seconds)


def test_owner_that_fails_for_all_answers_and_buries_every_twin() -> None:
    """B12, I1: their dead letters hold the bytes that each was written with."""
    line, ids = Asked("auth"), ["one", "two", "three"]

    async def scenario() -> None:
        await line.ask(*ids)
        await line.pipeline.settle()

    asyncio.run(scenario())
    assert ({"failed"}, 1) == ({line.answers[id].status for id in ids}, line.provider.calls)
    assert {"worker_error"} == {answer.error.kind for answer in line.pipeline.answers() if answer.error}
    buried = sorted(record.value or b"" for record in line.pipeline.records(DEAD_LETTERS))
    assert sorted(record.value or b"" for record in line.pipeline.records(PROMPTS)) == buried


def test_owner_that_waits_long_is_replaced_after_its_deadline_and_the_slack() -> None:
    """B13, B14: and its own answer still goes out."""
    line = Asked(calls=1)

    async def scenario() -> list[int]:
        line.provider._policy = EchoPolicy(delay_s=200.0)
        await line.ask("in the way", prompt="something else")
        await line.ask("owner", timeout_s=20)
        await line.ask("twin", "third")
        owners = []
        for wait_s in (20 + SLACK_S - 1, 2.0):
            await line.pipeline.advance(wait_s)
            owners.append(len(line.pipeline.records("deduped")))
        await line.pipeline.settle()
        return owners

    assert [2, 3] == asyncio.run(scenario())
    assert [EXPIRED, BOUGHT, SHARED] == line.told("owner", "twin", "third")
    assert 2 == line.provider.calls


def test_hundreds_of_twins_all_get_the_answer() -> None:
    """B17"""
    line, ids = Asked(), [f"a-{number}" for number in range(400)]

    async def scenario() -> None:
        await line.ask(*ids)
        await line.pipeline.settle()

    asyncio.run(scenario())
    assert (1, 1, set(ids)) == (
        line.provider.calls,
        len({answer.text for answer in line.pipeline.answers()}),
        set(line.answers),
    )


def test_twins_of_two_keys_do_not_meet() -> None:
    """B18"""
    line = Asked()

    async def scenario() -> None:
        for number in range(5):
            for words in ("red", "blue"):
                await line.ask(f"{words}-{number}", prompt=words)
        await line.pipeline.settle()

    asyncio.run(scenario())
    texts = {
        words: {answer.text for id, answer in line.answers.items() if id.startswith(words)} for words in ("red", "blue")
    }
    assert (2, 1, 1) == (line.provider.calls, len(texts["red"]), len(texts["blue"]))


@pytest.mark.parametrize("turns", range(14))
def test_twin_that_comes_at_any_instant_shares_the_answer(turns: int) -> None:
    """B15"""
    line = Asked()

    async def scenario() -> None:
        await line.ask("owner")
        await line.pipeline.advance(9.999)
        line.pipeline.clock.wind_to(START_MS + 10_000)
        for _ in range(turns):
            line.pipeline._step()
            await asyncio.sleep(0)
        await line.pipeline.submit({"id": "twin", "prompt": "hello"})
        await line.pipeline.settle()

    asyncio.run(scenario())
    assert (1, line.answers["owner"].text) == (line.provider.calls, line.answers["twin"].text)


@pytest.mark.parametrize("again", [0, 1, 50])
def test_partition_that_moves_during_the_call_repeats_it_once(again: int) -> None:
    """B22, I5"""
    line, ids = Asked(), [f"a-{number}" for number in range(20)]

    async def scenario() -> None:
        await line.ask(*ids[:10])
        await line.pipeline.advance(5.0)
        await line.pipeline.move(again=again)
        await line.ask(*ids[10:])
        await line.pipeline.settle()

    asyncio.run(scenario())
    texts = {answer.text for answer in line.pipeline.answers()}
    assert (2, 1, set(ids)) == (line.provider.calls, len(texts), set(line.answers))


@pytest.mark.parametrize("again", [0, 1, 50])
def test_partition_that_moves_after_the_answer_costs_no_call(again: int) -> None:
    """B21, B22, B23: what is known comes along, and what was done is done again with equal bytes."""
    line, ids = Asked(), [f"a-{number}" for number in range(10)]

    async def scenario() -> None:
        await line.ask(*ids)
        await line.pipeline.settle()
        await line.pipeline.move(again=again)
        await line.ask("later")
        await line.pipeline.settle()

    asyncio.run(scenario())
    values = {(record.key, record.value) for record in line.pipeline.records(RESULTS)}
    assert (1, 11, CACHED) == (line.provider.calls, len(values), *line.told("later"))


def test_twin_that_expired_stays_so_through_a_move() -> None:
    """I2"""
    line = Asked()

    async def scenario() -> None:
        await line.ask("owner")
        await line.ask("twin", timeout_s=2)
        await line.pipeline.advance(4.0)
        await line.pipeline.move(again=50)
        await line.pipeline.settle()

    asyncio.run(scenario())
    twins = {(answer.status, answer.source) for answer in line.pipeline.answers() if answer.id == "twin"}
    assert ({EXPIRED}, [BOUGHT]) == (twins, line.told("owner"))


def test_usage_over_all_answers_is_what_the_provider_billed() -> None:
    line = Asked()

    async def scenario() -> None:
        await line.ask(*(f"a-{number}" for number in range(9)))
        await line.ask("other", prompt="other")
        await line.pipeline.settle()
        await line.ask("later")
        await line.pipeline.settle()

    asyncio.run(scenario())
    bought = [answer for answer in line.answers.values() if answer.source == "provider"]
    billed = sum(answer.usage.output_tokens for answer in line.answers.values() if answer.usage)
    assert (2, sum(answer.usage.output_tokens for answer in bought if answer.usage)) == (line.provider.calls, billed)
