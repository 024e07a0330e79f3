"""`streams dlq redrive` and `discard`: what would be done with which dead letters; with --execute, it is."""

import asyncio
import getpass
import os
import shlex
import socket
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import connect, letters, progress, show
from streams.cli.connect import Connection
from streams.cli.options import NOT_FOUND, OK, PARTIAL, As, Brokers, PropertiesFile, Property
from streams.client import letters as reading
from streams.client import redrive as doing
from streams.client.redrive import Done, Run
from streams.decisions import edits
from streams.decisions import redrive as decide
from streams.decisions.edits import Edit
from streams.decisions.letters import Wanted
from streams.decisions.redrive import DONE, FORCED, WORDS, Asked, Step
from topics.catalog import ASSEMBLED, DAY_MS, PROMPTS

if TYPE_CHECKING:
    from streams.client.letters import Found, Judge

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="ID|PARTITION/OFFSET", help="Requests or dead letters; without any, all that fit."),
]
Most = Annotated[int | None, typer.Option("--max", min=1, help="At most so many, the oldest first.")]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without this nothing is changed.")]
Act = Callable[[tuple[Step, ...], Run], Awaitable[Done]]


def redrive(
    ctx: typer.Context,
    ids: Ids = None,
    kind: letters.Kind = None,
    stage: letters.StageName = None,
    session: letters.Session = None,
    fingerprint: letters.Fingerprint = None,
    older_than: letters.OlderThan = None,
    newer_than: letters.NewerThan = None,
    edit: Annotated[list[str] | None, typer.Option(metavar="FIELD=JSON", help="Change a field; repeatable.")] = None,
    timeout_s: Annotated[float | None, typer.Option(min=0.001, help="Another deadline, in seconds from now.")] = None,
    rate: Annotated[float | None, typer.Option(min=0.01, max=10_000, help="Prompts a second.")] = None,
    most: Most = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also what was sent or discarded, or came back too often.")
    ] = False,
    each: letters.Each = False,
    execute: Execute = False,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Send dead letters again: the same requests, their lineage + 1. Shows which, and with --execute sends them."""
    there = connect.connect(ctx, brokers, properties, file)
    changes = tuple(edits.parse(one) for one in edit or ())
    if timeout_s is not None:
        changes += (Edit(("timeout_s",), timeout_s),)

    async def act(steps: tuple[Step, ...], run: Run) -> Done:
        return await doing.redrive(there.kafka, steps, run, changes)

    meant = letters.wanted(ids or (), kind, stage, session, fingerprint, older_than, newer_than)
    asked = _asked(there, force, changes)
    _ended(asyncio.run(Work(ctx, there, SENDING, meant, decide.redrive, act, asked, most, rate).do(execute, each, how)))


def discard(
    ctx: typer.Context,
    ids: Ids = None,
    kind: letters.Kind = None,
    stage: letters.StageName = None,
    session: letters.Session = None,
    fingerprint: letters.Fingerprint = None,
    older_than: letters.OlderThan = None,
    newer_than: letters.NewerThan = None,
    most: Most = None,
    force: Annotated[bool, typer.Option("--force", help="Also what was sent again.")] = False,
    each: letters.Each = False,
    execute: Execute = False,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Mark dead letters as not to be sent. Shows which, and with --execute marks them; their bytes stay their time."""
    there = connect.connect(ctx, brokers, properties, file)

    async def act(steps: tuple[Step, ...], run: Run) -> Done:
        return await doing.discard(there.kafka, steps, run)

    meant = letters.wanted(ids or (), kind, stage, session, fingerprint, older_than, newer_than)
    asked = _asked(there, force)
    _ended(asyncio.run(Work(ctx, there, DISCARDING, meant, decide.discard, act, asked, most).do(execute, each, how)))


@dataclass(frozen=True, slots=True)
class Words:
    """How it is called before and after."""

    state: str
    would: str
    was: str


SENDING = Words("to send", "would be sent again", "sent again")
DISCARDING = Words("to discard", "would be discarded", "discarded")


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked, of which cluster."""

    ctx: typer.Context
    there: Connection
    words: Words
    meant: Wanted
    judge: "Judge"
    act: Act
    asked: Asked
    most: int | None = None
    rate: float | None = None

    async def do(self, execute: bool, each: bool, how: show.Format) -> "Ended":
        """Prints which dead letters are meant; does it, where that is wanted."""
        kafka, run = self.there.kafka, self._run()
        if execute:
            await doing.recover(kafka, run, self.asked.now_ms)
        asked = replace(self.asked, now_ms=letters.now_ms())
        found = await reading.plan(kafka, self.there.names, self.meant, self.judge, asked, self.most)
        stated = [(step.letter, self.words.state if step.why is None else step.why) for step in found.steps]
        letters.table(letters.rows(stated, each), each, how)
        _told(found)
        if not execute or not found.going:
            return Ended(self.words, found)
        with progress.counting(found.going) as told:
            return Ended(self.words, found, await self.act(found.steps, replace(run, told=told)))

    def _run(self) -> Run:
        asked = self.there.settings.dlq
        return Run(
            name=uuid.uuid4().hex[:12],
            by=_who(),
            rate=self.rate or asked.rate,
            lag=self._lag,
            max_lag=asked.max_lag,
            claim_s=asked.claim_s,
            waits=lambda what, seconds: typer.echo(f"waiting {seconds:.0f} s for {what}", err=True),
        )

    async def _lag(self) -> int:
        """Records that wait in `prompts` and in the lanes."""
        names, reads = self.there.names, dict[str, tuple[str, ...]]()
        for stage in connect.outside(self.ctx).flow(self.there.settings):
            if busy := tuple(names.topic(topic) for topic in stage.reads if topic in (PROMPTS, *ASSEMBLED.values())):
                reads[names.group(stage.app)] = busy
        return sum(one.records for one in await self.there.kafka.lags(reads))


@dataclass(frozen=True, slots=True)
class Ended:
    """What was found, and what was done; None for a look."""

    words: Words
    found: "Found"
    done: Done | None = None


def _asked(there: Connection, force: bool, changes: tuple[Edit, ...] = ()) -> Asked:
    settings = there.settings
    retention_ms = int(settings.topics.retention_d * DAY_MS)
    claim_ms = int(settings.dlq.claim_s * 1000)
    return Asked(changes, force, settings.dlq.max_lineage, letters.now_ms(), retention_ms, claim_ms)


def _who() -> str:
    """The account and the machine."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        account = str(os.getuid())
    return f"{account}@{socket.gethostname()}"


def _told(found: "Found") -> None:
    """On stderr: what is held back and why, and names that fit nothing."""
    for why, count in Counter(step.why for step in found.steps if step.why is not None).items():
        hint = ", --force does it all the same" if why in FORCED else ""
        typer.echo(f"{count} {why}: {WORDS[why]}{hint}", err=True)
    for more in sorted({step.more for step in found.steps if step.more}):
        typer.echo(show.prose(more), err=True)
    for name in found.missing:
        typer.echo(f"no dead letter for '{show.clean(name)}'", err=True)


def _ended(ended: Ended) -> None:
    """The closing line and the exit code."""
    words, found, done = ended.words, ended.found, ended.done
    if not found.steps and not found.missing:
        typer.echo("no dead letters fit", err=True)
    elif done is None:
        hint = ". Nothing was done yet: add --execute" if found.going else ""
        typer.echo(f"{_letters(found.going)} {words.would}{hint}", err=True)
    else:
        typer.echo(_closing(words, found, done), err=True)
    if code := _code(found, done):
        raise typer.Exit(code)


def _closing(words: Words, found: "Found", done: Done) -> str:
    others = f", {done.taken} taken by another run" if done.taken else ""
    rest = f", {done.left} left: run it again" if done.left else ""
    first = next((step.letter.id for step in found.steps if step.goes and step.letter.id), None)
    then = f". Next: streams get {shlex.quote(show.clean(first))}" if words is SENDING and first and done.done else ""
    return f"{_letters(done.done)} {words.was}{others}{rest}{then}"


def _letters(count: int) -> str:
    return f"{count} dead letter{'' if count == 1 else 's'}"


def _code(found: "Found", done: Done | None) -> int:
    """4: nothing is called so; 3: not all that was meant could be done; what was done before is done."""
    if found.missing and not found.steps:
        return NOT_FOUND
    held = any(step.why is not None and step.why not in DONE for step in found.steps)
    unfinished = done is not None and bool(done.taken or done.left)
    return PARTIAL if held or unfinished or found.missing else OK
