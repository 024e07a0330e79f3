#!/usr/bin/env bash
# Mutation score of the rules and the wire: how many small changes of the code does a test notice? At least 90 %.
# Arguments: modules to mutate (default: all of streams/decisions and topics/wire.py). Works on a copy, below build/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
exec .venv/bin/python -m scripts.gates.mutants "$@"
