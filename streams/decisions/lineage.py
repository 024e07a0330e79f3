"""Is a prompt that claims to be a dead letter sent again really that? Only the dead letter itself can tell.

Whoever writes ``prompts`` may write any header, so none of these is believed: the dead letter that they name is read
back, and what they say must follow from its evidence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from streams.decisions import burial
from streams.decisions.burial import Headers
from streams.decisions.limits import Violation
from topics.catalog import DEAD_LETTERS, PROMPTS, Names

LINEAGE, REQUEST_ID, DEAD_LETTER = "prompts.lineage", "prompts.request-id", "prompts.dead-letter"
RUN = "prompts.redrive"  # which run of `dlq redrive` sent it: by it a later run finds what this one left undone
OURS = frozenset({LINEAGE, REQUEST_ID, DEAD_LETTER})
COORDINATES = re.compile(r"(?:[^/]+/)?([0-9]{1,9})/([0-9]{1,18})")  # 3/17, or dead-letters/3/17
NUMBER = re.compile("[1-9][0-9]{0,5}")
INSTEAD = "send it again with `streams dlq redrive`, or leave these headers out"


class Place(NamedTuple):
    """Coordinates of a record, under the catalog's name of its topic."""

    topic: str
    partition: int
    offset: int

    @property
    def at(self) -> str:
        """As people write them: ``dead-letters/3/17``."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a record says of itself: the dead letter that it was, of which request, for which time it is sent again."""

    letter: Place
    request_id: str
    lineage: int


Said = Claim | Violation


def letter_at(text: str) -> Place | None:
    """The dead letter that coordinates mean.

    Args:
        text: ``3/17``, or with whatever its topic is called before that.

    Returns:
        Its place, or None for any other text.

    >>> letter_at("acme-dead-letters/3/17")
    Place(topic='dead-letters', partition=3, offset=17)
    """
    found = COORDINATES.fullmatch(text)
    return Place(DEAD_LETTERS, int(found[1]), int(found[2])) if found else None


def asks(headers: Headers) -> bool:
    """Whether a record claims anything; the only question that every prompt is asked."""
    return any(name in OURS for name, _ in headers)


def read(headers: Headers) -> Said:
    """What a record claims.

    Args:
        headers: Those of the record, of which ``asks`` is true.

    Returns:
        The claim, not yet believed; or what is wrong with how it is written.
    """
    said = {name: value.decode(errors="replace") for name, value in reversed(headers) if name in OURS}
    for name in sorted(OURS - said.keys()):
        return _wrong(name, "is missing beside the other headers of a redrive")
    place = letter_at(said[DEAD_LETTER])
    if place is None:
        return _wrong(DEAD_LETTER, "names no place of a dead letter")
    if not NUMBER.fullmatch(said[LINEAGE]):
        return _wrong(LINEAGE, "is no number above 0")
    return Claim(place, said[REQUEST_ID], int(said[LINEAGE]))


def check(claim: Claim, letter: Headers | None) -> Said:
    """Whether a claim is true.

    Args:
        claim: What ``read`` returned.
        letter: The headers of the record at ``claim.letter``, None where there is none.

    Returns:
        The claim, which may be believed now; or which of its headers is wrong.
    """
    told = {} if letter is None else burial.told(letter)
    if "request-id" not in told:
        return _wrong(DEAD_LETTER, f"there is no dead letter at {claim.letter.at}")
    if told["request-id"] != claim.request_id:
        return _wrong(REQUEST_ID, f"the dead letter at {claim.letter.at} is of another request")
    if claim.lineage != (due := lineage_of(told) + 1):
        return _wrong(LINEAGE, f"should be {due}, one more than that of the dead letter at {claim.letter.at}")
    return claim


def lineage_of(told: Mapping[str, str]) -> int:
    """How often a request had been sent again when it was buried.

    Args:
        told: The evidence of its dead letter, word → text.

    Returns:
        0 for what was never sent again, and where the evidence does not tell.

    >>> lineage_of({"lineage": "2"}), lineage_of({}), lineage_of({"lineage": "many"})
    (2, 0, 0)
    """
    said = told.get("lineage", "")
    return int(said) if NUMBER.fullmatch(said) else 0


def headers_of(claim: Claim, run: str, own: Headers) -> Headers:
    """The headers of a prompt that is sent again.

    Args:
        claim: What it is to say of itself.
        run: The name of the run that sends it.
        own: The headers of the dead letter.

    Returns:
        Those of the first prompt, then the claim and the run; the evidence and what the way there added is left out.
    """
    kept = tuple(pair for pair in own if not _added(pair[0]))
    said = ((LINEAGE, b"%d" % claim.lineage), (REQUEST_ID, claim.request_id.encode()))
    return (*kept, *said, (DEAD_LETTER, claim.letter.at.encode()), (RUN, run.encode()))


def from_prompts(told: Mapping[str, str], names: Names) -> bool:
    """Whether the dead letter was a prompt, so that there is somewhere to send it again.

    Args:
        told: Its evidence.
        names: How topics are called.

    Returns:
        False for records of inner topics, and for what nobody of us buried.
    """
    return "request-id" in told and told.get("original-topic") == names.topic(PROMPTS)


def _added(name: str) -> bool:
    return name in OURS or name == RUN or name in burial.RESERVED or name.startswith(burial.ERROR)


def _wrong(name: str, reason: str) -> Violation:
    return Violation(f"header {name}", reason, hint=INSTEAD)
