"""When is the first request of each parked tier tried again, and how is that told at night?"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from streams.cli.show import Row
from streams.decisions import parking
from topics.answer import rfc3339

if TYPE_CHECKING:
    from streams.engine.heads import Place

PROMPT_S = 5.0  # what is due for no longer than that is on its way


def first_due(tiers: Mapping[str, float], stamps: "Mapping[Place, int]") -> dict[str, int]:
    """When the first of all that wait in each topic is due, epoch milliseconds; ``tiers``: Kafka's topic → seconds."""
    due: dict[str, int] = {}
    for (topic, _), stamp_ms in stamps.items():
        at_ms = parking.due_ms(stamp_ms, tiers[topic])
        due[topic] = min(at_ms, due.get(topic, at_ms))
    return due


def with_due(row: Row, tiers: Mapping[str, float], due: Mapping[str, int], now: int) -> Row:
    """The row of a parked topic with its tier and time, null where none waits; others as they are."""
    topic = str(row["topic"])
    if topic not in tiers:
        return row
    at_ms = due.get(topic)
    left = {"due": None, "due_in_s": None} if at_ms is None else _left(at_ms, now)
    return {**row, "tier_s": tiers[topic], **left}


def _left(at_ms: int, now: int) -> dict[str, object]:
    return {"due": rfc3339(at_ms), "due_in_s": round((at_ms - now) / 1000, 1)}


def in_words(row: Row) -> str | None:
    """When the first is due, for people; None where nothing waits."""
    left = row.get("due_in_s")
    if not isinstance(left, float):
        return None
    if left > 0:
        return f"in {_span(left)}, {row['due']}"
    return "now" if left >= -PROMPT_S else f"OVERDUE by {_span(-left)}: does a worker with `park` run?"


def _span(seconds: float) -> str:
    """Two units at most: 9 s, 4 min 10 s, 3 h 0 min."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
