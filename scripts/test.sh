#!/usr/bin/env bash
# All tests, with the tools that they need. Arguments go to pytest. TEST_BROKER=embedded|docker chooses the broker; without
# it, an address in KAFKA_BOOTSTRAP_SERVERS, Docker where it is usable, else the embedded broker.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/env.sh local,dev
exec .venv/bin/python -m pytest -p tests.support.no_skips "$@"
