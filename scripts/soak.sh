#!/usr/bin/env bash
# soak.sh [SEEDS] [SECONDS] [FIRST] [BESIDE]: a seed is a pipeline of its own under load for SECONDS (120) with three
# faults that it draws, two seeds (BESIDE) at once; calls take 8 s, one in twenty 20 s. One line a seed, then how often
# each fault was played, and a summary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
exec .venv/bin/python -m tests.chaos.seeds --long --seeds "${1:-40}" --busy-s "${2:-120}" --first "${3:-1}" --beside "${4:-2}"
