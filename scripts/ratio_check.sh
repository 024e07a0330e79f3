#!/usr/bin/env bash
# Test code lines ≥ 1.5 × production code lines, with a table a layer (printed, not gated).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/python.sh
exec "$PYTHON" -m scripts.gates.ratio "$@"
