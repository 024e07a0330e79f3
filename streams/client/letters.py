"""Which dead letters are there, and what was done with them? Reads only: no group, no commit, no record."""

from collections.abc import Callable
from dataclasses import dataclass

from streams.client.door import Door
from streams.decisions import letters as rules
from streams.decisions import notes
from streams.decisions import redrive as decide
from streams.decisions.letters import Letter, Wanted
from streams.decisions.notes import Register, Standing
from streams.decisions.offsets import AtTime, FromStart
from streams.decisions.redrive import Asked, Step
from streams.stage import Record
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS, Names
from topics.errors import DecodingError, TopicMissing
from topics.letter import Note

SKEW_MS = 60_000  # between the clocks of brokers

Judge = Callable[[Letter, bytes | None, Standing | None, Asked], Step]


@dataclass(frozen=True, slots=True)
class Found:
    """What is to be done: ``steps``, oldest dead letter first, and the names that fit no dead letter."""

    steps: tuple[Step, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def going(self) -> int:
        """How many steps do something."""
        return sum(step.goes for step in self.steps)


async def register(door: Door) -> Register:
    """What was done so far; nothing where there is no record of it yet."""
    kept = Register()
    try:
        async with door.tail(LETTERS, FromStart()) as records:
            async for record in records:
                noted(kept, record)
    except TopicMissing:
        return kept
    return kept


def noted(kept: Register, record: Record) -> None:
    """The next record of the log of notes; what is none is passed over."""
    try:
        note = wire.decode(record.value, Note)
    except DecodingError:
        return
    kept.apply(note, record.at, record.timestamp_ms)


async def plan(door: Door, names: Names, wanted: Wanted, judge: Judge, asked: Asked, most: int | None = None) -> Found:
    """What is to be done with the dead letters that are meant, ``most`` of them."""
    kept = await register(door)
    for owed in (await unfinished(door, kept)).values():
        kept.apply(owed, owed.prompt or "", asked.now_ms)
    steps, fitting = list[Step](), set[str]()
    async with door.tail(DEAD_LETTERS, FromStart()) as records:
        async for record in records:
            letter = rules.letter_of(record, names)
            if rules.wants(wanted, letter):
                fitting |= rules.fits(wanted.ids, letter)
                steps.append(judge(letter, record.value, kept.of(letter.at), asked))
    return Found(decide.limited(steps, most), tuple(sorted(wanted.ids - fitting)))


async def unfinished(door: Door, kept: Register) -> dict[str, Note]:
    """For each open claim whose prompt was sent after all, by its dead letter: the note that its run owes."""
    claims = {(one.note.letter, one.note.run): one for one in kept.open()}
    found = dict[str, Note]()
    if not claims:
        return found
    since_ms = min(one.at_ms for one in claims.values()) - SKEW_MS
    async with door.tail(PROMPTS, AtTime(max(0, since_ms))) as records:
        async for record in records:
            sent = notes.sent_by(record.headers) if record.headers else None
            if sent is not None and (one := claims.get(sent)):
                found.setdefault(one.note.letter, notes.done_of(one.note, one.at, record.at))
    return found
