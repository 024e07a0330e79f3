#!/usr/bin/env bash
# Every benchmark with its percentiles; each fails by itself when it is over its budget.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
shopt -s nullglob
red=() count=0
for bench in benches/bench_*.py; do
  echo "── $bench"
  count=$((count + 1))
  .venv/bin/python "$bench" --check "$@" || red+=("$bench")
done
echo "Benches: $count run, ${#red[@]} over budget ${red[*]-}"
[ ${#red[@]} -eq 0 ]
