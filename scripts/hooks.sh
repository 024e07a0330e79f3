#!/usr/bin/env bash
# Switches the hooks of this checkout on: cheap gates before a commit, figures and form of its message.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
git config core.hooksPath .githooks
echo "Hooks on: .githooks (off again: git config --unset core.hooksPath)"
