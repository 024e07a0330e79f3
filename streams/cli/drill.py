"""`streams drill`: break a pipeline on purpose and count what comes of it, on a cluster and a provider of its own."""

import asyncio
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli import show
from streams.cli.options import WRONG, As

if TYPE_CHECKING:
    from streams.drill.drills import Drill
    from streams.drill.outcome import Outcome

app = typer.Typer(help="Break a pipeline on purpose and count what comes of it. It touches nothing of yours.")
SHOWN = (
    *("verdict", "requests", "answers", "lost", "conflicting", "phantom", "calls", "unique", "repeats"),
    *("repeats_allowed", "dead_letters", "longest_silence_s"),
)
FIRST = 1  # the seed where none is given

Seconds = Annotated[
    float | None, typer.Option("--seconds", help="Seconds of load, in which the faults fall.", min=5, max=3600)
]
Seed = Annotated[int, typer.Option("--seed", help="What is left to chance is drawn from this.", min=0)]
Keep = Annotated[bool, typer.Option("--keep", help="Leave logs and data where they are, and say where.")]


@app.command()
def crash(seconds: Seconds = None, seed: Seed = FIRST, keep: Keep = False, how: As = show.Format.table) -> None:
    """Kill workers while they call. Exit code 5 when the verdict is red."""
    _drilled("crash", seconds, seed, keep, how)


@app.command()
def outage(
    seconds: Seconds = None,
    seed: Seed = FIRST,
    keep: Keep = False,
    how: As = show.Format.table,
    long: Annotated[bool, typer.Option("--long", help="2 minutes of 5, at 50 prompts a second, 4 workers.")] = False,
) -> None:
    """Take the provider away for a while. Exit code 5 when the verdict is red."""
    _drilled("outage-long" if long else "outage", seconds, seed, keep, how)


@app.command()
def twins(seconds: Seconds = None, seed: Seed = FIRST, keep: Keep = False, how: As = show.Format.table) -> None:
    """Ask the same a thousand times, and kill the worker that makes the one call. Exit code 5 when red."""
    _drilled("twins", seconds, seed, keep, how)


@app.command()
def rebalance(seconds: Seconds = None, seed: Seed = FIRST, keep: Keep = False, how: As = show.Format.table) -> None:
    """Let workers join, leave, sleep and wake. Exit code 5 when the verdict is red."""
    _drilled("rebalance", seconds, seed, keep, how)


def _drilled(name: str, seconds: float | None, seed: int, keep: bool, how: show.Format) -> None:
    from streams.drill.drills import DRILLS

    chosen = DRILLS[name]
    drill = replace(chosen, busy_s=seconds) if seconds else chosen
    home = Path(tempfile.mkdtemp(prefix=f"streams-drill-{chosen.name}-"))
    try:
        outcome = asyncio.run(stopping(held(drill, home, seed, told(time.monotonic))))
    finally:
        if keep:
            typer.echo(f"kept in {home}", err=True)
        else:
            shutil.rmtree(home, ignore_errors=True)
    figures = outcome.figures()
    shown = {word: figures[word] for word in (*SHOWN, *outcome.notes)}
    show.one(shown if how is show.Format.table else figures, how)
    typer.echo(closing(outcome), err=True)
    if not outcome.green:
        raise typer.Exit(WRONG)


async def held(drill: "Drill", home: Path, seed: int, say: Callable[[str], None]) -> "Outcome":
    """The outcome of a drill on an embedded broker that runs as long as the drill."""
    from streams.drill import run
    from streams.local.kafka import EmbeddedKafka

    broker = EmbeddedKafka(home / "kafka", say=say)
    try:
        await asyncio.to_thread(broker.start)
        say(f"{drill.name}: {drill.does}")
        return await run.hold(drill, broker, home, say, seed=seed)
    finally:
        await asyncio.to_thread(broker.kill)


async def stopping(work: Coroutine[Any, Any, "Outcome"]) -> "Outcome":
    """Runs it; SIGTERM ends it as Ctrl-C does, so that nothing that it started is left behind."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        raise typer.Abort from None


def told(now: Callable[[], float]) -> Callable[[str], None]:
    """Says each step on stderr, with the seconds since the beginning."""
    start = now()
    return lambda line: typer.echo(f"{now() - start:5.1f} s  {line}", err=True)


def closing(outcome: "Outcome") -> str:
    """The verdict in a sentence."""
    if not outcome.green:
        return f"RED: {'; '.join(outcome.why)}"
    repeats = outcome.paid.repeats
    paid = f"{repeats} call{'s' * (repeats != 1)} repeated, each with a cause" if repeats else "no call repeated"
    return f"GREEN: {outcome.requests:,} prompts, each answered once; {paid}"
