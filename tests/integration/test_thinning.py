"""Does what was paid for stay paid for once its answer is kept no longer? On a real broker, with seconds for hours."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.decisions import rows
from streams.decisions.course import Keys
from tests.support.brokers import Broker
from tests.support.builders import assembled
from tests.support.running import Line, RunningWorker, Seen, eventually, running
from topics import wire
from topics.catalog import ASSEMBLED, DAY_MS, DEAD_LETTERS, FAILED, INFERRED
from topics.messages import Assembled

pytestmark = pytest.mark.broker

KEEP_S, RETENTION_S = 1, 8
LANE = ASSEMBLED["normal"]
SETTINGS = {"infer.keep_answers_s": KEEP_S, "topics.retention_d": RETENTION_S * 1000 / DAY_MS}


def asked(id: str, key: str | None = None, identity: str | None = None, **fields: Any) -> Assembled:
    """A request as `infer` reads it; twins share key and epoch."""
    own = key or id
    return assembled(id=id, dedup_key=f"c:{own}", epoch=f"epoch-of-{own}", identity=identity or id, **fields)


@dataclass
class Site:
    """A worker, and what was written to it."""

    line: Line
    worker: RunningWorker
    others: int = 0

    async def ask(self, *messages: Assembled) -> None:
        async with AIOKafkaProducer(bootstrap_servers=self.line.brokers, acks="all") as producer:
            physical = self.line.names.topic(LANE)
            for message in messages:
                await producer.send_and_wait(physical, wire.encode(message), message.identity.encode(), partition=0)

    async def answered(self, id: str, topic: str = INFERRED, copies: int = 1) -> list[Seen]:
        """What `infer` wrote for a request, once there is so much."""

        def of_it(seen: list[Seen]) -> list[Seen]:
            return [one for one in seen if orjson.loads(one.value)["id"] == id]

        return of_it(await self.line.read(topic, lambda seen: len(of_it(seen)) >= copies))

    async def history(self, message: Assembled) -> list[str | None]:
        """The words that the row of a request had, by the changelog; None where it was deleted."""
        place = TopicPartition(self.line.names.changelog("infer", "answers"), 0)
        async with AIOKafkaConsumer(bootstrap_servers=self.line.brokers) as consumer:
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            end, written = (await consumer.end_offsets([place]))[place], list[Seen]()
            while await consumer.position(place) < end:
                written += (await consumer.getmany(place, timeout_ms=100)).get(place, [])
        values = [one.value for one in written if one.key == Keys.of(message).answer]
        return [None if value is None else rows.unpack(value).word for value in values]

    async def until_thinned(self, message: Assembled, last: str | None) -> list[str | None]:
        """Asks for something else now and then, until the row of a request is what it should be."""

        async def look() -> object:
            self.others += 1
            await self.ask(asked(f"other-{self.others}"))
            return (await self.history(message))[-1:]

        await eventually(look, [last])
        return await self.history(message)


@pytest.fixture(scope="module")
def site(broker: Broker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    line = Line(broker.bootstrap_servers, partitions=1)
    with running(line, tmp_path_factory.mktemp("thinning"), settings=SETTINGS, nonce="true") as worker:
        yield Site(line, worker)


def calls_of(site: Site, ids: Sequence[str]) -> int:
    return sum(line[1] in ids for line in site.worker.calls.lines("start"))


def test_answer_kept_no_longer_is_neither_told_nor_paid_for_again(site: Site) -> None:
    """B148: the row is a marker; who comes with its epoch fails, is answered and buried, and nobody is called."""
    owner, twin = asked("owner"), asked("twin", key="owner")

    async def scenario() -> tuple[list[str | None], Seen, dict[str, Any], list[Seen]]:
        await site.ask(owner)
        await site.answered("owner")
        words = await site.until_thinned(owner, rows.GONE)
        await site.ask(twin)
        [failed] = await site.answered("twin", FAILED)
        answer = await site.line.answer("twin")
        letters = await site.line.read(DEAD_LETTERS, bool)
        return words, failed, answer, letters

    words, failed, answer, letters = asyncio.run(scenario())

    assert ([INFERRED, rows.GONE], 1, 0) == (words, calls_of(site, ["owner"]), calls_of(site, ["twin"]))
    assert b"answer-gone" == dict(failed.headers)["prompts.decision"]
    assert ("failed", "answer_gone", 1) == (answer["status"], answer["error"]["kind"], answer["attempts"])
    told = [dict(one.headers) for one in letters]
    assert [(b"twin", b"answer_gone")] == [(one["prompts.error.request-id"], one["prompts.error.kind"]) for one in told]


def test_marker_is_deleted_after_the_retention(site: Site) -> None:
    message = asked("short-lived")

    async def scenario() -> list[str | None]:
        await site.ask(message)
        await site.answered("short-lived")
        return await site.until_thinned(message, None)

    assert [INFERRED, rows.GONE, None] == asyncio.run(scenario())


def test_answer_asked_for_in_time_is_told_again(site: Site) -> None:
    message = asked("in-time")

    async def scenario() -> list[Seen]:
        await site.ask(message, message)
        return await site.answered("in-time", copies=2)

    one, other = asyncio.run(scenario())

    assert (one.value, 1) == (other.value, calls_of(site, ["in-time"]))
