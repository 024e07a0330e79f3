#!/usr/bin/env bash
# Known vulnerabilities of the installed dependencies, lint, format. Without the advisory service it says so and goes on.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
status=0
.venv/bin/ruff format --check . || status=1
.venv/bin/ruff check . || status=1
timeout 120 .venv/bin/pip-audit --local --skip-editable --progress-spinner off --timeout 10 --format json 2>/dev/null |
  .venv/bin/python -m scripts.gates.audit || status=1
exit "$status"
