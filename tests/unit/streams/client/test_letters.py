"""Looking at dead letters and at what was done with them, in a cluster in memory."""

import asyncio

import pytest

from streams.client import letters
from streams.decisions import redrive
from streams.decisions.letters import Wanted
from streams.decisions.lineage import DEAD_LETTER, RUN
from tests.support.builders import NOW_MS
from tests.support.fake_cluster import FakeKafka
from tests.support.letters import bury, note, place, planned
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS
from topics.errors import TopicMissing

OLD_MS = NOW_MS - 120_000


def noted(kafka, letter, did="claimed", at_ms=OLD_MS, **fields):
    """Puts a note about a dead letter."""
    made = note(did, letter.at, **fields)
    return kafka.put(LETTERS, letter.at.encode(), wire.encode(made), (), at_ms)


def sent(kafka, letter, run="r-1", at_ms=OLD_MS):
    """Puts the prompt that a run sent."""
    return kafka.put(PROMPTS, b"k", b"{}", ((DEAD_LETTER, letter.at.encode()), (RUN, run.encode())), at_ms)


def found(kafka, *ids, **asked):
    return asyncio.run(planned(kafka, Wanted(frozenset(ids)), **asked))


def whys(kafka, **asked):
    return [step.why for step in found(kafka, **asked).steps]


def three():
    kafka = FakeKafka()
    return kafka, [
        bury(kafka, b"p%d" % number, key=b"k%d" % number, later_ms=number, request_id=f"a-{number}")
        for number in range(3)
    ]


def test_plan_has_every_dead_letter_oldest_first():
    """B77."""
    kafka, (first, second, third) = three()

    assert [first.at, second.at, third.at] == [step.letter.at for step in found(kafka).steps]


@pytest.mark.parametrize(
    ("ids", "meant", "missing"),
    [
        (["a-1"], ["a-1"], ()),
        (["a-1", "a-2"], ["a-1", "a-2"], ()),
        (["a-1", "nix", "9/9"], ["a-1"], ("9/9", "nix")),
        (["nix"], [], ("nix",)),
    ],
)
def test_plan_by_names_has_exactly_those_and_tells_the_others(ids, meant, missing):
    """B77."""
    kafka, _ = three()

    made = found(kafka, *ids)

    assert (meant, missing) == ([step.letter.id for step in made.steps], made.missing)


def test_plan_by_place_has_exactly_that():
    kafka, (_, second, _) = three()

    assert ["a-1"] == [step.letter.id for step in found(kafka, place(second)).steps]


def test_plan_of_two_has_the_two_oldest():
    kafka, _ = three()

    assert ["a-0", "a-1"] == [step.letter.id for step in found(kafka, most=2).steps]


@pytest.mark.parametrize("did", ["redriven", "discarded"])
def test_plan_holds_what_was_done_already(did):
    kafka, (_, second, _) = three()
    noted(kafka, second, did)

    made = found(kafka)

    assert ([None, did, None], 2) == ([step.why for step in made.steps], made.going)


def test_plan_takes_a_claim_that_came_to_something_for_sent():
    kafka, (first, second, _) = three()
    for letter in (first, second):
        noted(kafka, letter)
    sent(kafka, second)

    assert [None, "redriven", None] == whys(kafka)


def test_plan_goes_over_a_claim_that_came_to_nothing():
    kafka, (first, *_) = three()
    claim = noted(kafka, first)

    assert claim.at == found(kafka).steps[0].over


@pytest.mark.parametrize(
    ("run", "at_ms", "why"),
    [
        ("r-1", OLD_MS, "redriven"),
        ("r-1", OLD_MS - letters.SKEW_MS, "redriven"),
        ("r-1", OLD_MS - letters.SKEW_MS - 1, None),
        ("r-2", OLD_MS, None),
    ],
)
def test_plan_looks_for_the_prompt_of_that_run_since_its_claim(run, at_ms, why):
    kafka, (first, *_) = three()
    noted(kafka, first)
    sent(kafka, first, run, at_ms)

    assert why == found(kafka).steps[0].why


def test_plan_without_open_claims_does_not_read_prompts():
    kafka, (first, *_) = three()
    noted(kafka, first, "discarded")

    found(kafka)

    assert {f"tail {DEAD_LETTERS}", f"tail {LETTERS}"} == set(kafka.opened)


def test_plan_writes_nothing():
    """B76."""
    kafka, (first, *_) = three()
    noted(kafka, first)
    before = {topic: list(log) for topic, log in kafka.topics.items()}

    found(kafka, judge=redrive.discard)

    assert ({**before, PROMPTS: []}, False) == (kafka.topics, "publisher" in kafka.opened)


def test_plan_with_prompts_of_others_passes_over_them():
    kafka, (first, *_) = three()
    noted(kafka, first)
    kafka.put(PROMPTS, b"k", b"{}", (), NOW_MS)
    kafka.put(PROMPTS, b"k", b"{}", (("traceparent", b"00"),), NOW_MS)

    assert [None] * 3 == whys(kafka)


@pytest.mark.parametrize("value", [None, b"", b"{", b'{"v": 1}', b'{"v": 1, "letter": "x", "did": "burnt"}'])
def test_note_that_is_none_is_passed_over(value):
    kafka, (first, *_) = three()
    kafka.put(LETTERS, first.at.encode(), value)

    assert [None] * 3 == whys(kafka)


class Older(FakeKafka):
    """A cluster that was made before there were notes."""

    def tail(self, topic, *position, **how):
        if topic == LETTERS:
            raise TopicMissing((topic,))
        return super().tail(topic, *position, **how)


def test_cluster_without_the_topic_of_notes_has_done_nothing_yet():
    kafka = Older()
    bury(kafka)

    assert [None] == whys(kafka)


def test_register_of_all_notes_has_the_last_one_of_each_letter():
    kafka, (first, second, _) = three()
    claim = noted(kafka, first)
    noted(kafka, first, "redriven", over=claim.at)
    noted(kafka, second, "discarded")

    kept = asyncio.run(letters.register(kafka))

    assert ["redriven", "discarded"] == [kept.of(letter.at).note.did for letter in (first, second)]


def test_unfinished_claims_that_were_sent_owe_a_note_that_names_the_prompt():
    kafka, (first, *_) = three()
    claim = noted(kafka, first, run="r-7")
    prompt = sent(kafka, first, "r-7")

    async def owed():
        return await letters.unfinished(kafka, await letters.register(kafka))

    told = asyncio.run(owed())[first.at]
    assert ("redriven", claim.at, prompt.at, "r-7") == (told.did, told.over, told.prompt, told.run)
