"""What can be done to a running pipeline from outside? One function a fault; ``FAULTS`` is the list of them."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from streams import pipeline
from streams.drill.account import running
from streams.drill.crew import DrillFailed, ended, killed, steady_s, until
from streams.drill.drills import request
from streams.drill.site import Site
from streams.engine.rewind import rewind
from streams.settings import Settings
from streams.verify import readers
from topics.catalog import PROMPTS

Play = Callable[[Site, random.Random, float], Awaitable[None]]  # where, what it may choose by, for how many seconds
CALL_S, STORM_S, ASLEEP = 20.0, 3.0, 1.5
KILLED_S, REDRIVE_S = 2.0, 30.0  # until the first redrive is killed, and within which the others end
POISON = (b'{"prompt": "hello"', b"[1]", b"", None, b'{"prompt": "\xff"}', b"[" * 3000, b"What is a log?")
GARBAGE = ("garbage", "empty", "truncated", "reset", "cut", "ok*3")
REFUSALS = ("429:1*3", "500*2", "502:1", "ok*2")


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault: its name in plans, its number in the catalogue, what is done; ``buries``: dead letters come of it."""

    name: str
    number: str
    play: Play
    buries: bool = False


def somebody(site: Site, chance: random.Random) -> int:
    """One of the workers that stay."""
    return chance.choice(site.crew.slots)


async def kill(site: Site, chance: random.Random, hold_s: float) -> None:
    """A worker is killed, and started again at once."""
    site.crew.kill(somebody(site, chance))


async def kill_caller(site: Site, chance: random.Random, hold_s: float) -> None:
    """The worker in which a call runs is killed in the middle of it."""
    if not await until(lambda: bool(running(site.provider.entries())), CALL_S):
        raise DrillFailed(f"no call was begun within {CALL_S:g} s")
    await asyncio.sleep(site.drill.calls_s / 8)
    callers = set(running(site.provider.entries()).values())
    for slot in site.crew.slots:
        if f"worker-{slot}" in callers:
            site.crew.kill(slot)


async def stop(site: Site, chance: random.Random, hold_s: float) -> None:
    """A worker is asked to end while it calls, and started again."""
    slot = somebody(site, chance)
    await site.crew.leave(slot)
    site.crew.start(slot)


async def storm(site: Site, chance: random.Random, hold_s: float) -> None:
    """One more worker joins and leaves, again and again."""
    spare, end = len(site.crew.slots), steady_s() + hold_s
    while steady_s() < end:
        site.crew.start(spare)
        await until(lambda: False, STORM_S, site.crew.revive)
        await site.crew.leave(spare)


async def zombie(site: Site, chance: random.Random, hold_s: float) -> None:
    """A worker sleeps past its session, and wakes when its partitions are another's."""
    slot = somebody(site, chance)
    site.crew.pause(slot)
    try:
        await asyncio.sleep(max(hold_s, ASLEEP * site.drill.size.session_s))
    finally:
        site.crew.resume(slot)


async def broker_restart(site: Site, chance: random.Random, hold_s: float) -> None:
    """The broker ends in order and comes back."""
    await asyncio.to_thread(site.broker.restart)


async def broker_kill(site: Site, chance: random.Random, hold_s: float) -> None:
    """The broker is killed and comes back."""
    await asyncio.to_thread(site.broker.kill)
    await asyncio.to_thread(site.broker.start)


async def broker_pause(site: Site, chance: random.Random, hold_s: float) -> None:
    """The broker stands still with all its connections."""
    site.broker.pause()
    try:
        await asyncio.sleep(hold_s)
    finally:
        site.broker.unpause()


async def poison(site: Site, chance: random.Random, hold_s: float) -> None:
    """Records that are no requests come between good ones."""
    for value in POISON:
        await (await site.publisher.send(PROMPTS, b"poison", value))
        site.planted += 1


async def duplicates(site: Site, chance: random.Random, hold_s: float) -> None:
    """Requests come again: as they were, twice in one batch, and once with other words under the same id."""
    sheet = site.load.sheet
    known = sorted(id for id, bodies in sheet.sent.items() if len(bodies) == 1 and id in sheet.accepted)
    for id in chance.sample(known, min(20, len(known))):
        [value] = sheet.sent[id]
        for again in (value, value):
            await site.load.ask(site.publisher, again)
    for id in chance.sample(known, min(3, len(known))):
        await site.load.ask(site.publisher, request(id, f"other words of {id}"))


async def garbage(site: Site, chance: random.Random, hold_s: float) -> None:
    """The provider sends what is no answer, and breaks connections."""
    await _played(site, hold_s, *GARBAGE)


async def refusals(site: Site, chance: random.Random, hold_s: float) -> None:
    """The provider refuses most calls: too many, or broken on its side."""
    await _played(site, hold_s, *REFUSALS)


async def outage(site: Site, chance: random.Random, hold_s: float) -> None:
    """The provider answers nothing but that it is not available."""
    await _played(site, hold_s, "503")


async def _played(site: Site, hold_s: float, *words: str) -> None:
    await site.provider.play(*words)
    try:
        await asyncio.sleep(hold_s)
    finally:
        await site.provider.play()


async def replay(
    site: Site, chance: random.Random, hold_s: float, rewound: Callable[..., Awaitable[None]] = rewind
) -> None:
    """All groups are set back to the beginning: every record is delivered again, and nothing is called again."""
    await site.crew.leave_all()
    for app, topics in readers(pipeline.stages(Settings())).items():
        await rewound(site.cluster, site.names.group(app), [site.names.topic(topic) for topic in topics])
    site.crew.start_all()


async def redrive(site: Site, chance: random.Random, hold_s: float) -> None:
    """Some requests fail for good and are sent again, by a redrive that is killed half-way and then run twice."""
    await _played(site, hold_s / 2, "400", *site.provider.good)
    for within_s in (KILLED_S, REDRIVE_S, REDRIVE_S):
        process = site.hands.run("dlq", "redrive", "--execute")
        if not await ended(process, within_s):
            killed(process)


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        fault.name: fault
        for fault in (
            Fault("kill", "F1", kill),
            Fault("kill-caller", "F1", kill_caller),
            Fault("stop", "F2", stop),
            Fault("storm", "F4", storm),
            Fault("zombie", "F5", zombie),
            Fault("broker-restart", "F6", broker_restart),
            Fault("broker-kill", "F6", broker_kill),
            Fault("broker-pause", "F7", broker_pause),
            Fault("poison", "F12", poison),
            Fault("garbage", "F13", garbage, buries=True),
            Fault("refusals", "F14", refusals),
            Fault("outage", "F14", outage),
            Fault("duplicates", "F15", duplicates),
            Fault("redrive", "F21", redrive, buries=True),
            Fault("replay", "F22", replay),
        )
    }
)
