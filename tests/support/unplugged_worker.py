"""A worker of the real pipeline that lacks a stage: ``python -m tests.support.unplugged_worker STAGE worker …``.

Everything else is as the composition root wires it.
"""

import sys
from typing import Any

from streams import pipeline
from streams.cli import main
from streams.stage import Stage

WHOLE = pipeline.stages


def without(name: str) -> None:
    """Takes one stage out of what the composition root gives a worker."""

    def rest(*given: Any) -> tuple[Stage, ...]:
        return tuple(stage for stage in WHOLE(*given) if stage.name != name)

    pipeline.stages = rest


if __name__ == "__main__":
    without(sys.argv.pop(1))
    sys.argv[0] = "streams"
    main()
