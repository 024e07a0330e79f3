# Sourced: sets PYTHON to the environment's interpreter, else to the first one on the machine that is new enough.
PYTHON=""
for candidate in "$(dirname "${BASH_SOURCE[0]}")/../.venv/bin/python" python3.13 python3.12 python3.11 python3; do
  if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; then
    PYTHON="$candidate"
    break
  fi
done
if [ -z "$PYTHON" ]; then
  echo "Missing: Python 3.11, 3.12 or 3.13. On Debian: apt-get install python3 python3-venv" >&2
  exit 1
fi
