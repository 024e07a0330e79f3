"""Dead letters as `bury` writes them, and the notes of what was done with them."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

from streams.client import letters as reading
from streams.client import redrive as doing
from streams.client.redrive import Run
from streams.decisions import burial, letters
from streams.decisions import redrive as decide
from streams.decisions.burial import Where
from streams.decisions.letters import Wanted
from streams.decisions.lineage import DEAD_LETTER
from streams.decisions.redrive import Asked
from streams.stage import Record
from tests.support.builders import NOW_MS, RAW, failed, failure
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS, Names
from topics.letter import Note

WAY = (("prompts.stage", b"bury"), ("prompts.decision", b"buried-original"), ("traceparent", b"00"))


def headers(own=(), kind="worker_error", message="echo: timeout", gone=b"", topic="prompts", **fields):
    """The evidence of a dead letter, and what the way there adds."""
    about = failed(failure=failure(kind=kind, message=message), **fields)
    evidence = burial.evidence(about, Where(topic, "prompts.infer"))
    lost = ((burial.ERROR + "original", gone),) if gone else ()
    return (*evidence, *lost, *own, *WAY)


def letter_record(value=RAW, key=b"k", partition=3, offset=17, at_ms=NOW_MS, **fields):
    """A dead letter as a record."""
    return Record(DEAD_LETTERS, partition, offset, at_ms, key, value, headers(**fields))


def letter(names=None, **fields):
    """What a dead letter tells."""
    return letters.letter_of(letter_record(**fields), names or Names())


def bury(kafka, value=RAW, key=b"k", later_ms=0, **fields):
    """Puts one dead letter into a cluster in memory."""
    return kafka.put(DEAD_LETTERS, key, value, headers(**fields), NOW_MS + later_ms)


def note(did="claimed", letter="dead-letters/3/17", **fields):
    return Note(**{"letter": letter, "did": did, "run": "r-1", "by": "me@here", "id": "a-1", "lineage": 1, **fields})


def notes_of(kafka):
    """All notes in a cluster in memory, in order."""
    return [wire.decode(record.value, Note) for record in kafka.topics.get(LETTERS, [])]


def place(record):
    return f"{record.partition}/{record.offset}"


class Killed(BaseException):
    """What a SIGKILL is to a process in memory: nothing of it runs any more."""


class Mortal:
    """A cluster whose client is killed with its ``after``-th write: just before it is written, or just after."""

    def __init__(self, kafka, after, written):
        self._kafka, self._left, self._written = kafka, after, written

    def __getattr__(self, name):
        return getattr(self._kafka, name)

    @asynccontextmanager
    async def publisher(self):
        yield self

    async def send(self, topic, key, value, headers=()):
        self._left -= 1
        if self._left < 0 and not self._written:
            raise Killed
        sent = await self._kafka.send(topic, key, value, headers)
        if self._left < 0:
            raise Killed
        await asyncio.sleep(0)  # why: lets another run come between
        return sent


async def nothing_waits():
    return 0


async def no_time(seconds):
    """A sleep that lets others run."""
    await asyncio.sleep(0)  # why: yields, and waits for nothing


def a_run(name="r-1", **knobs):
    known = {"by": "me@here", "rate": 1e6, "lag": nothing_waits, "max_lag": 10, "claim_s": 60.0, "sleep": no_time}
    return Run(**{"name": name, **known, **knobs})


async def planned(kafka, wanted=None, judge=decide.redrive, now_ms=NOW_MS, most=None, **asked):
    """What would be done."""
    return await reading.plan(kafka, kafka.names, wanted or Wanted(), judge, Asked(now_ms=now_ms, **asked), most)


async def redriven(kafka, run, now_ms=NOW_MS, **asked):
    """A whole run, as the command line does it."""
    await doing.recover(kafka, run, now_ms)
    found = await planned(kafka, now_ms=now_ms, **asked)
    return await doing.redrive(kafka, found.steps, run, asked.get("edits", ()))


def sent_again(kafka):
    """How often each dead letter stands in `prompts`, by its coordinates."""
    said = [record.header(DEAD_LETTER) for record in kafka.topics.get(PROMPTS, [])]
    return Counter(one.decode() for one in said if one is not None)
