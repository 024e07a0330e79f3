#!/usr/bin/env bash
# Form and figures of commit messages: a message file, or --range A..B for commits.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/python.sh
exec "$PYTHON" -m scripts.gates.commits "$@"
