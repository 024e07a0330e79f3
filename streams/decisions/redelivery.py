"""What to do with a record whose key already has a row? The state rule, as one total function.

A row keeps, for each role (owner, waiter, …), the coordinates of the input that took it and all that its outputs are
made from; so an input that finds itself there is a redelivery, which repeats its outputs from the row and writes the
row again, because the local store is durable before its changelog and may be ahead of it after a crash.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class First:
    """No row stands: this input decides."""


@dataclass(frozen=True, slots=True)
class Again:
    """This input took ``role`` before: repeat its outputs from the row, and write the row again."""

    role: str


@dataclass(frozen=True, slots=True)
class Other:
    """The row was decided by another input: this one may take a role that is still free."""


def judge(roles: Mapping[str, str] | None, at: str) -> First | Again | Other:
    """Judge an input against the roles of its row.

    Arguments: ``roles`` role → coordinates of the input that took it (None: no row); ``at`` this input's coordinates.

    >>> judge(None, "admitted/0/7"), judge({"owner": "admitted/0/7"}, "admitted/0/7")
    (First(), Again(role='owner'))
    >>> judge({"owner": "admitted/0/7"}, "admitted/0/9")
    Other()
    """
    if roles is None:
        return First()
    taken = next((role for role, cause in roles.items() if cause == at), None)
    return Other() if taken is None else Again(taken)
