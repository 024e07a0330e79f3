"""How is a drill held, from its first prompt to its verdict? Load, faults while it is busy, the rest, the count."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from pathlib import Path

from streams import pipeline
from streams.decisions import burial
from streams.decisions.offsets import FromStart
from streams.decisions.proof import OFFENCES, Calls, Demands, Verdict
from streams.drill import hands, site
from streams.drill.account import Account, account, calls_of, running
from streams.drill.crew import POLL_S, DrillFailed, steady_s, until
from streams.drill.drills import Drill
from streams.drill.faults import FAULTS, Fault
from streams.drill.load import Load
from streams.drill.outcome import Outcome
from streams.drill.plan import Planned, chance_of, spread
from streams.drill.probing import probing
from streams.drill.reach import READ, reached
from streams.drill.site import Broker, Say, Site, Starter
from streams.settings import Settings
from streams.stage import Record
from streams.verify import check
from topics.catalog import DEAD_LETTERS

WARM_S = 60.0  # seconds for the first answers
RECOVERED_S = 60.0  # seconds for calls to run again after a fault, before the next one
TAIL_S = 2.0  # seconds of load after the last fault is over


async def hold(
    drill: Drill,
    broker: Broker,
    directory: Path,
    say: Say,
    *,
    seed: int = 0,
    known: Mapping[str, Fault] = FAULTS,
    starter: Starter = site.hands,
) -> Outcome:
    """Holds a drill on a running broker, with everything else of its own in ``directory``; its outcome."""
    async with site.held(broker, directory, drill, say, starter) as here:
        collecting = asyncio.ensure_future(here.load.collect())
        try:
            await warm(here)
            say(f"{len(here.load.sheet.came)} answers came: the faults begin")
            missed = await busy(here, spread(seed, drill.faults, drill.busy_s), seed, known, say)
            await until(lambda: not here.load.sheet.waiting, drill.drain_s, here.crew.revive)
            say(f"{len(here.load.sheet.came):,} answers; counting")
            await here.crew.leave_all()
        finally:
            collecting.cancel()
        calls = calls_of(here.provider.entries(), await site.safe(here))
        paid = account(calls, here.crew.blows, hands.moves(here.hands.told()))
        letters = any(known[name].buries for name in drill.faults)
        return await counted(here, missed, seed, await judged(here, paid), paid, letters=letters)


async def warm(here: Site) -> None:
    """Requests before the load: whoever answers these is at work."""
    drill = here.drill
    first = Load(here.load.door, drill.warm_up, drill.rate, here.load.sheet)
    await first.publish(here.publisher, drill.warm)
    if not await until(lambda: not here.load.sheet.waiting, WARM_S, here.crew.revive):
        raise DrillFailed(f"no answers within {WARM_S:g} s: {here.hands.complaint()}")


async def busy(here: Site, plan: Sequence[Planned], seed: int, known: Mapping[str, Fault], say: Say) -> tuple[str, ...]:
    """The busy time with its faults, one after another; the names of those that fell outside of it."""
    start, missed = steady_s(), list[str]()
    asking = asyncio.ensure_future(here.load.publish(here.publisher))
    for number, planned in enumerate(plan):
        await until(lambda: False, planned.at_s - (steady_s() - start), here.crew.revive)
        at_work = await until(lambda: bool(running(here.provider.entries())), RECOVERED_S, here.crew.revive)
        if asking.done() or not at_work:
            missed.append(planned.fault)
        say(f"{steady_s() - start:5.1f} s  {planned.fault}")
        await supervised(here, known[planned.fault].play(here, chance_of(seed, number), here.drill.hold_s))
    rest_s = max(TAIL_S, here.drill.busy_s - (steady_s() - start))
    await until(asking.done, rest_s, here.crew.revive)
    here.load.enough()
    await supervised(here, asking)
    return tuple(missed)


async def supervised(here: Site, work: Awaitable[None]) -> None:
    """Does it; a worker that ends by itself meanwhile is started again."""
    task = asyncio.ensure_future(work)
    try:
        while not task.done():
            here.crew.revive()
            await asyncio.wait([task], timeout=POLL_S)
    finally:
        task.cancel()
    await task


async def counted(
    here: Site, missed: tuple[str, ...], seed: int, verdict: Verdict, paid: Account, *, letters: bool
) -> Outcome:
    """What all came to, as the checker and the provider's ledger tell it; ``letters``: whether there may be any."""
    sheet = here.load.sheet
    async with here.load.door.tail(DEAD_LETTERS, FromStart()) as records:
        buried = len({_origin(record) async for record in records}) - here.planted
    wrong = {name: verdict.ids(name) for name in (*OFFENCES, "unseen") if verdict.count(name)}
    if buried > 0 and not letters:
        wrong["buried"] = (f"{buried} dead letters",)
    seen = probing(here.provider.entries())
    if len(set(here.drill.faults)) == 1:  # an outage alone: whoever sleeps or is cut off hears late
        wrong |= seen.wrong(len(here.crew.blows))
    return Outcome(
        here.drill.faults,
        len(sheet.accepted),
        len(sheet.accepted - sheet.waiting),
        wrong,
        paid,
        sheet.silence_s(),
        buried,
        missed,
        reached([record async for record in _all(here)], here.hands.told()),
        seed,
        {} if seen.open_after_s is None else {"open_after_s": round(seen.open_after_s, 2), "probes": seen.probes},
    )


async def _all(here: Site) -> AsyncIterator[Record]:
    for topic in READ:
        async with here.load.door.tail(topic, FromStart()) as records:
            async for record in records:
                yield record


async def judged(here: Site, paid: Account) -> Verdict:
    """The checker's verdict on everything."""
    client = {id: frozenset(words) for id, words in here.load.sheet.told.items()}
    calls = Calls(paid.calls, paid.unique, paid.excused, paid.baseless)
    demands = Demands(stall_s=here.drill.drain_s + here.drill.busy_s, client=client, calls=calls)
    settings = Settings()
    return await check(
        here.cluster, here.names, pipeline.stages(settings), policy=pipeline.door(settings), demands=demands
    )


def _origin(letter: Record) -> tuple[str | None, ...]:
    """The record that a dead letter is of: buried again, it is the same letter."""
    told = burial.told(letter.headers)
    return told.get("original-topic"), told.get("original-partition"), told.get("original-offset")
