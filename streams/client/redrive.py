"""How are dead letters sent again, or discarded: as fast as the pipeline takes them, and none of them twice?

What makes a run safe to kill, and two runs safe at once, is the theory of operation in ``streams.decisions.notes``;
here are its three writes, in that order.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Self

from streams.client import letters
from streams.client.door import Door, Publisher, Sent
from streams.decisions import notes
from streams.decisions import redrive as decide
from streams.decisions.edits import Edit
from streams.decisions.notes import Register, Standing
from streams.decisions.offsets import FromStart
from streams.decisions.redrive import Prompt, Step
from streams.stage import Record
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS
from topics.errors import TransportError
from topics.letter import Note

BATCH = 100  # claims at once: what a killed run leaves open at most
BACK_OFF_S = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
READ_BACK_S = 30.0
MARGIN_S = 0.1  # so that a claim that was waited for is over

Batch = list[tuple[Step, Record]]


@dataclass(frozen=True, slots=True)
class Run:
    """One run.

    Args:
        name: Told apart from others by it.
        by: Who runs it.
        rate: Prompts a second.
        lag: Counts what waits in the pipeline; while it is above ``max_lag`` the run waits, too.
        max_lag: See ``lag``.
        claim_s: A claim that is older, and came to nothing, is nobody's; its own run gives it up far earlier.
        told: Hears how many are done.
        waits: Hears what is waited for, and for how many seconds.
        sleep: Waits.
        clock: Seconds, only ever more.
    """

    name: str
    by: str
    rate: float
    lag: Callable[[], Awaitable[int]]
    max_lag: int
    claim_s: float
    told: Callable[[int], object] = lambda done: None
    waits: Callable[[str, float], object] = lambda what, seconds: None
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic

    @property
    def batch(self) -> int:
        """So many claims at once as are sent in a second, or long before they are nobody's."""
        return max(1, min(BATCH, int(self.rate * min(1.0, self.claim_s / 8))))


@dataclass(frozen=True, slots=True)
class Done:
    """How a run ended: dead letters ``done``, ``taken`` by another run meanwhile, ``left`` for the next one."""

    done: int
    taken: int = 0
    left: int = 0


async def recover(door: Door, run: Run, now_ms: int) -> int:
    """Writes the notes that killed runs owe, once nothing of theirs can be on its way; returns how many."""
    if not (claims := (await letters.register(door)).open()):
        return 0
    youngest_ms = max(one.at_ms for one in claims)
    if (left_s := run.claim_s + MARGIN_S - (now_ms - youngest_ms) / 1000) > 0:
        run.waits("what a run that did not end had on its way", left_s)
        await run.sleep(left_s)
    owed = await letters.unfinished(door, await letters.register(door))
    if owed:
        async with door.publisher() as publisher:
            await _written(publisher, owed.values())
    return len(owed)


async def redrive(door: Door, steps: Sequence[Step], run: Run, edits: Sequence[Edit] = ()) -> Done:
    """Sends each step that goes, at most once, whatever other runs do; ``TransportError`` leaves the rest for later."""
    going = {step.letter.at: step for step in steps if step.goes}
    pace, done, claimed = Pace(run), 0, 0
    async with Ledger(door) as ledger, door.tail(DEAD_LETTERS, FromStart()) as records:
        async for batch in _batches(records, going, run.batch):
            await pace.room()
            mail = {step.letter.at: _mail(step, record, run, edits) for step, record in batch}
            over = run.clock() + run.claim_s / 4
            held = await ledger.write(
                [decide.claim_of(step, mail[step.letter.at][1], run.name, run.by) for step, _ in batch]
            )
            claimed += len(held)
            done += await _send(ledger.publisher, held, mail, pace, over)
            run.told(done)
    return Done(done, len(going) - claimed, claimed - done)


async def discard(door: Door, steps: Sequence[Step], run: Run) -> Done:
    """Notes for each step that goes that nobody should send it; no byte of it is touched."""
    deeds = [decide.discarded_of(step, run.name, run.by) for step in steps if step.goes]
    done = 0
    async with Ledger(door) as ledger:
        for first in range(0, len(deeds), BATCH):
            done += len(await ledger.write(deeds[first : first + BATCH]))
            run.told(done)
    return Done(done, len(deeds) - done)


class Ledger:
    """Writes notes, and tells by the order of their log which of them stand."""

    def __init__(self, door: Door) -> None:
        self._door, self._open, self._kept = door, AsyncExitStack(), Register()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opening:
            log = await opening.enter_async_context(self._door.tail(LETTERS, FromStart(), follow=True))
            self.publisher: Publisher = await opening.enter_async_context(self._door.publisher())
            self._log = aiter(log)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()

    async def write(self, deeds: Sequence[Note]) -> list[Standing]:
        """Those of the notes that stand, once all of them are in the log."""
        own = {sent.at for sent in await _written(self.publisher, deeds)}
        try:
            async with asyncio.timeout(READ_BACK_S):
                await self._read(own)
        except TimeoutError as silent:
            raise TransportError(f"reading {LETTERS} back", f"silent for {READ_BACK_S:.0f} s") from silent
        standing = (self._kept.of(note.letter) for note in deeds)
        return [one for one in standing if one is not None and one.at in own]

    async def _read(self, own: set[str]) -> None:
        unseen = set(own)
        while unseen:
            record = await anext(self._log)
            letters.noted(self._kept, record)
            unseen.discard(record.at)


class Pace:
    """Not faster than asked, and not into a full pipeline."""

    def __init__(self, run: Run) -> None:
        self.run, self._next = run, run.clock()

    async def room(self) -> None:
        """Returns when little enough waits in the pipeline; asks again after 2, 4, … 60 seconds."""
        for number in count():
            if await self.run.lag() <= self.run.max_lag:
                return
            seconds = BACK_OFF_S[min(number, len(BACK_OFF_S) - 1)]
            self.run.waits("a full pipeline", seconds)
            await self.run.sleep(seconds)

    async def turn(self) -> None:
        """Returns when the next prompt may be sent."""
        now = self.run.clock()
        if self._next > now:
            await self.run.sleep(self._next - now)
        self._next = max(now, self._next) + 1 / self.run.rate


async def _send(
    publisher: Publisher, held: Sequence[Standing], mail: Mapping[str, "Mail"], pace: Pace, over: float
) -> int:
    """Sends what is held until the claims are ``over``, notes what was acknowledged, and raises what was not."""
    on_way = list[tuple[Standing, Awaitable[Sent]]]()
    for one in held:
        await pace.turn()
        if pace.run.clock() > over:
            break
        key, prompt = mail[one.note.letter]
        on_way.append((one, await publisher.send(PROMPTS, key, prompt.value, prompt.headers)))
    ends = await asyncio.gather(*(delivery for _, delivery in on_way), return_exceptions=True)
    sent = [(one, end) for (one, _), end in zip(on_way, ends, strict=True) if not isinstance(end, BaseException)]
    await _written(publisher, [notes.done_of(one.note, one.at, end.at) for one, end in sent])
    for _, delivery in on_way:
        await delivery  # raises what was not acknowledged
    return len(sent)


async def _written(publisher: Publisher, deeds: Iterable[Note]) -> list[Sent]:
    """Where the notes stand, acknowledged."""
    sent = [await publisher.send(LETTERS, note.letter.encode(), wire.encode(note)) for note in deeds]
    return [await delivery for delivery in sent]


Mail = tuple[bytes | None, Prompt]  # the original key, and what is sent under it


def _mail(step: Step, record: Record, run: Run, edits: Sequence[Edit]) -> Mail:
    return record.key, decide.prompt_of(step, record.value, record.headers, run.name, edits)


async def _batches(records: AsyncIterable[Record], going: Mapping[str, Step], size: int) -> AsyncIterator[Batch]:
    """The dead letters that go, with their bytes; only so many in memory at once."""
    batch = Batch()
    async for record in records:
        if (step := going.get(record.at)) is not None:
            batch.append((step, record))
        if len(batch) == size:
            yield batch
            batch = Batch()
    if batch:
        yield batch
