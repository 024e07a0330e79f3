"""Is every part connected? One story in memory, told once for each part without it: what must change then does.

A part without a row does not land: stages, tables, the ticks, and everything that the composition root hands out.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from streams.adapters import templates
from streams.adapters.clock import HandClock
from streams.adapters.memory import Rows
from streams.adapters.providers.echo import EchoPolicy, EchoProvider
from streams.adapters.retriever.memory import MemoryRetriever
from streams.decisions.assembly import AssemblyPolicy
from streams.decisions.attempts import Candidate
from streams.decisions.breaker import BreakerPolicy
from streams.decisions.dedup import DedupPolicy
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.limits import AdmissionPolicy
from streams.decisions.refinement import RefinementPolicy
from streams.decisions.retry import RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.pipeline import Nowhere, Parts, compose
from streams.ports import AllClosed, Call, Template
from streams.stage import Record, Stage
from streams.testing import Pipeline
from topics import wire
from topics.answer import Answer
from topics.calls import Ordered
from topics.catalog import (
    ADMITTED,
    ASSEMBLED,
    BREAKER_TICKS,
    BREAKERS,
    CALLS,
    CLOCKS,
    DEAD_LETTERS,
    DEDUPED,
    DOCUMENTS,
    INFERRED,
    PROMPTS,
    REFINED,
    RESULTS,
    RETRIEVED,
    TICKS,
    Names,
)
from topics.messages import Assembled, Reply
from topics.provider_errors import (
    ContextTooLong,
    ProviderDenied,
    ProviderEmpty,
    ProviderRateLimited,
    ProviderUnavailable,
    WorkerError,
)

BROKEN = b"{broken"
TRIP = Ordered(order="trip", id="1", who="ann", why="a drill")
PROMPTED: dict[str, dict[str, Any]] = {
    "late": {"prompt": "in time?", "timeout_s": 5, "priority": "critical"},
    "plain": {"prompt": "hello"},
    "low": {"prompt": "no hurry", "priority": "low"},
    "refused": {"prompt": "hello", "unknown": 1},
    "informed": {"prompt": "what is a log?", "retrieve": {"k": 1}},
    "templated": {"prompt": "dear all", "template": "formal"},
    "talkative": {"prompt": "x" * 500},
    "patient": {"prompt": "can you wait?"},
    "other": {"prompt": "are you another?", "model": "other"},
    "hasty": {"prompt": "can you wait?", "timeout_s": 2},
}
FAILING: dict[str, dict[str, Any]] = {
    "flaky": {"prompt": "again!", "model": "flaky"},
    "limited": {"prompt": "not now", "model": "limited"},
    "doomed": {"prompt": "never", "model": "doomed", "timeout_s": 1000},
    "routed": {"prompt": "a long story", "model": "alias"},
}
FAULTS: dict[str, WorkerError] = {
    "flaky": ProviderUnavailable("paid"),
    "limited": ProviderRateLimited("paid", retry_after_s=60.0),
    "small": ContextTooLong("paid"),
    "locked": ProviderDenied("paid"),
}


class Paid(EchoProvider):
    """Ten seconds a call, another answer each time; knows which calls it was asked for, and how many at once."""

    def __init__(self, clock: HandClock) -> None:
        super().__init__(EchoPolicy(delay_s=10.0, nonce=True), sleep=clock.sleep)
        self.asked, self.running, self.most = Counter[str](), 0, 0
        self.faults = dict(FAULTS)

    @property
    def name(self) -> str:
        return "paid"

    async def complete(self, call: Call) -> Reply:
        if call.model == "doomed":
            raise ProviderEmpty("paid")
        if call.model in self.faults:
            raise self.faults.pop(call.model)
        self.asked[call.id] += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            return (await super().complete(call)).model_copy(update={"provider": self.name})
        finally:
            self.running -= 1


@dataclass
class Told:
    """The story's end."""

    pipeline: Pipeline
    provider: Paid

    @property
    def answers(self) -> dict[str, Answer]:
        return {answer.id: answer for answer in self.pipeline.answers()}

    def values(self, id: str) -> set[bytes | None]:
        return {record.value for record in self.pipeline.records(RESULTS) if record.key == id.encode()}

    def letters(self, name: str) -> set[bytes | None]:
        return {record.header(name) for record in self.pipeline.records(DEAD_LETTERS)}

    @property
    def sent(self) -> dict[str, str]:
        """What the provider was sent, by request."""
        records = [record for topic in ASSEMBLED.values() for record in self.pipeline.records(topic)]
        messages = [wire.decode(record.value, Assembled) for record in records]
        return {message.id: str(message.rendered) for message in messages}


@cache
def formal() -> dict[str, Template]:
    """One template, read from a file as a worker does."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "formal.j2").write_text("Yours faithfully: {{ prompt }}")
        return dict(templates.load(Path(directory)))


def whole(parts: Parts) -> Parts:
    """Everything plugged in, and set to something that is not its default."""
    return replace(
        parts,
        admission=AdmissionPolicy(plain_text=True),
        dedup=DedupPolicy(window_s=300),
        assembly=AssemblyPolicy(system="Be brief."),
        templates=formal(),
        refinement=RefinementPolicy(max_answer_bytes=300),
        providers={"spare": EchoProvider()},
        routes={"alias": (Candidate("paid", "small"), Candidate("spare", "large"))},
        retry=RetryPolicy(attempts=2),
        dead_key_s=300.0,
        guard=GuardPolicy(consecutive=1),
        keep=KeepPolicy(whole_ms=500_000),
        calls=3,
        breaker=BreakerPolicy(open_s=120),
        names=Names("acme."),
    )


Change = Callable[[Parts], Parts]
Rewire = Callable[[Sequence[Stage]], Sequence[Stage]]


def as_it_is(given: Any) -> Any:
    return given


def told(change: Change = as_it_is, rewire: Rewire = as_it_is) -> Told:
    """The story: prompts of all kinds; then all is delivered again, one is sent again, and later its words are."""
    clock = HandClock()
    provider = Paid(clock)
    pipeline = Pipeline(provider, clock=clock, wired=lambda parts: rewire(compose(change(whole(parts)))))

    async def scenario() -> None:
        pipeline.write(DOCUMENTS, {"id": "d-1", "text": "a log is a list that only grows"}, key=b"d-1")
        for id, request in PROMPTED.items():
            await pipeline.submit({"id": id, **request}, key=b"k")
        await pipeline.submit(BROKEN)
        await pipeline.submit(b"just words")
        await pipeline.settle()
        await pipeline.move(again=99)
        await pipeline.settle()
        await pipeline.submit({"id": "plain", **PROMPTED["plain"]}, key=b"k")
        await pipeline.settle()
        await pipeline.advance(1000)
        await pipeline.submit({"id": "afterwards", **PROMPTED["plain"]}, key=b"k")
        await pipeline.settle()
        for id, request in FAILING.items():
            await pipeline.submit({"id": id, **request}, key=b"k")
        await pipeline.settle()
        await pipeline.submit({"id": "locked", "prompt": "let me in", "model": "locked"}, key=b"k")
        await pipeline.advance(20)
        await pipeline.submit({"id": "barred", "prompt": "me, too"}, key=b"k")
        await pipeline.settle()
        pipeline.write(CALLS, wire.encode(TRIP), key=b"paid:default")
        await pipeline.settle()
        await pipeline.submit({"id": "held", "prompt": "when may you?"}, key=b"k")
        await pipeline.settle()

    asyncio.run(scenario())
    return Told(pipeline, provider)


# -- how a part is unplugged


def without_stage(name: str) -> Rewire:
    return lambda stages: [stage for stage in stages if stage.name != name]


def without_topic(topic: str) -> Rewire:
    """Nobody reads it any more."""
    return lambda stages: [replace(one, reads=tuple(name for name in one.reads if name != topic)) for one in stages]


class Forgetful:
    """A scope whose rows are gone with each record."""

    def __init__(self, scope: Any) -> None:
        self._scope, self.table = scope, Rows({})

    def derived(self, build: Callable[[Any], Any]) -> Any:
        return build(self.table)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scope, name)


def without_table(name: str) -> Rewire:
    def forgets(stage: Stage) -> Stage:
        handle: Any = stage.handle
        return replace(stage, handle=lambda record, scope: handle(record, Forgetful(scope)))

    return lambda stages: [forgets(stage) if stage.table == name else stage for stage in stages]


def by_default(name: str, value: Any) -> Change:
    return lambda parts: replace(parts, **{name: value})


# -- what must change


@dataclass(frozen=True)
class Row:
    """What is looked at, what it is, and what it is without the part."""

    look: Callable[[Told], object]
    with_it: object
    without: object
    rewire: Rewire = field(default=as_it_is)
    change: Change = field(default=as_it_is)


def written(topic: str) -> Callable[[Told], object]:
    return lambda story: bool(story.pipeline.records(topic))


def status(id: str) -> Callable[[Told], object]:
    return lambda story: story.answers[id].status if id in story.answers else None


def source(id: str) -> Callable[[Told], object]:
    return lambda story: story.answers[id].source


def stage(name: str, look: Callable[[Told], object], with_it: object = True, without: object = False) -> Row:
    return Row(look, with_it, without, rewire=without_stage(name))


def part(name: str, default: Any, look: Callable[[Told], object], with_it: object, without: object) -> Row:
    return Row(look, with_it, without, change=by_default(name, default))


def words(story: Told) -> object:
    """The answer to a line of text, whose id is derived."""
    return any((answer.text or "").startswith("echo: just words") for answer in story.answers.values())


def ever_expired(story: Told) -> object:
    """Whether the hasty twin was told in time; asked again later, it may have the answer that is there by then."""
    return b'"status":"expired"' in b"".join(value or b"" for value in story.values("hasty"))


def took_above(id: str, seconds: float) -> Callable[[Told], object]:
    """Whether a request waited for so long."""

    def look(story: Told) -> object:
        name = id.encode()
        asked = [seen for seen in story.pipeline.records(PROMPTS) if b'"%b"' % name in (seen.value or b"")]
        answered = [seen for seen in story.pipeline.records(RESULTS) if seen.key == name]
        return answered[0].timestamp_ms - asked[0].timestamp_ms > seconds * 1000

    return look


held = took_above("held", 100)  # until its service might be called again


def half_open(story: Told) -> object:
    return any(b'"half-open"' in (record.value or b"") for record in story.pipeline.records(BREAKERS))


def counted(story: Told) -> object:
    """Whether calls that only went well are in a row."""
    return any(b"paid:other" in rows for (_, table, _), rows in story.pipeline.tables.items() if table == "breakers")


def thinned(story: Told) -> object:
    """Whether it is only known that there was an answer."""
    tables = [rows for (_, table, _), rows in story.pipeline.tables.items() if table == "answers"]
    return any(b'"word":"gone"' in row for rows in tables for row in rows.values())


def repeated(story: Told) -> object:
    return max(story.provider.asked.values()) > 1


ROWS: dict[str, Row] = {
    "stage admit": stage("admit", written(ADMITTED)),
    "stage dedup": stage("dedup", written(DEDUPED)),
    "stage retrieve": stage("retrieve", written(RETRIEVED)),
    "stage assemble": stage("assemble", written(ASSEMBLED["low"])),
    "stage infer": stage("infer", written(INFERRED)),
    "stage refine": stage("refine", written(REFINED)),
    "stage deliver": stage("deliver", status("plain"), "completed", None),
    "stage breaker": stage("breaker", held),
    "stage park": stage("park", status("limited"), "completed", None),
    "stage bury": stage("bury", written(DEAD_LETTERS)),
    "table answers": Row(repeated, False, True, rewire=without_table("answers")),
    "table requests": Row(lambda story: len(story.values("plain")), 1, 2, rewire=without_table("requests")),
    "table breakers": Row(half_open, True, False, rewire=without_table("breakers")),
    "topic ticks.breaker": Row(counted, True, False, rewire=without_topic(BREAKER_TICKS)),
    "topic ticks": Row(ever_expired, True, False, rewire=without_topic(TICKS)),
    "part provider": part("provider", EchoProvider(), lambda story: story.answers["plain"].provider, "paid", "echo"),
    "part originals": part(
        "originals", Nowhere(), lambda story: None in story.letters("prompts.error.original"), True, False
    ),
    "part admission": part("admission", AdmissionPolicy(), words, True, False),
    "part dedup": part("dedup", DedupPolicy(), source("afterwards"), "provider", "cache"),
    "part assembly": part("assembly", AssemblyPolicy(), lambda story: "Be brief." in story.sent["plain"], True, False),
    "part templates": part("templates", {}, status("templated"), "completed", "rejected"),
    "part refinement": part("refinement", RefinementPolicy(), status("talkative"), "failed", "completed"),
    "part retriever": part(
        "retriever", MemoryRetriever.of(), lambda story: "only grows" in story.sent["informed"], True, False
    ),
    "part providers": part("providers", {}, status("routed"), "completed", "failed"),
    "part routes": part("routes", {}, lambda story: story.answers["routed"].provider, "echo", "paid"),
    "part retry": part("retry", RetryPolicy(), lambda story: story.answers["doomed"].attempts, 7, 8),
    "part dead_key_s": part("dead_key_s", 60.0, took_above("barred", 200), True, False),
    "part guard": part("guard", GuardPolicy(), status("doomed"), "expired", "failed"),
    "part keep": part("keep", KeepPolicy(), thinned, True, False),
    "part sleep": Row(
        took_above("flaky", 100),
        False,
        True,
        change=lambda parts: replace(parts, sleep=lambda seconds: parts.sleep(seconds + 100)),  # why: by the hand clock
    ),
    "part calls": part("calls", 256, lambda story: story.provider.most > 3, False, True),
    "part breaker": part("breaker", BreakerPolicy(), held, True, False),
    "part board": part("board", AllClosed(), held, True, False),
    "part within": part("within", lambda seconds: asyncio.timeout(None), status("late"), "expired", "completed"),
    "part names": part(
        "names", Names(), lambda story: story.letters("prompts.error.group"), {b"acme.core"}, {b"prompts.core"}
    ),
}


@cache
def complete() -> Told:
    return told()


@pytest.mark.parametrize("name", ROWS)
def test_part_unplugged_changes_what_it_is_there_for(name: str) -> None:
    row = ROWS[name]

    assert (row.with_it, row.without) == (row.look(complete()), row.look(told(row.change, row.rewire)))


def test_every_part_of_the_pipeline_has_a_row() -> None:
    stages = complete().pipeline.stages
    parts = {
        *(f"stage {stage.name}" for stage in stages),
        *(f"table {stage.table}" for stage in stages if stage.table),
        *(f"topic {topic}" for stage in stages for topic in stage.reads if topic in CLOCKS),
        *(f"part {each.name}" for each in fields(Parts)),
    }

    assert parts == set(ROWS)


def test_complete_story_answers_every_prompt() -> None:
    """I1"""
    asked: list[Record] = complete().pipeline.records(PROMPTS)

    assert len(asked) - 1 == len(complete().answers)  # one was sent again
    assert set(PROMPTED) <= set(complete().answers)
