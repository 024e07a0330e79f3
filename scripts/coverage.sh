#!/usr/bin/env bash
# Branch coverage of all tests, worker processes included; HTML in htmlcov/. Gates: 95 % whole, 100 % topics and decisions.
# Arguments go to pytest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
# Each Python process of this environment measures itself, but only while COVERAGE_PROCESS_START is set.
hook="$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/measure_subprocesses.pth"
trap 'rm -f "$hook"' EXIT
echo 'import os; os.environ.get("COVERAGE_PROCESS_START") and __import__("coverage").process_startup()' >"$hook"
.venv/bin/coverage erase
status=0
COVERAGE_PROCESS_START="$PWD/pyproject.toml" COVERAGE_FILE="$PWD/.coverage" .venv/bin/python -m pytest -p tests.support.no_skips "$@" || status=$?
.venv/bin/coverage combine --quiet
.venv/bin/coverage html --quiet
echo "── topics and streams/decisions: 100 %"
.venv/bin/coverage report --include='topics/*,streams/decisions/*' --fail-under=100 || status=1
echo "── the whole: 95 %"
.venv/bin/coverage report --fail-under=95 || status=1
echo "HTML: htmlcov/index.html"
exit "$status"
