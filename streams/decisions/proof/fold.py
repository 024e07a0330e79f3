"""What must be kept of the records of all topics, so that loss, invention and repetition can be told afterwards?

Names and hashes, never bytes. Effects may come in any order; dead letters come before ``prompts``, which come last.
"""

import re
from collections.abc import Iterable

from streams.decisions import admission, burial, identity, lineage
from streams.decisions.admission import AdmissionPolicy, Admit, Reject
from streams.decisions.burial import Headers
from streams.decisions.limits import Violation
from streams.decisions.lineage import Claim, Said
from streams.decisions.proof import facts
from streams.decisions.proof.facts import Form, Given, Letter, Mark, Prompt, Seen, View, digest, packed
from topics.answer import rfc3339
from topics.catalog import CATALOG, DEAD_LETTERS, FAILED, PROMPTS, RESULTS, Names
from topics.messages import Origin

FLOW = tuple(spec.name for spec in CATALOG.values() if spec.keeps == "until answered")  # in the order of the flow
READ = (RESULTS, DEAD_LETTERS, *reversed(FLOW))  # effects before their causes, so that each effect's cause is in view
BURYING, NUMBER = "bury", re.compile("[0-9]{1,14}")
CLAIMED = ("request-id", "lineage")  # the evidence by which a dead letter sent again is known


class Fold:
    """Takes records in, one after another.

    Args:
        policy: What the door knows, as the workers have it.
        names: How topics and groups are called.
        marks: How far the groups have come; none: all that was read has been handled.
    """

    def __init__(
        self, policy: AdmissionPolicy | None = None, names: Names | None = None, marks: Iterable[Mark] = ()
    ) -> None:
        self.policy, self.names, self.marks = policy or AdmissionPolicy(), names or Names(), tuple(marks)
        self.prompts: list[Prompt] = []
        self.answers: dict[bytes, Given] = {}
        self.letters: dict[int, list[Letter]] = {}
        self.evidence: dict[int, Headers] = {}
        self.astray: list[Letter] = []
        self.unreadable: list[str] = []
        self.farthest: dict[int, int] = {}
        self.waiting: set[int] = set()
        self.sharing: set[bytes] = set()
        self.unburied: set[int] = set()
        self.views: dict[tuple[str, int], View] = {}
        self.records = self.newest_ms = 0
        self._commits = self._frontier()

    def open_all(self) -> None:
        """Says that all is going to be read that the marks tell of: what does not come is missing."""
        for mark in self.marks:
            self.views[mark.topic, mark.partition] = View(mark.start, mark.start, mark.end)

    def add(self, record: Seen, *, judged: bool = True) -> None:
        """Takes one record in; a prompt that is not ``judged`` only explains answers."""
        self.records += 1
        self.newest_ms = max(self.newest_ms, record.timestamp_ms)
        if record.topic not in READ:
            return
        self._follow(record)
        match record.topic:
            case "prompts":
                self._accept(record, judged)
            case "results":
                self._answer(record)
            case "dead-letters":
                self._bury(record)
            case _:
                self._trace(record)

    def _frontier(self) -> dict[tuple[str, int], list[tuple[bool, int]]]:
        """(topic, partition) → each reader: whether it buries, and what it has committed."""
        found = dict[tuple[str, int], list[tuple[bool, int]]]()
        for mark in self.marks:
            buries = mark.group == self.names.group(BURYING)
            found.setdefault((mark.topic, mark.partition), []).append((buries, mark.committed or 0))
        return found

    def _waits(self, record: Seen, *, buried: bool = False) -> bool:
        """Whether a reader of the record has not acknowledged it."""
        readers = self._commits.get((record.topic, record.partition), ())
        return any(buries is buried and committed <= record.offset for buries, committed in readers)

    def _follow(self, record: Seen) -> None:
        place = (record.topic, record.partition)
        view = self.views.get(place)
        if view is None:
            view = self.views[place] = View(record.offset, record.offset)
        if record.offset > view.next:
            view.holes.append((view.next, record.offset))
        if view.first_ms is None:
            view.first_ms = record.timestamp_ms
        view.next = max(view.next, record.offset + 1)

    def _accept(self, record: Seen, judged: bool) -> None:
        origin = facts.origin_of(record)
        said, hashed, whose, shared = self._asked(record, origin)
        stranger = facts.named(record.value) or facts.derived(record)
        received, place = rfc3339(record.timestamp_ms), packed(record.partition, record.offset)
        prompt = Prompt(
            said,
            place,
            record.timestamp_ms,
            facts.name_of(said, hashed, received),
            facts.name_of(stranger, origin.hash, received),
            digest(whose.encode()),
            digest((shared or whose).encode()),
            digest(hashed.encode()),
            facts.body_of(record),
            judged,
        )
        self.prompts.append(prompt)
        if self._waits(record):
            self.waiting.add(place)

    def _asked(self, record: Seen, origin: Origin) -> tuple[str, str, str, str]:
        """Id, request hash, identity and dedup key, as the door would say."""
        content_type = next((value for name, value in record.headers if name == "content-type"), None)
        match admission.decide(record.value, content_type, origin, self.policy, self._said(record)):
            case Admit(message):
                return message.id, message.request_hash, message.identity, message.dedup_key
            case Reject(answer):
                return answer.id, answer.request_hash, identity.identity(None, facts.derived(record), origin.hash), ""
            case refused:
                return refused.failed.id, origin.hash, refused.failed.identity, ""

    def _said(self, record: Seen) -> Said | None:
        """What a prompt claims of a dead letter; believed where that is not in view: a refusal goes by another name."""
        if not lineage.asks(record.headers):
            return None
        said = lineage.read(record.headers)
        letter = self.evidence.get(packed(*said.letter[1:])) if isinstance(said, Claim) else None
        return said if isinstance(said, Violation) or letter is None else lineage.check(said, letter)

    def _answer(self, record: Seen) -> None:
        at = packed(record.partition, record.offset)
        data = facts.data_of(record.value)
        known = (data.get("id"), data.get("request_hash"), data.get("received_at"), data.get("status"))
        if not all(isinstance(field, str) for field in known):
            self.unreadable.append(f"results/{record.partition}/{record.offset}")
            return
        said, hashed, received, status = map(str, known)
        name, ms = facts.name_of(said, hashed, received), record.timestamp_ms
        given = self.answers.get(name)
        if given is None:
            given = self.answers[name] = Given(said, received, at, ms, ms)
        given.count += 1
        given.first_ms, given.last_ms = min(given.first_ms, ms), max(given.last_ms, ms)
        hash = digest(record.value or b"")
        if all(hash != form.hash for form in given.forms):
            error, attempts = data.get("error"), data.get("attempts")
            kind = str(error.get("kind")) if isinstance(error, dict) else ""
            given.forms += (Form(hash, status, kind, attempts if isinstance(attempts, int) else 0),)

    def _bury(self, record: Seen) -> None:
        told = burial.told(record.headers)
        self.evidence[packed(record.partition, record.offset)] = tuple(
            (burial.ERROR + word, told[word].encode()) for word in CLAIMED if word in told
        )
        at = f"{DEAD_LETTERS}/{record.partition}/{record.offset}"
        parts = [told.get(f"original-{word}", "") for word in ("topic", "partition", "offset")]
        numbers = [int(part) for part in parts[1:] if NUMBER.fullmatch(part)]
        ours = parts[0] in (self.names.topic(PROMPTS), PROMPTS) and len(numbers) == 2
        place = packed(*numbers) if ours else None
        id, whole = told.get("request-id", at), "original" not in told
        letter = Letter(id, at, place, "/".join(parts), facts.body_of(record), whole, told.get("kind", ""))
        if place is None:
            self.astray.append(letter)
        else:
            self.letters.setdefault(place, []).append(letter)

    def _trace(self, record: Seen) -> None:
        data = facts.data_of(record.value)
        origin = data.get("origin")
        if not isinstance(origin, dict) or origin.get("topic") != PROMPTS:
            return
        partition, offset = origin.get("partition"), origin.get("offset")
        if not isinstance(partition, int) or not isinstance(offset, int):
            return
        place, step = packed(partition, offset), FLOW.index(record.topic)
        self.farthest[place] = max(self.farthest.get(place, 0), step)
        if self._waits(record):
            self.waiting.add(place)
            self.sharing.add(digest(str(data.get("dedup_key") or place).encode()))
        if record.topic == FAILED and self._waits(record, buried=True):
            self.unburied.add(place)
