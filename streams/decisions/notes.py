"""Was a dead letter sent again, and who may, when two want the same one? Read from notes, in the order of their log.

THEORY OF OPERATION

To send a dead letter again is two writes, to ``prompts`` and to the record of what was done, and a run may be killed
between them. So each dead letter goes through three:

1. a note ``claimed`` on ``letters``, which names the note that it follows (``over``);
2. the prompt, with the dead letter's coordinates and the name of the run in its headers;
3. a note ``redriven``, with the prompt's coordinates.

All notes of one dead letter lie in one partition, so everybody reads them in one order, and of two claims over the same
note the first stands and the other is void: a run reads its claims back and sends only what it holds. That settles two
runs at once.

A claim without a ``redriven`` is what a killed run leaves. For a time it is that run's alone, long enough for all that
the run could still have on the way (it sends nothing for a claim a quarter as old). The next run waits for that, and
looks for its prompt in ``prompts`` from the time of the claim on. There: the note that is missing is written. Not
there: it never was sent, and is claimed anew over the claim that failed. Where ``prompts`` may no longer reach back so
far, nobody can tell, and only force sends it.

Should all of this fail, the second copy has the id, the lineage and the bytes of the first: one request, one answer.
"""

from dataclasses import dataclass

from streams.decisions import lineage
from streams.decisions.burial import Headers
from topics.letter import Note


@dataclass(frozen=True, slots=True)
class Standing:
    """The note that stands for a dead letter, its coordinates, and when it was written, epoch milliseconds."""

    note: Note
    at: str
    at_ms: int


class Register:
    """What was done with which dead letter, by the notes in the order of their log."""

    def __init__(self) -> None:
        self._standing: dict[str, Standing] = {}

    def apply(self, note: Note, at: str, at_ms: int) -> None:
        """The next note. It stands over the one that it names only; that a prompt was sent is a fact, and stands."""
        known = self._standing.get(note.letter)
        if note.did == "redriven" or note.over == (None if known is None else known.at):
            self._standing[note.letter] = Standing(note, at, at_ms)

    def of(self, letter: str) -> Standing | None:
        """What stands for a dead letter, by its coordinates."""
        return self._standing.get(letter)

    def open(self) -> tuple[Standing, ...]:
        """Claims of which nobody noted whether they came to anything."""
        return tuple(one for one in self._standing.values() if one.note.did == "claimed")


def done_of(claim: Note, claimed_at: str, prompt_at: str) -> Note:
    """The third of the three writes.

    Args:
        claim: The note ``claimed`` that stands.
        claimed_at: Its coordinates.
        prompt_at: Coordinates of the prompt.

    Returns:
        The note ``redriven``.
    """
    return claim.model_copy(update={"did": "redriven", "over": claimed_at, "prompt": prompt_at})


def sent_by(headers: Headers) -> tuple[str, str] | None:
    """Which dead letter a prompt is, and which run sent it.

    Args:
        headers: Those of the prompt.

    Returns:
        Coordinates and name, or None for any other prompt.
    """
    told = {name: value.decode(errors="replace") for name, value in reversed(headers)}
    place = lineage.letter_at(told.get(lineage.DEAD_LETTER, ""))
    return None if place is None or lineage.RUN not in told else (place.at, told[lineage.RUN])
