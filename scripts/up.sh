#!/usr/bin/env bash
# From a bare checkout to a running pipeline with a demo. Arguments go to `streams up`; --no-demo leaves the demo out.
set -euo pipefail
here="$PWD"
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local
root="$PWD"
cd "$here"
demo=(--demo)
for argument in "$@"; do
  case "$argument" in --demo | --no-demo) demo=() ;; esac
done
exec "$root/.venv/bin/python" -P -m streams up ${demo[@]+"${demo[@]}"} "$@"
