"""What was done with a dead letter? One note a deed, on ``letters``, under the dead letter's coordinates.

The log of the notes decides between two who want the same dead letter: a note stands only if it follows the one that
it says it follows.
"""

from typing import Literal

from topics.messages import Open

Did = Literal["claimed", "redriven", "discarded"]


class Note(Open):
    """One deed: ``letter`` and ``over`` are coordinates, of the dead letter and of the note that this one follows.

    ``claimed``: ``run`` is about to send it; ``redriven``: it did, and ``prompt`` is where; ``discarded``: nobody
    should. ``edited`` names the fields that were changed on the way, ``before`` and ``after`` are SHA-256 (hex) of the
    value; the changed words themselves stand on ``prompts`` only.
    """

    v: int = 1
    letter: str
    did: Did
    over: str | None = None
    run: str
    by: str
    id: str | None = None
    lineage: int | None = None
    prompt: str | None = None
    edited: tuple[str, ...] = ()
    before: str | None = None
    after: str | None = None


__all__ = ["Did", "Note"]
