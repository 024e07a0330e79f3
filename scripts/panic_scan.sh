#!/usr/bin/env bash
# Forbidden forms in production code: file:line: rule: hint. Fails when there is one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/python.sh
exec "$PYTHON" -m scripts.gates.panics "$@"
