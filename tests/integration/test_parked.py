"""Do parked records come back at their time and in their order, whatever happens to workers, broker and topics?"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer

from streams.decisions import parking
from streams.engine.cluster import Cluster
from streams.engine.connect import admin
from tests.support.brokers import Broker
from tests.support.builders import assembled
from tests.support.running import Line, RunningWorker, Seen, eventually, request, running
from topics import wire
from topics.catalog import ASSEMBLED, DEAD_LETTERS, FAILED

pytestmark = pytest.mark.broker

TIERS_S = (1.0, 2.0, 4.0, 8.0)
SLACK_S = 1.0
LOW = ASSEMBLED["low"]  # where nobody runs `infer`, what came back stays to be looked at
WAITING = {"retry.tiers_s": "1,2,4,8", "retry.in_process_s": 0.5}
PARK: dict[str, Any] = {"apps": ("park",), "settings": WAITING}
HASTY = {**WAITING, "kafka.properties": json.dumps({"request.timeout.ms": "3000"})}


async def parked(
    line: Line, records: dict[bytes, bytes], tiers: Sequence[float] = (1.0,), partition: int | None = 0
) -> list[Seen]:
    """Records that wait in these tiers, as `infer` writes them; returns where they are."""
    topic, headers = parking.output(LOW, tiers, TIERS_S)
    own, physical = [("traceparent", b"00-1"), *headers], line.names.topic(topic)
    async with AIOKafkaProducer(bootstrap_servers=line.brokers, acks="all") as producer:
        turns = enumerate(records.items())
        places = [(turn % line.partitions if partition is None else partition, *record) for turn, record in turns]
        waiting = [await producer.send(physical, value, key, number, headers=own) for number, key, value in places]
        return [await report for report in waiting]


def numbered(count: int, prefix: str = "") -> dict[bytes, bytes]:
    return {f"{prefix}{number}".encode(): b'{"n": %d}' % number for number in range(count)}


async def in_slices(line: Line, records: dict[bytes, bytes], over_s: float) -> None:
    """Parks records for a second, a few at a time: from then on some are back, and some wait."""
    items = list(records.items())
    for at in range(0, len(items), 10):
        await parked(line, dict(items[at : at + 10]), partition=None)
        await asyncio.sleep(10 * over_s / len(items))  # why: spreads what is parked over time


def requests(count: int) -> dict[bytes, bytes]:
    """Requests that `infer` can answer, each with a key of its own."""
    ids = [f"p-{number}" for number in range(count)]
    return {id.encode(): wire.encode(assembled(request_id=id, lane="low", dedup_key=f"c:{id}")) for id in ids}


async def returned(line: Line, count: int, within_s: float = 30.0) -> list[Seen]:
    """What came back, as soon as there are so many."""
    return await line.read(LOW, lambda found: len(found) >= count, within_s)


def late_s(sent: list[Seen], back: list[Seen], waited_s: float) -> list[float]:
    """Seconds after its time, for each record by its key: by the broker's stamps."""
    began = {seen.offset: seen.timestamp for seen in sent}
    return [(came.timestamp - began[number]) / 1000 - waited_s for number, came in enumerate(back)]


# -- at their time


def test_parked_records_come_back_in_order_within_a_second_of_their_time(broker: Any, tmp_path: Path) -> None:
    line, records = Line(broker.bootstrap_servers), numbered(200)
    with running(line, tmp_path, **PARK):
        sent = asyncio.run(parked(line, records))
        back = asyncio.run(returned(line, 200))

    assert records == {seen.key: seen.value for seen in back}
    assert [] == [late for late in late_s(sent, back, 1.0) if not 0 <= late <= SLACK_S]


def test_parked_record_waits_in_each_of_its_tiers(broker: Any, tmp_path: Path) -> None:
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path, **PARK):
        sent = asyncio.run(parked(line, numbered(1), (2.0, 1.0, 1.0)))
        [back] = asyncio.run(returned(line, 1))

    assert 0 <= (back.timestamp - sent[0].timestamp) / 1000 - 4.0 <= 3 * SLACK_S


def test_parked_record_comes_back_as_it_went(broker: Any, tmp_path: Path) -> None:
    """Key, value, partition and trace; nothing of the tiers is left on it."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path, **PARK):
        asyncio.run(parked(line, {b"k": b"\x00 any bytes"}, (1.0, 1.0), partition=1))
        [back] = asyncio.run(returned(line, 1))

    cause = (("prompts.stage", b"park"), ("prompts.decision", b"returned"), ("prompts.cause", b"parked.1/1/1"))
    assert (b"k", b"\x00 any bytes", 1, (("traceparent", b"00-1"), *cause)) == (
        back.key,
        back.value,
        back.partition,
        tuple(back.headers),
    )


def test_record_that_was_parked_while_no_worker_ran_comes_back_at_its_time(broker: Any, tmp_path: Path) -> None:
    """It waits from its append on, not from when somebody sees it: what is long due comes at once."""
    line = Line(broker.bootstrap_servers)
    asyncio.run(line.prepare())
    sent = asyncio.run(parked(line, numbered(1), (4.0,)))
    worker = RunningWorker(line, tmp_path, **PARK).start()
    try:
        [back] = asyncio.run(returned(line, 1))
    finally:
        worker.kill()

    assert 4.0 <= (back.timestamp - sent[0].timestamp) / 1000 < 8.0


# -- whatever happens to workers


def test_records_parked_under_a_killed_worker_all_come_back(broker: Any, tmp_path: Path) -> None:
    """F1: SIGKILL while some of 200 are back and the others wait; each comes back, and is answered once."""
    line, records = Line(broker.bootstrap_servers), requests(200)
    ids = [key.decode() for key in records]
    with running(line, tmp_path, settings=WAITING) as worker:
        asyncio.run(in_slices(line, records, over_s=2.0))
        worker.signal(signal.SIGKILL)
        worker.ended()
        before = len(asyncio.run(line.all(LOW)))
        worker.start()
        answers = asyncio.run(line.results(ids))
        asyncio.run(eventually(line.waiting, {}))
        back = asyncio.run(line.all(LOW))

    assert 0 < before < 200
    assert set(records) == {seen.key for seen in back}
    assert dict.fromkeys(ids, 1) == {id: len({seen.value for seen in answers if seen.key == id.encode()}) for id in ids}
    assert 200 == worker.calls.started - worker.calls.open


def test_worker_that_joins_takes_over_without_repeating_what_waits(broker: Any, tmp_path: Path) -> None:
    """F4: two members share the tiers; what had not come back before comes back once."""
    line, records = Line(broker.bootstrap_servers), numbered(300)
    with running(line, tmp_path / "a", **PARK):
        asyncio.run(parked(line, records, (8.0,), partition=None))
        second = RunningWorker(
            line, tmp_path / "b", apps=("park",), settings={**WAITING, "worker.slot": 1, "worker.http_port": 0}
        )
        try:
            second.start().ready()
            back = asyncio.run(returned(line, 300))
        finally:
            second.kill()

    assert Counter(list(records)) == Counter(seen.key for seen in back)


def test_worker_that_stops_leaves_nothing_to_repeat(broker: Any, tmp_path: Path) -> None:
    """F2, B105: what is back is committed, and the restart goes on behind it."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path, **PARK) as worker:
        asyncio.run(parked(line, numbered(50, "a")))
        asyncio.run(returned(line, 50))
        code = worker.stop()
        worker.start().ready()
        asyncio.run(parked(line, numbered(50, "b")))
        back = asyncio.run(returned(line, 100))

    assert (0, Counter([*numbered(50, "a"), *numbered(50, "b")])) == (code, Counter(seen.key for seen in back))


# -- whatever happens to brokers and topics


def test_broker_killed_while_records_wait_gives_them_all_back(fresh_broker: Broker, tmp_path: Path) -> None:
    """F6: the tiers wait for the broker, as everybody does, and the worker needs no help."""
    line, records = Line(fresh_broker.bootstrap_servers), numbered(100)
    with running(line, tmp_path, **PARK) as worker:
        sent = asyncio.run(parked(line, records, (2.0,)))
        fresh_broker.kill()
        fresh_broker.start()
        back = asyncio.run(returned(line, 100, 60.0))

        assert worker.alive
    assert set(records) == {seen.key for seen in back}
    assert min(seen.timestamp for seen in back) - sent[0].timestamp >= 2000


def test_worker_without_a_parked_topic_says_which_and_how_to_make_it(broker: Any, tmp_path: Path) -> None:
    """F18"""
    line = Line(broker.bootstrap_servers)
    asyncio.run(line.prepare())
    asyncio.run(deleted(line, "parked.3"))
    worker = RunningWorker(line, tmp_path, **PARK).start()

    assert 0 != worker.ended()
    assert "streams topics apply" in worker.said
    assert line.names.topic("parked.3") in worker.said


def test_lane_that_is_gone_stops_the_tiers_and_loses_nothing(broker: Any, tmp_path: Path) -> None:
    """F18: nothing is committed, the worker says what is wrong, and once the topic is there a restart goes on."""
    line, records = Line(broker.bootstrap_servers), numbered(20)
    with running(line, tmp_path, apps=("park",), settings=HASTY) as worker:
        asyncio.run(deleted(line, LOW))
        asyncio.run(parked(line, records))
        worker.until(lambda: worker.get("/ready")[0] == 503, 30.0, "not ready")
        reasons = worker.get("/ready")[1]
        committed = asyncio.run(line.commits("parked.1"))
        worker.stop()
        asyncio.run(line.prepare())
        worker.start().ready()
        back = asyncio.run(returned(line, 20))

    assert (0, list(records)) == (sum(committed.values()), [seen.key for seen in back])
    assert line.names.topic(LOW) in reasons


def test_record_that_nobody_can_send_back_becomes_a_dead_letter(broker: Any, tmp_path: Path) -> None:
    """B60: the partition goes on behind it."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path, **PARK):
        asyncio.run(line.publish(b"no request", key=b"lost", topic="parked.1"))
        [failed] = asyncio.run(line.read(FAILED, lambda found: len(found) == 1))
        [letter] = asyncio.run(line.read(DEAD_LETTERS, lambda found: len(found) == 1))

    assert ("park", "undecodable") == (json.loads(failed.value)["stage"], json.loads(failed.value)["failure"]["kind"])
    assert b"no request" == letter.value


# -- who else is there


def test_other_requests_flow_while_thousands_wait(broker: Any, tmp_path: Path) -> None:
    """B49: parked records hold nobody up."""
    line = Line(broker.bootstrap_servers)
    with running(line, tmp_path, settings=WAITING):
        asyncio.run(parked(line, numbered(3000), (8.0,), partition=None))
        asyncio.run(line.publish(request("quick")))
        answer = asyncio.run(line.result("quick"))
        waiting = asyncio.run(line.waiting("park"))

    assert {"park:parked.4": 3000} == waiting
    assert answer.value


async def deleted(line: Line, topic: str) -> None:
    """The topic is gone, and the broker knows."""
    name = line.names.topic(topic)
    async with admin(Cluster(line.brokers)) as client:
        await client.delete_topics([name])

        async def there() -> bool:
            return name in await client.list_topics()

        await eventually(there, False)
