"""Are the logs whole, did answers keep coming, and do provider and client tell the same story?"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import NamedTuple

from streams.decisions.proof.case import Case, Finding
from streams.decisions.proof.facts import Prompt
from streams.decisions.proof.verdict import Item
from topics.answer import rfc3339


class Wait(NamedTuple):
    """A stretch, in epoch milliseconds, in which at least one prompt waited; ``id``: who began it."""

    began: int
    ended: int
    id: str


def gaps(case: Case) -> Iterator[Finding]:
    """Offsets that are missing in what was read, or went before they were acknowledged; commits beyond the end."""
    for (topic, partition), view in case.fold.views.items():
        end = view.next if view.end is None else max(view.next, view.end)
        for first, last in (*view.holes, *([(view.next, end)] if view.next < end else [])):
            yield "gap", Item(f"{topic}/{partition}", f"offsets {first} to {last - 1} are missing")
    for mark in case.fold.marks:
        at, committed = f"{mark.topic}/{mark.partition}", mark.committed or 0
        if committed < mark.start:
            yield "gap", Item(at, f"offsets {committed} to {mark.start - 1} went before {mark.group} had done them")
        if committed > mark.end:
            yield "overrun", Item(at, f"{mark.group} committed {committed}, the log ends at {mark.end}")


def stalls(case: Case) -> Iterator[Finding]:
    """Stretches in which prompts waited and none was answered."""
    spans = [(prompt, _answered_ms(case, prompt)) for prompt in case.judged()]
    ends = sorted(ended for _, ended in spans if ended is not None)
    now_ms = max(case.demands.now_ms, case.fold.newest_ms)
    waits = sorted(Wait(prompt.ms, now_ms if ended is None else ended, prompt.id) for prompt, ended in spans)
    limit_ms = case.demands.stall_s * 1000
    for wait in _merged(waits):
        inside = ends[bisect_left(ends, wait.began) : bisect_right(ends, wait.ended)]
        for before, after in pairwise((wait.began, *inside, wait.ended)):
            if after - before > limit_ms:
                yield "stalled", Item(wait.id, f"no answer from {rfc3339(before)} to {rfc3339(after)}")


def _answered_ms(case: Case, prompt: Prompt) -> int | None:
    return min((given.first_ms for one in case.family(prompt) for given in case.given(one)), default=None)


def _merged(waits: Iterable[Wait]) -> list[Wait]:
    """Stretches that touch or overlap, as one; in the order of their beginnings."""
    merged = list[Wait]()
    for wait in waits:
        if merged and wait.began <= merged[-1].ended:
            merged[-1] = merged[-1]._replace(ended=max(merged[-1].ended, wait.ended))
        else:
            merged.append(wait)
    return merged


def repeats(case: Case) -> Iterator[Finding]:
    """Calls that were made again beyond what kills, moves and retries explain."""
    paid = case.demands.calls
    if paid is None:
        return
    yield from (("repeated", Item(key, "called again without a cause")) for key in paid.baseless)
    spare = paid.calls - paid.unique - paid.excused - case.retries()
    if spare > 0 and not paid.baseless:
        yield "repeated", Item("calls", f"{paid.calls} for {paid.unique} keys, {spare} beyond what is told")


def missing(case: Case) -> list[str]:
    """Ids that a client was told are accepted, and that `prompts` does not hold."""
    held = {prompt.id for prompt in case.fold.prompts} if case.demands.client else set()
    return [id for id, words in case.demands.client.items() if "ok" in words and id not in held]


def refused(case: Case) -> Iterator[Finding]:
    """Answers to what a client was told was never published."""
    failed = {id for id, words in case.demands.client.items() if words == {"failed"}}
    answered = dict.fromkeys(given.id for given in case.fold.answers.values())
    yield from (("phantom", Item(id, "its publishing failed")) for id in answered if id in failed)
