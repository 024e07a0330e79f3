"""A cluster in memory with the face of ``streams.cli.connect.Kafka``: topics are lists, a pipeline is one function."""

import asyncio
import json
import zlib
from contextlib import asynccontextmanager
from dataclasses import dataclass

from streams.decisions.offsets import AtEnd, FromStart, resolve
from streams.engine.lag import Lag
from streams.engine.topics import Plan
from streams.stage import Record
from topics.catalog import PROMPTS, RESULTS, Names
from topics.errors import TransportError

PARTITIONS = 4
NOW_MS = 1_769_860_800_000
NOTHING_TO_DO = Plan((), (), (), ())


@dataclass(frozen=True)
class FakeSent:
    """Where a record is."""

    at: str


def answer(request, **fields):
    """The answer of a pipeline that says everything back."""
    said = {
        "id": request["id"],
        "status": "completed",
        "text": f"echo: {request.get('prompt')}",
        "usage": {"input_tokens": 2, "output_tokens": 3},
        "request_hash": f"hash of {request['id']}",
        "received_at": "2026-01-31T12:00:00.000Z",
        "finished_at": "2026-01-31T12:00:01.000Z",
        "metadata": request.get("metadata", {}),
    }
    return {**said, **fields}


def refusal(request, kind="invalid_request", status="rejected"):
    """An answer without text."""
    return answer(request, status=status, text=None, usage=None, error={"kind": kind, "message": "no such field"})


def nobody(request):
    """Answers nothing, so that what is published may be any bytes."""
    return []


class FakeKafka:
    """``answers``: request → answers to put into results at once; ``refuses``: publishing fails with that error."""

    def __init__(self, answers=nobody, plan=NOTHING_TO_DO, refuses=None, committed=None):
        self.names, self.topics, self.applied = Names(), {}, []
        self.answers, self.planned, self.refuses, self.committed = answers, plan, refuses, committed or {}
        self.opened, self.asked_tables = [], None
        self.arrivals = {}  # one event a loop, as a test may run several

    def __call__(self, cluster, names):
        """Stands where a command makes its connection; remembers to whom."""
        self.cluster, self.names = cluster, names
        return self

    def put(self, topic, key, value, headers=(), timestamp_ms=NOW_MS):
        """Appends a record and wakes who follows."""
        log = self.topics.setdefault(topic, [])
        partition = zlib.crc32(key or b"") % PARTITIONS
        offset = sum(record.partition == partition for record in log)
        log.append(Record(topic, partition, offset, timestamp_ms, key, value, tuple(headers)))
        for arrived in self.arrivals.values():
            arrived.set()
        return log[-1]

    def values(self, topic):
        """The JSON values of a topic, in order."""
        return [json.loads(record.value) for record in self.topics.get(topic, [])]

    @asynccontextmanager
    async def publisher(self):
        self.opened.append("publisher")
        yield self

    async def send(self, topic, key, value, headers=()):
        if self.refuses:
            raise self.refuses
        sent = self.put(topic, key, value, headers)
        if topic == PROMPTS and self.answers is not nobody:
            for said in self.answers(json.loads(value)):
                self.put(RESULTS, said["id"].encode(), json.dumps(said).encode())
        acknowledged = asyncio.get_running_loop().create_future()
        acknowledged.set_result(FakeSent(sent.at))
        return acknowledged

    def from_end(self, topic):
        return self.tail(topic, AtEnd(), follow=True)

    @asynccontextmanager
    async def tail(self, topic, start, stop=None, *, follow=False):
        self.opened.append(f"tail {topic}")
        log = self.topics.setdefault(topic, [])
        first, last = self._offsets(log, start or FromStart()), self._offsets(log, stop or AtEnd())
        yield self._records(log, first, None if follow else last)

    async def _records(self, log, first, last):
        place = 0
        while True:
            while place < len(log):
                record, place = log[place], place + 1
                beyond = last is not None and record.offset >= last[record.partition]
                if record.offset >= first[record.partition] and not beyond:
                    yield record
            if last is not None:
                return
            arrived = self.arrivals.setdefault(asyncio.get_running_loop(), asyncio.Event())
            arrived.clear()
            await arrived.wait()

    def _offsets(self, log, position):
        ends = {number: sum(record.partition == number for record in log) for number in range(PARTITIONS)}
        since = {number: _since(log, number, position) for number in ends}
        return {number: resolve(position, 0, end, since[number]) for number, end in ends.items()}

    async def last(self, topic, n):
        return tuple(self.topics.get(topic, [])[-n:]) if n else ()

    async def find(self, topic, key, match, wait_s=0.0):
        log = self.topics.setdefault(topic, [])
        try:
            async with asyncio.timeout(wait_s):
                async for record in self._records(log, dict.fromkeys(range(PARTITIONS), 0), None):
                    if record.key == key and match(record):
                        return record
        except TimeoutError:
            return None

    async def lags(self, groups):
        known = self.names.known()
        return tuple(
            Lag(group, topic, 0, self.committed.get((group, topic)), 0, len(self.topics.get(known[topic], [])))
            for group, topics in groups.items()
            for topic in topics
        )

    async def late(self, groups, before_ms):
        self.late_before = before_ms
        return tuple(lag for lag in await FakeKafka.lags(self, groups) if self._late(lag, before_ms))

    def _late(self, lag, before_ms):
        log = self.topics.get(self.names.known()[lag.topic], [])
        return any(record.timestamp_ms < before_ms for record in log[lag.committed or 0 :])

    async def stamps(self, lags):
        logs = {lag: self.topics.get(self.names.known()[lag.topic], []) for lag in lags if lag.records}
        return {(lag.topic, lag.partition): log[lag.committed or 0].timestamp_ms for lag, log in logs.items()}

    async def plan(self, shape, tables):
        self.shape, self.asked_tables = shape, tables
        return self.planned

    async def apply(self, planned):
        self.applied.append(planned)


def _since(log, number, position):
    """The first offset of a partition at the time of an ``AtTime``, None without one."""
    epoch_ms = getattr(position, "epoch_ms", 0)
    found = (one.offset for one in log if one.partition == number and one.timestamp_ms >= epoch_ms)
    return next(found, None)


AWAY = TransportError("publishing", "KafkaConnectionError")
