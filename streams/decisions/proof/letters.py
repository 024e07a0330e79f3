"""Does each dead letter hold its original, byte for byte, and does each failed answer have one?"""

from collections.abc import Iterator

from streams.decisions.proof.case import Case, Finding
from streams.decisions.proof.facts import Form, Letter, Prompt, place_text
from streams.decisions.proof.verdict import Item
from topics.answer import rfc3339
from topics.catalog import DEAD_LETTERS, PROMPTS
from topics.errors import AnswerGone

HEAVY = "too_large"  # a twin for whom the shared answer is too large is answered without a record on `failed`


def buried(case: Case) -> Iterator[Finding]:
    """Dead letters of known prompts: what they hold, and whether their request failed.

    Where it was answered, and came again when the answer was kept no longer, there is a letter of that.
    """
    for prompt in case.fold.prompts:
        for letter in case.fold.letters.get(prompt.place, ()):
            if letter.whole and letter.body != prompt.body:
                yield "dead-letter-changed", Item(letter.id, f"{letter.at} of {letter.original}")
            statuses = {form.status for form in case.forms(prompt)}
            if statuses and not statuses & {"failed", "rejected"} and letter.kind != AnswerGone.kind:
                yield "buried-unanswered", Item(letter.id, f"{letter.at}, answered {' and '.join(sorted(statuses))}")


def strays(case: Case) -> Iterator[Finding]:
    """Dead letters whose original is no prompt that there is or was."""
    letters = case.fold.letters
    known = {prompt.place for prompt in case.fold.prompts if prompt.place in letters}
    unknown = (letter for place, each in letters.items() if place not in known for letter in each)
    for letter in (*case.fold.astray, *unknown):
        if not _gone(case, letter):
            yield "dead-letter-astray", Item(letter.id, f"{letter.at} names {letter.original}")


def _gone(case: Case, letter: Letter) -> bool:
    """Whether its original lies below what was read of its partition."""
    if letter.place is None:
        return False
    partition, offset = divmod(letter.place, 1 << 48)
    view = case.fold.views.get((PROMPTS, partition))
    return view is not None and offset < view.first


def unburied(case: Case) -> Iterator[Finding]:
    """Failed answers without a dead letter of their request, made or due.

    Requests of several tenants may share id and words: an answer does not tell whose it is, so there must be as many
    requests with a letter as there are failed answers under that name.
    """
    since = case.whole_since(DEAD_LETTERS)
    made_or_due = case.fold.letters.keys() | case.fold.unburied
    suspects = dict[bytes, list[Prompt]]()
    for prompt in case.judged():
        if any(_failed(form) for form in case.forms(prompt)) and rfc3339(prompt.ms) >= since:
            suspects.setdefault(prompt.name, []).append(prompt)
    for prompts in suspects.values():
        failed = {form.hash: form for prompt in prompts for form in case.forms(prompt) if _failed(form)}
        bare = [one for one in prompts if made_or_due.isdisjoint(again.place for again in case.family(one))]
        if len(failed) > len({one.identity for one in prompts} - {one.identity for one in bare}):
            kind = next(iter(failed.values())).kind
            yield from (("failed-unburied", Item(one.id, f"{place_text(PROMPTS, one.place)}, {kind}")) for one in bare)


def _failed(form: Form) -> bool:
    return form.status == "failed" and not _heavy(form)


def _heavy(form: Form) -> bool:
    return form.kind == HEAVY and form.attempts == 0
