#!/usr/bin/env bash
# Every benchmark with its percentiles, in a short form; each fails by itself when it is over its budget.
# --long: in the length that its own defaults ask for, which takes most of an hour.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
shopt -s nullglob

short() {
  case "$1" in
    bench_calls) echo --seconds 15 ;;
    bench_dedup) echo --samples 100000 --storm 5000 ;;
    bench_full) echo --seconds 15 --idle-seconds 15 ;;
    bench_memory) echo --seconds 90 --rows 30000 ;;
    bench_parked) echo --idle-seconds 10 ;;
    bench_pipeline) echo --seconds 15 --idle-seconds 15 ;;
    bench_provider_client) echo --calls 1500 ;;
  esac
}

long=
case "${1:-}" in
  --long) long=yes ;;
  "") ;;
  *) echo "usage: scripts/bench_all.sh [--long]" >&2; exit 2 ;;
esac
red=() count=0
for bench in benches/bench_*.py; do
  name=$(basename "$bench" .py)
  read -ra length <<<"$([ -n "$long" ] || short "$name")"
  echo "── $name ${length[*]-}"
  count=$((count + 1))
  .venv/bin/python -m "benches.$name" --check ${length[@]+"${length[@]}"} || red+=("$name")
done
echo "Benches: $count run, ${#red[@]} over budget ${red[*]-}"
[ ${#red[@]} -eq 0 ]
