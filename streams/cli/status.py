"""`streams status`: what waits before each stage, and until when; what was buried, who is not called, who is ready."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli import breaker, connect, parked, show
from streams.cli.connect import Connection
from streams.cli.letters import now_ms
from streams.cli.options import As, Brokers, PropertiesFile, Property
from streams.decisions import retention
from streams.stage import Stage
from topics.calls import Breaker
from topics.catalog import BREAKERS, CATALOG, DAY_MS, DEAD_LETTERS, EXPENDABLE, PARKED, Names

if TYPE_CHECKING:
    from streams.engine.lag import Lag

COLUMNS = ("group", "stage", "topic", "lag", "records", "due")
BARRED = ("service", "state", "since", "until", "order")
EVERY_S = 2.0
HOME = "\x1b[H\x1b[J"  # a terminal's picture is drawn anew in its place


def status(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Again every two seconds.")] = False,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print what waits and until when, dead letters, who is not called, and the workers of the `up` that runs here.

    A row is a stage and a topic: `lag` records wait there. DUE: when the first parked request is tried again. Below,
    where there are any, the breakers that are not closed. With -o json all rows have `group`, `stage`, `topic`, `lag`,
    `records`; those of parked topics `tier_s`, `due`, `due_in_s` (below 0: overdue by this machine's clock; null: none
    waits); a row a breaker, `lag` null, has what `breaker list` shows.
    """
    there = connect.connect(ctx, brokers, properties, file)
    asyncio.run(_status(ctx, there, how, follow))


async def _status(ctx: typer.Context, there: Connection, how: show.Format, follow: bool) -> None:
    stages = connect.outside(ctx).flow(there.settings)
    while True:
        lags = await there.kafka.lags(reads(stages, there.names))
        dated = await _dated(there, waiting(stages, there.names, lags), lags)
        not_called = barred(there.names, await breaker.words(there))
        if follow and show.on_terminal():
            typer.echo(HOME, nl=False)
        _show([*dated, buried(there.names, lags)], not_called, how)
        typer.echo(f"{there.address} ({there.origin})", err=True)
        for line in (*await _late(there, stages), *await _workers(ctx, there)):
            typer.echo(line, err=True)
        if not follow:
            return
        await asyncio.sleep(EVERY_S)


def reads(stages: Sequence[Stage], names: Names) -> dict[str, tuple[str, ...]]:
    """Group → Kafka's names of the topics it reads; the dead letters belong to none, so they join the first."""
    groups: dict[str, tuple[str, ...]] = {}
    for stage in stages:
        group = names.group(stage.app)
        groups[group] = groups.get(group, ()) + tuple(names.topic(topic) for topic in stage.reads)
    first = next(iter(groups), names.group("core"))
    groups[first] = (*groups.get(first, ()), names.topic(DEAD_LETTERS))
    return {group: tuple(dict.fromkeys(topics)) for group, topics in groups.items()}


def waiting(stages: Sequence[Stage], names: Names, lags: "Iterable[Lag]") -> list[dict[str, object]]:
    """One row a stage and topic, in flow order: records that wait before it, and records that the topic holds."""
    every = list(lags)
    work = [(stage, topic) for stage in stages for topic in stage.reads if topic not in EXPENDABLE]
    return [_row(names.group(stage.app), stage.name, names.topic(topic), every) for stage, topic in work]


def buried(names: Names, lags: "Iterable[Lag]") -> dict[str, object]:
    """The row of the dead letters: nobody has to read them, so they have no lag."""
    topic = names.topic(DEAD_LETTERS)
    held = sum(lag.end - lag.start for lag in lags if lag.topic == topic)
    return {"group": None, "stage": None, "topic": topic, "lag": None, "records": held}


def _row(group: str, stage: str, topic: str, lags: "list[Lag]") -> dict[str, object]:
    mine = [lag for lag in lags if lag.group == group and lag.topic == topic]
    return {
        "group": group,
        "stage": stage,
        "topic": topic,
        "lag": sum(lag.records for lag in mine),
        "records": sum(lag.end - lag.start for lag in mine),
    }


async def _dated(there: Connection, rows: Iterable[show.Row], lags: "Iterable[Lag]") -> list[show.Row]:
    """The rows, those of parked topics with the time of what waits there."""
    tiers = dict(zip(map(there.names.topic, PARKED), there.settings.retry.tiers_s, strict=True))
    due = parked.first_due(tiers, await there.kafka.stamps([lag for lag in lags if lag.topic in tiers]))
    return [parked.with_due(row, tiers, due, now_ms()) for row in rows]


def barred(names: Names, words: Iterable[Breaker]) -> list[show.Row]:
    """A row for each breaker that is not closed: as `breaker list` shows it, behind what every row has."""
    every = {**dict.fromkeys(("group", "stage"), None), "topic": names.topic(BREAKERS), "lag": None, "records": None}
    return [{**every, **breaker.row(word)} for word in words if word.state != "closed"]


def _show(rows: list[show.Row], not_called: list[show.Row], how: show.Format) -> None:
    if how is not show.Format.table:
        show.rows([*rows, *not_called], how, COLUMNS)
        return
    show.rows([{**row, "due": parked.in_words(row)} for row in rows], how, COLUMNS)
    if not_called:
        typer.echo("\nbreakers that are not closed:")
        show.rows(not_called, how, BARRED)


async def _late(there: Connection, stages: Sequence[Stage]) -> list[str]:
    """A warning for each group and topic with work that is older than half of the retention."""
    half_ms = round(there.settings.topics.retention_d * DAY_MS / 2)
    groups = {
        group: tuple(topic for topic in topics if CATALOG[there.names.known()[topic]].keeps == "until answered")
        for group, topics in reads(stages, there.names).items()
    }
    return warnings(await there.kafka.late(groups, now_ms() - half_ms), there.settings.topics.retention_d)


def warnings(late: "Iterable[Lag]", retention_d: float) -> list[str]:
    """One line for each group and topic."""
    silent = {(lag.group, lag.topic): lag.committed is None for lag in late}
    keep_d = retention.keep_ms(round(retention_d * DAY_MS)) / DAY_MS
    limits = f"older than {retention_d / 2:g} days, half of topics.retention_d"
    fate = f"what is not answered after {keep_d:.3g} days is answered `expired`"
    whose = {True: "never committed, and there are records", False: "has not finished records"}
    return [f"warning: {group} {whose[never]} of {topic} {limits}; {fate}" for (group, topic), never in silent.items()]


async def _workers(ctx: typer.Context, there: Connection) -> list[str]:
    """A line a worker of the `up` that runs here, if it is on this cluster."""
    from streams.local.workers import is_ready

    up = connect.nearest(ctx)
    if up is None or up.brokers != there.address:
        return []
    addresses = up.metrics.split(",")
    states = await asyncio.gather(*map(is_ready, addresses))
    return [
        f"worker {address}: {'ready' if yes else 'not ready'}" for address, yes in zip(addresses, states, strict=True)
    ]
