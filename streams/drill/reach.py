"""Did a run reach what it is for? What came to pass in it at least once: a run that never gets there proves little."""

from collections import Counter
from collections.abc import Iterable, Mapping

import orjson

from streams.stage import Record
from topics.catalog import BREAKERS, INFERRED, PARKED, RESULTS

DECISION = "prompts.decision"
READ = (BREAKERS, *PARKED, INFERRED, RESULTS)
BY_DECISION: Mapping[tuple[str, str], str] = {
    (BREAKERS, "open"): "breaker opened",
    (BREAKERS, "half-open"): "probe granted",
    (BREAKERS, "closed"): "breaker closed again",
    (INFERRED, "answered-before"): "finished call found again",
    (RESULTS, "cached"): "dedup hit",
    (RESULTS, "coalesced"): "dedup hit",
    (RESULTS, "copy"): "answer sent again",
}


def of_record(record: Record) -> str | None:
    """What a record shows to have come to pass, if anything that is looked for."""
    if record.topic in PARKED:
        return "request parked"
    decision = (record.header(DECISION) or b"").decode(errors="replace")
    if record.topic == BREAKERS and decision == "open" and _level(record.value):
        return "probe failed"
    return BY_DECISION.get((record.topic, decision))


def of_line(line: Mapping[str, object]) -> str | None:
    """The same of a line that a worker logged."""
    if line.get("action") != "rebalanced":
        return None
    return "rebalance during a call" if line.get("outputs") else "rebalance"


def reached(records: Iterable[Record], told: Iterable[Mapping[str, object]]) -> dict[str, int]:
    """How often what came to pass, out of the records of ``READ`` and the workers' logs."""
    seen = [*map(of_record, records), *map(of_line, told)]
    return dict(sorted(Counter(word for word in seen if word).items()))


def _level(value: bytes | None) -> int:
    """How often a breaker had relapsed, as its word says it."""
    try:
        level = orjson.loads(value or b"{}").get("level", 0)
    except (orjson.JSONDecodeError, AttributeError):
        return 0
    return level if isinstance(level, int) else 0
