"""Which dead letters are sent again, as what, and which are held back?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streams.decisions import edits as changes
from streams.decisions import lineage
from streams.decisions.burial import Headers
from streams.decisions.edits import Edit
from streams.decisions.letters import Letter
from streams.decisions.lineage import Claim
from streams.decisions.notes import Standing
from topics.catalog import DAY_MS
from topics.errors import ConfigurationError
from topics.letter import Note

KEPT_MS = 30 * DAY_MS  # how long Kafka keeps a dead letter
PLAIN = "content-type"

Why = Literal["redriven", "discarded", "claimed", "foreign", "unknown", "unreadable", "edit", "lineage", "expiring"]
DONE: frozenset[Why] = frozenset({"redriven", "discarded"})
FORCED: frozenset[Why] = frozenset({*DONE, "unknown", "lineage", "expiring"})
WORDS: Mapping[Why, str] = {
    "redriven": "it was sent again already",
    "discarded": "it was discarded",
    "claimed": "another run is at it, or was killed just now",
    "foreign": "it was no prompt, so there is nowhere to send it",
    "unknown": "a run that ended claimed it, too long ago to tell whether it was sent",
    "unreadable": "its bytes are no request: give it --edit",
    "edit": "the changes make no request of it",
    "lineage": "it came back too often",
    "expiring": "Kafka deletes it before the prompt, which could then not be checked again",
}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a person wants done.

    Args:
        edits: Changes of each request.
        force: Also what was sent or discarded, came back too often, or is in doubt.
        max_lineage: How often a request is sent again without force.
        now_ms: Now, epoch milliseconds.
        retention_ms: How long ``prompts`` reaches back at least.
        claim_ms: How long a claim is its run's alone; after that nothing of the run can be on its way.
    """

    edits: tuple[Edit, ...] = ()
    force: bool = False
    max_lineage: int = 5
    now_ms: int = 0
    retention_ms: int = 7 * DAY_MS
    claim_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Step:
    """What becomes of one dead letter: it is sent, or discarded, over the note that stands; or held back, ``why``.

    ``more`` tells what is wrong with its changes.
    """

    letter: Letter
    over: str | None = None
    why: Why | None = None
    more: str | None = None

    @property
    def goes(self) -> bool:
        """Whether anything is done with it."""
        return self.why is None

    @property
    def lineage(self) -> int:
        """That of the prompt."""
        return self.letter.lineage + 1


def redrive(letter: Letter, value: bytes | None, standing: Standing | None, asked: Asked) -> Step:
    """Whether a dead letter is sent again.

    Args:
        letter: The dead letter.
        value: Its bytes.
        standing: The note that stands for it; claims that came to something are notes ``redriven`` by now.
        asked: What a person wants.

    Returns:
        A step that goes, or one that says why not.
    """
    fate = _fate(standing, asked)
    why = _impossible(letter, fate, asked) or (None if asked.force else fate or _held(letter, asked))
    if why is None and asked.edits:
        try:
            changes.apply(value, letter.disposition, asked.edits)
        except ConfigurationError as bad:
            return Step(letter, _at(standing), "edit", bad.fix)
    return Step(letter, _at(standing), why)


def discard(letter: Letter, value: bytes | None, standing: Standing | None, asked: Asked) -> Step:
    """Whether a dead letter is discarded.

    Args:
        letter: The dead letter.
        value: Its bytes, which do not matter here.
        standing: The note that stands for it.
        asked: What a person wants; force also discards what was sent again.

    Returns:
        A step that goes, or one that says why not.
    """
    why = _fate(standing, asked)
    return Step(letter, _at(standing), None if asked.force and why not in ("discarded", "claimed") else why)


def _fate(standing: Standing | None, asked: Asked) -> Why | None:
    match standing:
        case None:
            return None
        case Standing(Note(did="claimed"), _, at_ms):
            age_ms = asked.now_ms - at_ms
            return "claimed" if age_ms < asked.claim_ms else "unknown" if age_ms >= asked.retention_ms else None
        case Standing(Note(did="redriven")):
            return "redriven"
        case _:
            return "discarded"


def _impossible(letter: Letter, fate: Why | None, asked: Asked) -> Why | None:
    """What force cannot change."""
    if not letter.prompt:
        return "foreign"
    if fate == "claimed":
        return fate
    return None if letter.readable or asked.edits else "unreadable"


def _held(letter: Letter, asked: Asked) -> Why | None:
    if letter.lineage >= asked.max_lineage:
        return "lineage"
    return "expiring" if letter.at_ms + KEPT_MS < asked.now_ms + asked.retention_ms else None


def _at(standing: Standing | None) -> str | None:
    return None if standing is None else standing.at


@dataclass(frozen=True, slots=True)
class Prompt:
    """The second of the three writes, and what its notes tell of it."""

    value: bytes | None
    headers: Headers
    edited: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None


def prompt_of(step: Step, value: bytes | None, headers: Headers, run: str, edits: Sequence[Edit] = ()) -> Prompt:
    """What a dead letter is sent as.

    Args:
        step: One that goes.
        value: The dead letter's bytes.
        headers: All of its headers.
        run: The name of the run.
        edits: Changes of the request.

    Returns:
        The same bytes without changes; else the request as JSON, so that a header that calls it text is left out.

    Raises:
        ConfigurationError: The changes make no request of it.
    """
    said = lineage.headers_of(Claim(step.letter.place, step.letter.id or "", step.lineage), run, headers)
    if not edits:
        return Prompt(value, said)
    changed = changes.apply(value, step.letter.disposition, edits)
    said = tuple(pair for pair in said if pair[0] != PLAIN)
    return Prompt(changed.value, said, tuple(edit.field for edit in edits), changed.before, changed.after)


def claim_of(step: Step, prompt: Prompt, run: str, by: str) -> Note:
    """The first of the three writes; it tells of changes already, as a run may not come to the third.

    Args:
        step: One that goes.
        prompt: What it is to be sent as.
        run: The name of the run.
        by: Who runs it.

    Returns:
        The note ``claimed``.
    """
    changed = {"edited": prompt.edited, "before": prompt.before, "after": prompt.after}
    known = {"id": step.letter.id, "lineage": step.lineage, **changed}
    return Note(letter=step.letter.at, did="claimed", over=step.over, run=run, by=by, **known)


def discarded_of(step: Step, run: str, by: str) -> Note:
    """The one write that discards a dead letter; its bytes stay until Kafka deletes them.

    Args:
        step: One that goes.
        run: The name of the run.
        by: Who runs it.

    Returns:
        The note ``discarded``.
    """
    return Note(letter=step.letter.at, did="discarded", over=step.over, run=run, by=by, id=step.letter.id)


def limited(steps: Sequence[Step], most: int | None) -> tuple[Step, ...]:
    """The steps, oldest dead letter first; of those that go only the first ``most``, and all that are held."""
    ordered = sorted(steps, key=lambda step: (step.letter.at_ms, step.letter.place))
    going = [step for step in ordered if step.goes]
    beyond = set() if most is None else {step.letter.at for step in going[most:]}
    return tuple(step for step in ordered if step.letter.at not in beyond)
