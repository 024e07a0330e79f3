"""How long does it take to ask whether a service may be called, and to tell how a call went?

    .venv/bin/python -m benches.bench_breaker [--samples 100000] [--check]

One sample is one ``verdict`` of a worker's board that knows 50 services: of one that is closed and has a full window of
calls, open, half-open with the probe of another worker, due (which asks), never heard of, and all of them in turn. The
budget is held by each. Beside it, without a budget: ``told``, with its share of the record that is written, and the
clock's own reading, which is part of each figure.
"""

import argparse
import gc
import sys
import time
from collections.abc import Callable
from itertools import cycle, islice

from streams.adapters.board import Board
from streams.stage import Record
from topics import wire
from topics.calls import Breaker, Probing
from topics.catalog import BREAKERS

P50_US, P99_US = 10.0, 50.0
NOW_MS, LATER_MS = 1_769_860_800_000, 10**7
SERVICES = 50


def told(what: str, samples: list[int]) -> tuple[float, float]:
    """Prints and returns the percentiles in microseconds."""
    samples.sort()
    p50, p99 = (samples[int(len(samples) * part)] / 1000 for part in (0.5, 0.99))
    print(f"{what:16} p50 {p50:.2f} µs, p99 {p99:.2f} µs, max {samples[-1] / 1000:.1f} µs of {len(samples):,}")
    return p50, p99


def timed(act: Callable[[int], object], count: int) -> list[int]:
    """Nanoseconds of each act, which is given its number."""
    samples, clock = [], time.perf_counter_ns
    for number in range(count):
        start = clock()
        act(number)
        samples.append(clock() - start)
    return samples


def word(service: str, state: str, until_ms: int) -> Record:
    """One word of the stage."""
    probing = Probing(worker="other", number=1, at_ms=NOW_MS, sent_ms=NOW_MS) if state == "half-open" else None
    said = Breaker.model_validate(
        {"service": service, "state": state, "epoch": 1, "number": 1, "since_ms": NOW_MS, "until_ms": until_ms}
    ).model_copy(update={"probing": probing})
    return Record(BREAKERS, 0, 0, NOW_MS, service.encode(), wire.encode(said))


def board() -> Board:
    """One that has heard of many services, and counted calls of those that are closed."""
    made = Board("bench", lambda service, value: None)
    for number in range(SERVICES):
        made.apply(word(f"open:{number}", "open", NOW_MS + LATER_MS))
        made.apply(word(f"half-open:{number}", "half-open", NOW_MS + LATER_MS))
        made.apply(word(f"due:{number}", "open", NOW_MS))
        for call in range(200):
            made.told(f"closed:{number}", 0, "failed" if call % 5 == 0 else "ok", NOW_MS, NOW_MS + call, False)
    return made


def asks(known: Board, services: list[str]) -> Callable[[int], object]:
    """One verdict, a millisecond after the one before."""
    return lambda number: known.verdict(services[number], NOW_MS + number)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a budget is exceeded")
    asked = parser.parse_args()
    known = board()
    kinds = ("closed", "open", "half-open", "due", "unknown")
    names = {kind: [f"{kind}:{number}" for number in range(SERVICES)] for kind in kinds}
    names["all"] = [name for every in zip(*(names[kind] for kind in kinds), strict=True) for name in every]
    gc.disable()  # a collection in between is not the board's
    told("the clock itself", timed(lambda number: None, asked.samples))
    figures = []
    for kind, services in names.items():
        turn = list(islice(cycle(services), asked.samples))
        figures.append(told(kind, timed(asks(known, turn), asked.samples)))
    told("told", timed(lambda n: known.told("closed:1", 0, "ok", NOW_MS, NOW_MS + 1000 + n, False), asked.samples))
    return int(asked.check and any(p50 > P50_US or p99 > P99_US for p50, p99 in figures))


if __name__ == "__main__":
    sys.exit(main())
