"""How does a file of rows become a file of answers, and go on after a kill as if nothing had been?

What OUT has is not asked again. Rows that were on their way when a run was killed (at most ``Bounds.in_flight``) are
looked for in ``results`` since that run began, and asked again, under the ids they had, only where they are not found:
to the pipeline that is the same request, and not paid for twice.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice

from streams.client.ask import AnswersMissing, Client
from streams.client.outfile import OutFile, answered
from streams.client.source import Source, aside
from streams.decisions.batch_lines import Asked, Bad, asked
from streams.decisions.offsets import AtTime
from streams.decisions.questions import Question, digest
from streams.decisions.totals import Totals
from topics import wire
from topics.answer import Answer
from topics.catalog import RESULTS

SLACK_MS = 300_000  # how far the broker's clock may be behind ours; beyond that rows are asked again


@dataclass(slots=True)
class Batch:
    """One run of ``source`` into ``files``; ``told`` is called after each row that has come to its end."""

    client: Client
    source: Source
    files: OutFile
    told: Callable[[Totals], None] = lambda _: None
    totals: Totals = field(default_factory=Totals)
    _lines: dict[str, int] = field(default_factory=dict)

    async def run(self, now_ms: int, timeout_s: float | None = None) -> None:
        """Asks all that OUT has no answer to. ``now_ms``: epoch milliseconds; ``timeout_s``: seconds for everything."""
        await self._found_since(self.files.since_ms)
        self.files.begin(now_ms - SLACK_MS)
        try:
            async with aclosing(self.client.answers(self._questions(), timeout_s)) as answers:
                async for answer in answers:
                    self._take(answer)
        except AnswersMissing:
            return
        self.files.finish()

    async def _found_since(self, since_ms: int | None) -> None:
        """Takes over what an unfinished run before this one asked and did not live to see answered."""
        if since_ms is None or not self.source.again:
            return
        wanted = await aside(self._unanswered)
        async with self.client.door.tail(RESULTS, AtTime(since_ms)) as past:
            async for record in past:
                id = digest((record.key or b"").decode(errors="replace"))
                if id in wanted and answered(record.value or b"") is not None:
                    wanted.discard(id)
                    self.files.done.add(id)
                    self.files.append(wire.decode(record.value, Answer))

    def _unanswered(self) -> set[int]:
        rows = asked(self.source.rows(), self.files.path.name)
        return {digest(row.question.id) for row in rows if isinstance(row, Asked)} - self.files.done

    async def _questions(self) -> AsyncIterator[Question]:
        rows = asked(self.source.rows(), self.files.path.name)
        while piece := await aside(lambda: list(islice(rows, self.source.piece))):
            for row in piece:
                if isinstance(row, Bad):
                    self._refuse(row)
                elif digest(row.question.id) in self.files.done:
                    self.totals.skipped += 1
                    self.told(self.totals)
                else:
                    self.totals.asked += 1
                    self._lines[row.question.id] = row.line
                    yield row.question

    def _refuse(self, row: Bad) -> None:
        self.totals.bad += 1
        wrong = {"status": "invalid", "field": row.field, "value": row.value, "fix": row.fix}
        self.files.complain({"line": row.line, **wrong})
        self.told(self.totals)

    def _take(self, answer: Answer) -> None:
        line = self._lines.pop(answer.id, None)
        self.totals.count(answer)
        if answer.status == "completed":
            self.files.append(answer)
        else:
            error = answer.error.model_dump(exclude_none=True) if answer.error else {}
            self.files.complain({"line": line, "id": answer.id, "status": answer.status, **error})
        self.told(self.totals)
