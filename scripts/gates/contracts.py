"""Does a module docstring keep the form of a contract, and does each guarantee name its test?"""

import re
from typing import NamedTuple

LENGTH = 15
HEADINGS = ("Responsibility:", "Guarantees:", "NOT Responsible For:")
TEST = re.compile(r"\(?(tests/[\w/]+\.py)::(test_\w+)\)?")


class Contract(NamedTuple):
    """What a contract says: its title, and each guarantee with the file and the test that prove it."""

    title: str
    guarantees: list[tuple[str, str, str]]
    faults: list[str]


def parse(doc: str) -> Contract:
    """The contract in a docstring, with everything that is wrong with its form."""
    lines = doc.strip().splitlines() or [""]
    faults = [f"has {len(lines)} lines, {LENGTH} are allowed"] if len(lines) > LENGTH else []
    found = [heading for line in lines for heading in HEADINGS if line.startswith(heading)]
    if tuple(found) != HEADINGS:
        return Contract(lines[0], [], [*faults, f"must have the lines {', '.join(HEADINGS)} once each, in this order"])
    text = "\n".join(lines)
    said, rest = text.split("\nGuarantees:")[1].split("\nNOT Responsible For:")
    if not text.split("\nResponsibility:")[1].split("\nGuarantees:")[0].strip() or not rest.strip():
        faults.append("has an empty part")
    guarantees = proven(said)
    return Contract(lines[0], guarantees, [*faults, *unproven(said, guarantees)])


def proven(said: str) -> list[tuple[str, str, str]]:
    """Each (claim, file, test), in order."""
    pieces = TEST.split(" ".join(said.split()))
    return [(pieces[at].strip(" -;:,."), pieces[at + 1], pieces[at + 2]) for at in range(0, len(pieces) - 2, 3)]


def unproven(said: str, guarantees: list[tuple[str, str, str]]) -> list[str]:
    """Complaints about claims that stand without a test of their own."""
    tail = TEST.split(" ".join(said.split()))[-1].strip(" -;:,.")
    loose = [claim for claim, *_ in guarantees if not claim or ";" in claim]
    faults = [
        f"guarantee without a test of its own: {claim or '(empty)'}" for claim in [*loose, *([tail] if tail else [])]
    ]
    return faults if guarantees or faults else ["guarantees nothing"]
