"""The law of redriving: whoever is killed whenever, and however many run at once, each dead letter is sent once."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.client import redrive
from streams.client.letters import Found
from tests.support.builders import NOW_MS
from tests.support.fake_cluster import FakeKafka
from tests.support.letters import Killed, Mortal, a_run, bury, notes_of, planned, redriven, sent_again
from topics.catalog import DEAD_LETTERS, PROMPTS

LATER_MS = NOW_MS + 120_000  # claims of killed runs are over by then
COUNT = 3
WRITES = 3 * COUNT  # claim, prompt and note of each
KILLS = st.lists(st.tuples(st.integers(0, WRITES), st.booleans()), max_size=4)


def buried(count: int = COUNT) -> FakeKafka:
    kafka = FakeKafka()
    for number in range(count):
        bury(kafka, b"p%d" % number, key=b"k%d" % number, request_id=f"a-{number}")
    return kafka


def once(kafka: FakeKafka) -> dict[str, int]:
    return {record.at: 1 for record in kafka.topics[DEAD_LETTERS]}


async def killed(kafka: FakeKafka, name: str, after: int, written: bool, **knobs: float) -> None:
    with suppress(Killed):
        await redriven(Mortal(kafka, after, written), a_run(name, **knobs), LATER_MS)


async def done_after(kafka: FakeKafka, name: str, start: int, rate: float = 1e6) -> None:
    """A run that has its plan now, and begins a few steps later."""
    plan = await planned(kafka)
    for _ in range(start):
        await asyncio.sleep(0)  # why: lets the others go first, and waits for nothing
    await redrive.redrive(Mortal(kafka, 999, False), plan.steps, a_run(name, rate=rate))


def story(kafka: FakeKafka, kills: list[tuple[int, bool]], **knobs: float) -> None:
    """Runs that are killed, one after the other, then one that is not."""

    async def told() -> None:
        for number, (after, written) in enumerate(kills):
            await killed(kafka, f"r-{number}", after, written, **knobs)
        await redriven(kafka, a_run("r-last", **knobs), LATER_MS)

    asyncio.run(told())


@pytest.mark.parametrize("rate", [1.0, 1e6])
@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("after", range(WRITES + 1))
def test_run_killed_at_any_write_and_run_again_sends_each_letter_once(after: int, written: bool, rate: float) -> None:
    """B79, F21: whether one claim is open at a time, or all."""
    kafka = buried()

    story(kafka, [(after, written)], rate=rate)

    assert once(kafka) == sent_again(kafka)


@settings(max_examples=60)
@given(KILLS, st.sampled_from([1.0, 1e6]))
def test_runs_killed_again_and_again_send_each_letter_once(kills: list[tuple[int, bool]], rate: float) -> None:
    """B79."""
    kafka = buried()

    story(kafka, kills, rate=rate)

    assert once(kafka) == sent_again(kafka)


@settings(max_examples=60)
@given(KILLS)
def test_record_of_what_was_done_names_the_prompt_of_each_letter(kills: list[tuple[int, bool]]) -> None:
    kafka = buried()

    story(kafka, kills)

    told = {note.prompt: note.letter for note in notes_of(kafka) if note.did == "redriven"}
    there = {record.at: record.header("prompts.dead-letter").decode() for record in kafka.topics[PROMPTS]}
    assert there == told


@settings(max_examples=60)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4), st.sampled_from([1.0, 1e6]))
def test_runs_at_once_send_each_letter_once(starts: list[int], rate: float) -> None:
    """F21: each has made its plan before any of them writes."""
    kafka = buried()

    async def all_of_them() -> None:
        await asyncio.gather(*(done_after(kafka, f"r-{number}", start, rate) for number, start in enumerate(starts)))

    asyncio.run(all_of_them())

    assert once(kafka) == sent_again(kafka)


@settings(max_examples=60)
@given(st.integers(0, WRITES), st.booleans(), st.integers(0, 9))
def test_run_killed_beside_another_leaves_each_letter_sent_once_at_the_end(
    after: int, written: bool, start: int
) -> None:
    """B79."""
    kafka = buried()

    async def told() -> None:
        plan = await planned(kafka)
        await asyncio.gather(done_after(kafka, "r-other", start), mortal(plan))
        await redriven(kafka, a_run("r-last"), LATER_MS)

    async def mortal(plan: Found) -> None:
        with suppress(Killed):
            await redrive.redrive(Mortal(kafka, after, written), plan.steps, a_run("r-killed"))

    asyncio.run(told())

    assert once(kafka) == sent_again(kafka)


@given(st.integers(1, 4))
def test_run_that_ended_run_again_sends_nothing(times: int) -> None:
    """F21: a second redrive is no deed."""
    kafka = buried()

    story(kafka, [(999, False)] * times)

    assert once(kafka) == sent_again(kafka)
