"""The command line: one verb a file, each translates options into calls and prints what comes back.

Read ``app`` first (which commands, which exit codes), then ``connect`` (which cluster) and ``show`` (how things look),
then any verb.
"""

import sys
from typing import NoReturn

from streams.shadow import refuse_foreign_topics

USAGE = 2


def main() -> NoReturn:
    """The entry point of ``streams`` and ``prompt-streams``."""
    try:
        refuse_foreign_topics()
    except Exception as foreign:  # its class comes from our file by path, so no import of ours names it
        sys.stderr.write(f"error: {foreign}\n")
        sys.exit(USAGE)
    from streams.cli.app import run

    sys.exit(run(sys.argv[1:]))
