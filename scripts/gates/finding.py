"""What does a gate report? Where, which law, and what to do instead."""

from typing import NamedTuple


class Finding(NamedTuple):
    """One breach, printed as ``file:line: rule: hint``."""

    path: str
    line: int
    rule: str
    hint: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}: {self.hint}"
