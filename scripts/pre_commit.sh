#!/usr/bin/env bash
# All gates; --cheap leaves out what needs more than some seconds (tests, coverage, benches, audit).
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Hooks run with git's own variables set; the tests below make repositories of their own.
unset GIT_DIR GIT_INDEX_FILE GIT_WORK_TREE GIT_PREFIX
if [ ! -x .venv/bin/ruff ]; then
  echo "No environment with the development tools: run ./scripts/test.sh once" >&2
  exit 1
fi
red=()
gate() {
  local name="$1" log started=$SECONDS
  shift
  if log="$("$@" 2>&1)"; then
    echo "✓ $name ($((SECONDS - started)) s)"
  else
    printf '%s\n✗ %s\n' "$log" "$name"
    red+=("$name")
  fi
}
gate format .venv/bin/ruff format --check .
gate lint .venv/bin/ruff check .
gate imports .venv/bin/lint-imports
gate ratio ./scripts/ratio_check.sh
gate "panic scan" ./scripts/panic_scan.sh
gate types .venv/bin/mypy
if [ "${1:-}" != --cheap ]; then
  gate "commit messages" ./scripts/commit_msg_check.sh --range HEAD
  gate audit ./scripts/audit_all.sh
  gate coverage ./scripts/coverage.sh
  gate benches ./scripts/bench_all.sh
fi
if [ ${#red[@]} -gt 0 ]; then
  echo "Red: ${red[*]}"
  exit 1
fi
echo "All gates are green"
