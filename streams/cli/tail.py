"""`streams tail`: the newest records of a topic, decoded; with ``-f`` also those that come."""

import asyncio
import time
from collections.abc import Iterable
from typing import Annotated

import typer

from streams.cli import connect, show
from streams.cli.connect import Kafka
from streams.cli.options import As, Brokers, PropertiesFile, Property
from streams.decisions import offsets
from streams.decisions.offsets import AtEnd, FromStart, Position
from streams.stage import Record
from topics.answer import rfc3339
from topics.catalog import RESULTS

COLUMNS = ("at", "timestamp", "key", "value")
SHOWN = 1000  # characters of a value in a table


def tail(
    ctx: typer.Context,
    topic: Annotated[str, typer.Argument(metavar="[TOPIC]", help="Which topic.")] = RESULTS,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes.")] = False,
    n: Annotated[int, typer.Option("-n", min=0, help="How many of the newest.")] = 10,
    start: Annotated[str | None, typer.Option("--from", help="start, end, N, -N, @TIME, @-15m")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="The same notation.")] = None,
    how: As = show.Format.table,
    brokers: Brokers = None,
    properties: Property = None,
    file: PropertiesFile = None,
) -> None:
    """Print the last records of a topic, decoded."""
    there = connect.connect(ctx, brokers, properties, file)
    name = connect.topic_called(topic, there.names)
    if start is None and stop is None:
        reading = _newest(there.kafka, name, n, follow, how)
    else:
        now_ms = time.time_ns() // 1_000_000
        end = offsets.parse(stop, now_ms) if stop else None
        begin = offsets.parse(start, now_ms) if start else FromStart()
        reading = _between(there.kafka, name, begin, end, follow, how)
    asyncio.run(reading)


def view(record: Record) -> dict[str, object]:
    """A record as people and programs read it."""
    return {
        "at": record.at,
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": rfc3339(record.timestamp_ms),
        "key": show.as_text(record.key),
        "value": show.decoded(record.value),
        "headers": {name: show.as_text(value) for name, value in record.headers},
    }


async def _newest(kafka: Kafka, topic: str, n: int, follow: bool, how: show.Format) -> None:
    """The follower is opened first, so that nothing falls between the newest and what comes."""
    if not follow:
        show.rows([_shown(view(record), how) for record in await kafka.last(topic, n)], how, COLUMNS)
        return
    async with kafka.tail(topic, AtEnd(), follow=True) as coming:
        newest = await kafka.last(topic, n)
        _bit_by_bit(newest, how)
        async for record in coming:
            if record not in newest:
                _bit_by_bit([record], how)


async def _between(
    kafka: Kafka, topic: str, start: Position, stop: Position | None, follow: bool, how: show.Format
) -> None:
    async with kafka.tail(topic, start, stop, follow=follow and stop is None) as found:
        if how is show.Format.json and not follow:
            show.rows([view(record) async for record in found], how, COLUMNS)
            return
        async for record in found:
            _bit_by_bit([record], how)


def _shown(seen: dict[str, object], how: show.Format) -> dict[str, object]:
    """For a table, the beginning of a long value."""
    text = show.cell(seen["value"]) if how is show.Format.table else ""
    return {**seen, "value": show.short(text, SHOWN)} if len(text) > SHOWN else seen


def _bit_by_bit(records: Iterable[Record], how: show.Format) -> None:
    """One line a record, written at once: a table or a JSON list could only be written at the end."""
    for record in records:
        seen = view(record)
        if how is show.Format.table:
            typer.echo(show.line({name: _shown(seen, how)[name] for name in COLUMNS}))
        else:
            show.one(seen, show.Format.jsonl)
