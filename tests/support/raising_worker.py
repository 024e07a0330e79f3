"""A worker of the real pipeline whose stages raise on requests that name them: ``raise-in-<stage>``.

The exception's text is the record's value, prompt and all: it must not be seen anywhere.
"""

import asyncio
import sys
from dataclasses import replace
from typing import Any

from streams import pipeline
from streams.cli import main
from streams.stage import Record, Scope, Stage
from topics.catalog import FAILED

WHOLE = pipeline.stages


def defective(stage: Stage) -> Stage:
    """The stage with a defect; ``deliver`` has it for good answers only, as somebody must answer the failures.

    ``assemble`` raises on requests that name ``bury`` too, as only failures get there.
    """
    named = ("assemble", "bury") if stage.name == "assemble" else (stage.name,)
    marks = [f'"raise-in-{name}"'.encode() for name in named]
    handle: Any = stage.handle

    def check(record: Record) -> None:
        marked = any(mark in (record.value or b"") for mark in marks)
        if marked and (record.topic != FAILED or stage.name == "bury"):
            raise ZeroDivisionError(record.value)

    def inline(record: Record, scope: Scope) -> Any:
        check(record)
        return handle(record, scope)

    async def awaiting(record: Record, scope: Scope) -> Any:
        check(record)
        return await handle(record, scope)

    return replace(stage, handle=awaiting if asyncio.iscoroutinefunction(handle) else inline)


def stages(*given: Any) -> tuple[Stage, ...]:
    return tuple(map(defective, WHOLE(*given)))


if __name__ == "__main__":
    pipeline.stages = stages
    sys.argv[0] = "streams"
    main()
