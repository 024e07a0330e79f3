"""One worker whose provider takes 200 ms and allows 256 calls at once: how many prompts a second, at what CPU?

    .venv/bin/python -m benches.bench_calls [--seconds 30] [--check]

Distinct prompts of 1 kB, `echo` with a delay, so that a call costs a timer and the window is the limit: 256 / 0.2 =
1,280 prompts a second. Worker, broker and load share the machine's cores; CPU is user + system of the worker alone.

Measured over 25 s on a quiet machine: 943 prompts/s, 189 calls running on average, 1,017 us CPU a prompt, 0.96 of a
core: the worker's interpreter lock is the limit, not the window.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benches.bench_pipeline import prompt
from benches.one_worker import at_full_load, checked, one_worker
from streams.local.kafka import EmbeddedKafka

DELAY_S, WINDOW = 0.2, 256
LIMIT = WINDOW / DELAY_S
AHEAD = 4_000  # far above the window, which so never runs dry
AT_LEAST = {"prompts/s": 800.0}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--check", action="store_true", help="exit 1 when under the floor")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="bench-calls-"))
    toml = f"[provider.echo]\ndelay_s = {DELAY_S}\n[infer]\nin_flight = {WINDOW}\n"
    with EmbeddedKafka(directory / "kafka") as broker:
        brokers = broker.bootstrap_servers
        with one_worker(brokers, directory / "worker", toml) as chain:
            did = at_full_load(brokers, chain, asked.seconds, prompt, AHEAD)
    got = {
        "prompts/s": did.rate,
        "of the limit of the window": did.rate / LIMIT,
        "calls running, on average": did.rate * DELAY_S,
        "CPU us a prompt": did.cpu_us,
        "CPU share of one core": did.rate * did.cpu_us / 1e6,
        "RSS MB": did.rss_mb,
    }
    over = checked(got, AT_LEAST, {})
    return 1 if over and asked.check else 0


if __name__ == "__main__":
    sys.exit(main())
