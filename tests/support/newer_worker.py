"""A worker of a later version: ``python -m tests.support.newer_worker worker …``. Its door writes fields unknown today.

Everything else is as the composition root wires it.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from streams import pipeline
from streams.cli import main
from streams.stage import Output, Record, Scope, Stage
from topics.catalog import ADMITTED

WHOLE = pipeline.stages
NEWS = {"field": {"of": ["a", 1]}, "work": "dry", "origin": "r-1"}


def newer(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    """The stages, the first of which adds to what it admits: a field of its own, one in the work, one in the origin."""
    door, *rest = stages

    def handle(record: Record, scope: Scope) -> Iterable[Output]:
        return [_with_news(output) for output in door.handle(record, scope)]  # type: ignore[union-attr]  # no letters here

    return (replace(door, handle=handle), *rest)


def _with_news(output: Output) -> Output:
    if output.topic != ADMITTED:
        return output
    message = json.loads(output.value or b"")
    message["work"]["tone"], message["origin"]["rack"] = NEWS["work"], NEWS["origin"]
    return output._replace(value=json.dumps({**message, "tomorrow": NEWS["field"]}).encode())


def _stages(*given: Any) -> tuple[Stage, ...]:
    return newer(WHOLE(*given))


if __name__ == "__main__":
    pipeline.stages = _stages
    sys.argv[0] = "streams"
    main()
