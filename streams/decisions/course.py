"""How far has a request come at the providers? What the table ``answers`` keeps of it, and under which keys.

| key | row |
|---|---|
| ``<dedup key, epoch>`` | the outcome, for all who share key and epoch: exact bytes; in time only that there was one |
| ``course/<dedup key, epoch, identity, deadline, hop>`` | ``Progress`` of one request since it was last parked |

A request that was parked comes back as a record with the next hop; the row of the hop before says what became of that.
"""

from dataclasses import dataclass
from typing import Self

from streams.decisions.identity import framed
from topics import wire
from topics.messages import Assembled, Disposition, Failure, Open, Outcome, Try, grown


class Ended(Open):
    """How a request ended without an answer; times in epoch milliseconds.

    ``reason`` is ``retry.Reason``, or None for a deadline that has passed.
    """

    outcome: Outcome = "failed"
    disposition: Disposition | None
    failure: Failure
    reason: str | None = None
    attempts: int
    first_failed_ms: int
    failed_ms: int


class Progress(Open):
    """How far one hop of a request has come.

    ``ms`` is when the row was written (epoch milliseconds), first, to be seen at a glance. ``tries`` are all its calls
    that failed, in order; ``parked`` is the topic of the tier that it went to after them, with ``headers``, until
    ``due_ms``; ``own`` is how it ended where its twins do not share that.
    """

    ms: int | None = None
    v: int = 1
    tries: tuple[Try, ...] = ()
    parked: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    due_ms: int | None = None
    own: Ended | None = None

    @property
    def over(self) -> bool:
        """Whether this hop has nothing left to do."""
        return self.parked is not None or self.own is not None


BEGUN = Progress()


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one request; sent again after its deadline, it is another one.

    Args:
        answer: Where the outcome is remembered that all share who have its dedup key and epoch.
        request: The request, among all that do.
    """

    answer: bytes
    request: bytes

    @classmethod
    def of(cls, message: Assembled) -> Self:
        """The keys of the request that a message is about.

        Args:
            message: Any of its copies.
        """
        answer = framed(message.dedup_key.encode(), message.epoch.encode())
        deadline = b"" if message.deadline_ms is None else b"%d" % message.deadline_ms
        return cls(answer, answer + framed(message.identity.encode(), deadline))

    def hop(self, number: int) -> bytes:
        """Where its progress is remembered.

        Args:
            number: How often it had been parked.
        """
        return b"course/%b%d" % (self.request, number)

    def call(self, number: int) -> bytes:
        """The name of one call, by which a redelivered record finds the one that runs.

        Args:
            number: How many calls failed before.
        """
        return b"%b%d" % (self.request, number)


def begun(message: Assembled) -> Progress:
    """The progress of a record of which no row tells.

    Args:
        message: The request, with the tries of its earlier hops.
    """
    return Progress(tries=message.tries) if message.tries else BEGUN


def later(known: Progress, stored: bytes | None) -> Progress:
    """The further one of what a handler knows and of what the row says by now, which another record may have written.

    Args:
        known: What the handler knows.
        stored: The row, or None.

    Returns:
        What the row says where it is over or has more tries.

    Raises:
        DecodingError: It is no such row.
    """
    if stored is None:
        return known
    found = wire.decode(stored, Progress)
    return found if found.over or len(found.tries) > len(known.tries) else known


def copy(message: Assembled, progress: Progress) -> bytes:
    """What is parked: the message with its tries, one hop on.

    Args:
        message: The request.
        progress: Of this hop; parked.
    """
    told = {"tries": progress.tries, "hop": message.hop + 1, "due_ms": progress.due_ms}
    return wire.encode(grown(message, Assembled, **told))
