"""How long does it take to decide what becomes of a try that failed?

    .venv/bin/python -m benches.bench_retry [--samples 100000] [--check]

One sample is one ``retry.decide`` with its objects: the policy's own wait, a short Retry-After, one that is parked, the
last try, and an error that no try mends. The clock's own reading is measured first and left in: it is part of each
figure. The budget is held by the wait of the policy alone and by ``all``, the five in equal shares; taken alone, the
medians of what is parked and of what is exhausted (an error to be made) are above it.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable

from streams.decisions import retry
from topics.provider_errors import ProviderDenied, ProviderRateLimited

P50_US, P99_US = 1.0, 5.0
POLICY = retry.RetryPolicy()
CASES = {
    "own wait": (ProviderRateLimited("openai"), 2),
    "short Retry-After": (ProviderRateLimited("openai", retry_after_s=2.0), 1),
    "parked": (ProviderRateLimited("openai", retry_after_s=35.0), 1),
    "exhausted": (ProviderRateLimited("openai"), 4),
    "permanent": (ProviderDenied("openai"), 1),
}


def told(what: str, samples: list[int]) -> tuple[float, float]:
    """Prints and returns the percentiles in microseconds."""
    samples.sort()
    p50, p99 = (samples[int(len(samples) * part)] / 1000 for part in (0.5, 0.99))
    print(f"{what:18} p50 {p50:.2f} µs, p99 {p99:.2f} µs, max {samples[-1] / 1000:.1f} µs of {len(samples):,}")
    return p50, p99


def timed(act: Callable[[], object]) -> int:
    """Nanoseconds of one act."""
    start = time.perf_counter_ns()
    act()
    return time.perf_counter_ns() - start


def decisions(which: list[str], rolls: list[float]) -> list[int]:
    """One decision a roll, the cases in turn."""
    facts = [(retry.Fault("infer", *CASES[name][:1], 0.0), CASES[name][1]) for name in which]
    samples, clock, decide = [], time.perf_counter_ns, retry.decide
    for number, roll in enumerate(rolls):
        fault, attempt = facts[number % len(facts)]
        start = clock()
        decide(POLICY, fault, attempt, 1.0, 600.0, roll)
        samples.append(clock() - start)
    return samples


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a budget is exceeded")
    asked = parser.parse_args()
    chance = random.Random(1)
    rolls = [chance.random() for _ in range(asked.samples)]
    gc.disable()  # a collection in between is not the rule's
    told("the clock itself", [timed(lambda: None) for _ in rolls])
    waits = told("delay_for_attempt", [timed(lambda: POLICY.delay_for_attempt(3)) for _ in rolls])
    for name in CASES:
        told(name, decisions([name], rolls))
    mixed = told("all", decisions(list(CASES), rolls))
    over = any(p50 > P50_US or p99 > P99_US for p50, p99 in (waits, mixed))
    return int(asked.check and over)


if __name__ == "__main__":
    sys.exit(main())
