"""Has each prompt its answer, each request one final, and each answer a prompt?

A record has one answer: all that is given under its name is one form, however many copies. The same request once more
is the same request: the answer of another record of it counts, where it came late enough to be for both; and who hears
long after his answer that it is kept no longer has no second one.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from streams.decisions.dedup import BINDING
from streams.decisions.proof.case import NEVER, SKEW_MS, Case, Finding, counted
from streams.decisions.proof.facts import Form, Given, Prompt, place_text
from streams.decisions.proof.fold import FLOW
from streams.decisions.proof.verdict import STATUSES, Item
from topics.answer import rfc3339
from topics.catalog import PROMPTS, RESULTS
from topics.errors import AnswerGone


def fates(case: Case) -> Iterator[tuple[Prompt, str]]:
    """Each judged prompt with its column: a status, ``unseen``, ``aged`` or ``lost``."""
    results_from = case.whole_since(RESULTS)
    for prompt in case.judged():
        status = _status(case, prompt)
        if status is None:
            status = "unseen" if _on_its_way(case, prompt) else "lost"
        aged = status == "lost" and rfc3339(prompt.ms) < results_from
        yield prompt, "aged" if aged else status


def _status(case: Case, prompt: Prompt) -> str | None:
    found = case.given(prompt)
    if not found:
        others = (given for other in case.family(prompt) for given in case.given(other))
        found = [given for given in others if given.last_ms >= prompt.ms - SKEW_MS]
    statuses = {form.status for given in found for form in given.forms}
    return next((status for status in (*STATUSES, *sorted(statuses)) if status in statuses), None)


def _on_its_way(case: Case, prompt: Prompt) -> bool:
    """Whether a record of it waits, or one of a request with which it shares its answer."""
    waiting = case.fold.waiting
    return prompt.shared in case.fold.sharing or any(one.place in waiting for one in case.family(prompt))


def unanswered(case: Case, came_to: Iterable[tuple[Prompt, str]]) -> Iterator[Finding]:
    """The prompts without an answer, and where each was seen last."""
    for prompt, column in came_to:
        if column in ("unseen", "lost"):
            step = FLOW[case.fold.farthest.get(prompt.place, 0)]
            yield column, Item(prompt.id, f"{place_text(PROMPTS, prompt.place)}, last seen on {step}")


def twice(case: Case) -> Iterator[Finding]:
    """Records with more than one answer of their own."""
    suspects = dict[bytes, list[Prompt]]()
    for prompt in case.fold.prompts:
        if len(case.forms(prompt)) > 1:
            suspects.setdefault(prompt.name, []).append(prompt)
    for prompts in suspects.values():
        forms = list({form.hash: form for prompt in prompts for form in case.forms(prompt)}.values())
        forms = [form for form in forms if form.kind != AnswerGone.kind] or forms
        binding = [form for form in forms if form.status in BINDING]
        requests = len({prompt.identity for prompt in prompts})
        if len(binding) > requests or len(forms) > len(prompts):
            yield _differing(binding), Item(prompts[0].id, f"{len(forms)} answers: {counted(forms)}")


def anew(case: Case) -> Iterator[Finding]:
    """Finals of one request, each of a record of its own, that are nearer to each other than the window."""
    for prompts in case.again.values():
        finals = {id(given): given for prompt in prompts for given in case.given(prompt) if _binds(given)}
        for first, second in pairwise(sorted(finals.values(), key=lambda given: given.first_ms)):
            if second.first_ms - first.first_ms < case.demands.window_ms - SKEW_MS:
                forms = (*first.forms, *second.forms)
                yield _differing(forms), Item(first.id, f"answered anew while remembered: {counted(forms)}")


def phantoms(case: Case) -> Iterator[Finding]:
    """Answers without a prompt, as far as `prompts` still holds what it held."""
    since = case.whole_since(PROMPTS, empty=NEVER)
    for given in strangers(case):
        if given.received >= since:
            yield "phantom", Item(given.id, f"{place_text(RESULTS, given.place)}: {counted(given.forms)}")
    yield from (("phantom", Item(at, "no answer of ours")) for at in case.fold.unreadable)


def strangers(case: Case) -> list[Given]:
    """Answers that no prompt in view explains."""
    known = {name for prompt in case.fold.prompts for name in (prompt.name, prompt.also)}
    return [given for name, given in case.fold.answers.items() if name not in known]


def bodies(case: Case) -> Iterator[Finding]:
    """Ids under which more than one request was asked."""
    first, several = dict[str, bytes](), dict[str, set[bytes]]()
    for prompt in case.judged():
        if first.setdefault(prompt.id, prompt.asked) != prompt.asked:
            several.setdefault(prompt.id, {first[prompt.id]}).add(prompt.asked)
    yield from (("two-bodies", Item(id, f"{len(each)} bodies")) for id, each in several.items())


def _binds(given: Given) -> bool:
    return any(form.status in BINDING and form.kind != AnswerGone.kind for form in given.forms)


def _differing(forms: Iterable[Form]) -> str:
    return "conflicting-terminal" if {form.status for form in forms} >= BINDING else "duplicate"
