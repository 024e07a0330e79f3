"""A request that was sent again has several answers: the one that counts is that of its last life."""

import asyncio

import pytest

from streams.client.final import final
from tests.support.fake_cluster import FakeKafka
from topics.catalog import RESULTS

LINEAGE = "prompts.lineage"


def found(kafka, wait_s=0.0):
    record = asyncio.run(final(kafka, b"a", wait_s))
    return None if record is None else record.value


def holding(*answers):
    kafka = FakeKafka()
    for value, lineage in answers:
        kafka.put(RESULTS, b"a", value, () if lineage is None else ((LINEAGE, lineage),))
    return kafka


@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ([], None),
        ([(b"one", None)], b"one"),
        ([(b"one", None), (b"copy", None)], b"one"),
        ([(b"died", None), (b"again", b"1")], b"again"),
        ([(b"died", None), (b"again", b"1"), (b"late copy", None), (b"copy", b"1")], b"again"),
        ([(b"third", b"10"), (b"second", b"9")], b"third"),
        ([(b"one", b""), (b"two", b"x")], b"one"),
        ([(b"one", b"\xff"), (b"two", "٣".encode())], b"one"),
    ],
)
def test_answer_of_the_last_life_is_the_one_that_counts(answers, counts):
    """B78."""
    assert counts == found(holding(*answers))


def test_answer_of_another_request_does_not_count():
    kafka = holding()
    kafka.put(RESULTS, b"b", b"theirs")

    assert None is found(kafka)


def test_answer_that_comes_meanwhile_is_waited_for():
    kafka = holding()

    async def waited():
        waiting = asyncio.create_task(final(kafka, b"a", 5.0))
        await asyncio.sleep(0)  # why: lets it look once
        kafka.put(RESULTS, b"a", b"late")
        return await waiting

    assert b"late" == asyncio.run(waited()).value
