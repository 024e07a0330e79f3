"""A corpus kept in step with its topic: order of things, poison, readiness, beginning again (B144, B145, F12)."""

import asyncio
import logging
from typing import Any

import pytest

from streams.adapters.retriever.memory import MemoryRetriever
from streams.corpus import TOLD, CorpusKeeper, following
from streams.engine.cluster import Cluster
from streams.engine.follow import Follower
from streams.stage import Record
from tests.support.documents import Script, document, hits, written
from tests.support.loops import in_loop, until
from topics.catalog import Names

NOT_YET = ("documents: reading to their end",)


def keeper(script: Script | None = None, kept: Any = None) -> CorpusKeeper:
    return CorpusKeeper(script or Script(), kept or MemoryRetriever(), every_s=0.002, pause_s=0.002)


def applied(*records: Record) -> tuple[CorpusKeeper, MemoryRetriever]:
    kept = MemoryRetriever()
    made = keeper(kept=kept)
    for record in records:
        made.apply(record)
    kept.commit("s")
    return made, kept


@pytest.mark.parametrize(
    ("records", "seen"),
    [
        ([written(document())], ["d-1"]),
        ([written(document()), written(None, "d-1")], []),
        ([written(document()), written(None, "d-2")], ["d-1"]),
        ([written(document()), written(document(text="river"))], []),
        ([written(document()), written(b"poison", "d-1")], []),
        ([written(document()), written(document("d-2"), "d-1")], []),
        ([written(document()), written(b"poison", None)], ["d-1"]),
        ([written(b"poison", "d-1"), written(document())], ["d-1"]),
    ],
)
@in_loop
async def test_corpus_after_records_is_what_the_last_of_each_key_says(records: list[Record], seen: list[str]) -> None:
    _, kept = applied(*records)

    assert seen == await hits(kept, "log")


POISON = [
    b"",
    b"{",
    b"[]",
    b"5",
    b"\xff",
    b'{"id": "a"}',
    b"[" * 5000,
    b'{"id": "a", "text": "' + b"x" * 1_100_000 + b'"}',
]


@pytest.mark.parametrize("value", POISON, ids=range(len(POISON)))
def test_poison_is_counted_and_passed_over(value: bytes) -> None:
    made, _ = applied(written(value, "a"), written(document()))

    assert 1 == made.skipped


def test_poison_is_logged_by_place_and_reason_without_its_content(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        applied(written(b'{"id": "a", "text": ["secret"]}', "a", partition=2, offset=7))

    assert ["documents/2/7 is no document: text: string_type"] == caplog.messages


def test_flood_of_poison_is_logged_in_parts(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        made, _ = applied(*[written(b"x", "a")] * 2500)

    assert (2500, TOLD + 2) == (made.skipped, len(caplog.messages))


def test_keeper_that_was_not_started_says_why_it_is_not_ready() -> None:
    assert NOT_YET == keeper().reasons


@in_loop
async def test_keeper_is_ready_only_at_the_end_of_the_topic() -> None:
    kept, script = MemoryRetriever(), Script([written(document(), offset=4), written(document("e"), partition=2)])
    async with keeper(script, kept).running() as made:
        await until(lambda: script.opened)
        before = made.reasons
        script.at_end.set()
        await until(lambda: not made.reasons)

    assert NOT_YET == before
    assert "documents@0:5,2:1" == kept._snapshot


@in_loop
async def test_keeper_of_an_empty_topic_becomes_ready() -> None:
    kept, script = MemoryRetriever(), Script()
    script.at_end.set()
    async with keeper(script, kept).running() as made:
        await until(lambda: not made.reasons)

    assert "documents@" == kept._snapshot


@in_loop
async def test_later_record_is_found_after_the_next_commit() -> None:
    kept, script = MemoryRetriever(), Script()
    script.at_end.set()
    async with keeper(script, kept).running() as made:
        await until(lambda: not made.reasons)
        script.on_record(written(document(), offset=9))
        await until(lambda: kept._snapshot == "documents@0:10")

    assert ["d-1"] == await hits(kept, "log")


@in_loop
async def test_nothing_new_is_not_committed_again() -> None:
    kept, script, commits = MemoryRetriever(), Script(), list[str]()
    kept.commit = commits.append  # type: ignore[method-assign]  # counted, not kept
    script.at_end.set()
    async with keeper(script, kept).running() as made:
        await until(lambda: not made.reasons)
        await asyncio.sleep(0.03)  # why: ten more chances to commit nothing

    assert ["documents@"] == commits


@in_loop
async def test_follower_that_fails_is_begun_again_with_an_empty_corpus(caplog: pytest.LogCaptureFixture) -> None:
    kept = MemoryRetriever()
    script = Script([written(document("gone"))], [written(document("kept"))], failures=(OSError("secret"), None))
    script.at_end.set()
    with caplog.at_level(logging.WARNING):
        async with keeper(script, kept).running() as made:
            await until(lambda: script.opened == 2 and not made.reasons)

    assert ["kept"] == await hits(kept, "log")
    assert ["following documents: OSError"] == caplog.messages


@in_loop
async def test_keeper_stops_while_it_is_still_reading() -> None:
    script = Script()
    async with keeper(script).running() as made:
        await until(lambda: script.opened)

    assert NOT_YET == made.reasons


def test_real_follower_reads_the_topic_by_its_name_in_kafka() -> None:
    made = following(Cluster("a:1"), Names(prefix="acme-"))(lambda _: None)

    assert isinstance(made, Follower)
    assert ("acme-documents", "documents") == (made._topic, made._called)
