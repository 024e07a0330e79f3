"""What does the closing line of a run say, and which word ends it?"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from topics.answer import Answer
from topics.messages import Usage

NOTHING = Usage(input_tokens=0, output_tokens=0)


@dataclass(slots=True)
class Totals:
    """Counts the answers of one run.

    Args:
        asked: Requests published or to be published.
        bad: Rows that were no request.
        skipped: Rows that an earlier run had answered.
        statuses: Answers by status.
        saved: Answers that cost nothing, being shared.
        tokens_in: Input tokens paid for; ``tokens_out``: output tokens.
        cost_usd_micros: Millionths of a dollar.
    """

    asked: int = 0
    bad: int = 0
    skipped: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    saved: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd_micros: int = 0

    def count(self, answer: Answer) -> None:
        """Adds one answer."""
        usage = answer.usage or NOTHING
        self.statuses[answer.status] += 1
        self.saved += answer.source in ("cache", "coalesced")
        self.tokens_in += usage.input_tokens
        self.tokens_out += usage.output_tokens
        self.cost_usd_micros += answer.cost_usd_micros

    @property
    def answered(self) -> int:
        """How many requests of this run have the answer that was asked for."""
        return self.statuses["completed"]

    @property
    def missing(self) -> int:
        """How many have none yet."""
        return self.asked - self.statuses.total()

    @property
    def wrong(self) -> int:
        """How many rows came to another end than an answer."""
        return self.statuses.total() - self.answered + self.bad

    @property
    def outcome(self) -> Literal["all", "some", "none"]:
        """Whether all rows have their answers, those of earlier runs included; no row at all is all."""
        done, of = self.answered + self.skipped, self.asked + self.bad + self.skipped
        return "all" if done == of else "some" if done else "none"

    def line(self, seconds: float) -> str:
        """The closing line; what did not happen is left out, but for failures and savings.

        >>> Totals(asked=2, statuses=Counter(completed=2), tokens_in=9, tokens_out=20).line(1.25)
        '2 answered, 0 failed, 0 saved by dedup, tokens: 9 in, 20 out, cost: $0.00, 1.2 s'
        """
        ended = [(n, status) for status, n in self.statuses.items() if status not in ("completed", "failed")]
        rare = [*ended, (self.bad, "bad rows"), (self.skipped, "answered before"), (self.missing, "not answered yet")]
        told = [f"{n:,} {what}" for n, what in rare if n]
        first = [f"{self.answered:,} answered", f"{self.statuses['failed']:,} failed", *told]
        tokens = f"tokens: {self.tokens_in:,} in, {self.tokens_out:,} out"
        cost = f"cost: {dollars(self.cost_usd_micros)}"
        return ", ".join([*first, f"{self.saved:,} saved by dedup", tokens, cost, f"{seconds:.1f} s"])


def dollars(micros: int) -> str:
    """Millionths of a dollar as people read them.

    Args:
        micros: Millionths of a dollar, not negative.

    Returns:
        Dollars with two digits, with six where less would show nothing.

    >>> dollars(12), dollars(3_450_000)
    ('$0.000012', '$3.45')
    """
    return f"${micros / 1e6:.6f}" if 0 < micros < 10_000 else f"${micros / 1e6:,.2f}"


__all__ = ["Totals", "dollars"]
