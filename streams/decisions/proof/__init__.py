"""What does a reading of all topics prove: was every prompt answered once, and nothing invented, changed or repeated?

``Fold`` takes the records in and keeps names and hashes; ``judge`` sorts what it kept into the classes of ``verdict``.
"""

from collections import Counter
from itertools import chain

from streams.decisions.proof import course, finals, letters
from streams.decisions.proof.case import NEVER, Calls, Case, Demands, Word
from streams.decisions.proof.facts import Mark
from streams.decisions.proof.fold import READ, Fold
from streams.decisions.proof.verdict import CAP, NOTED, OFFENCES, Found, Item, Verdict, gathered
from topics.catalog import PROMPTS


def judge(fold: Fold, demands: Demands | None = None) -> Verdict:
    """The verdict on what was read.

    Args:
        fold: The records of all topics, those of `prompts` last.
        demands: What else is known and wanted.

    Returns:
        Counts and findings; those of a class stand in the order in which their records were read.

    >>> judge(Fold()).clean
    True
    """
    case = Case(fold, demands or Demands())
    came_to, missing = list(finals.fates(case)), course.missing(case)
    rules = (
        finals.unanswered(case, came_to),
        (("lost", Item(id, "acknowledged, and not in prompts")) for id in missing),
        *(rule(case) for rule in (finals.twice, finals.anew, finals.phantoms, finals.bodies)),
        *(rule(case) for rule in (letters.buried, letters.strays, letters.unburied)),
        *(rule(case) for rule in (course.gaps, course.stalls, course.repeats, course.refused)),
    )
    columns = Counter(column for _, column in came_to) + Counter(lost=len(missing))
    classes = gathered(chain.from_iterable(rules), case.demands.cap)
    return Verdict({**columns, **_counts(case), "accepted": columns.total()}, classes)


def _counts(case: Case) -> dict[str, int]:
    fold, since = case.fold, case.whole_since(PROMPTS, empty=NEVER)
    return {
        "records": fold.records,
        "copies": sum(given.count - len(given.forms) for given in fold.answers.values()),
        "letters": len(fold.astray) + sum(map(len, fold.letters.values())),
        "retries": case.retries(),
        "unjudged": sum(given.received < since for given in finals.strangers(case)),
    }


__all__ = [
    "CAP",
    "NOTED",
    "OFFENCES",
    "READ",
    "Calls",
    "Demands",
    "Fold",
    "Found",
    "Item",
    "Mark",
    "Verdict",
    "Word",
    "judge",
]
