"""Was a record dropped between Kafka and us? Offsets of one partition must arrive without a hole in each generation.

Lower than expected is a harmless redelivery, higher means that records were skipped and a commit would lose them;
unless the log itself now starts later: then they are gone, which is named and never guessed over.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InOrder:
    """Take it; ``expect`` is the offset that must come next."""

    expect: int


@dataclass(frozen=True, slots=True)
class Hole:
    """Records ``expected`` to ``got`` − 1 exist and were not handed over: end the process, the restart reads them."""

    expected: int
    got: int


@dataclass(frozen=True, slots=True)
class LaterStart:
    """Records ``expected`` to ``got`` − 1 are no longer in the log."""

    expected: int
    got: int


Verdict = InOrder | Hole | LaterStart


def judge(offset: int, expected: int | None, log_start: int | None) -> Verdict:
    """Judge the next offset of a partition.

    Arguments: ``offset`` handed over; ``expected`` the one due (committed, or last + 1), None when nothing is known;
    ``log_start`` the first offset the broker still has, None when not asked.
    Returns: InOrder, Hole, or LaterStart where the whole gap lies below the start of the log.

    >>> judge(5, 5, None), judge(4, 5, None)
    (InOrder(expect=6), InOrder(expect=5))
    >>> judge(9, 5, 0), judge(9, 5, 9)
    (Hole(expected=5, got=9), LaterStart(expected=5, got=9))
    """
    if expected is None or offset <= expected:
        return InOrder(offset + 1)
    if log_start is not None and log_start >= offset:
        return LaterStart(expected, offset)
    return Hole(expected, offset)
