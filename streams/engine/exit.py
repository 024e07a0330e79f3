"""# Engine: exit

Responsibility: end the process, for a closed list of reasons, without acknowledging anything.
Guarantees: leaves a report that a supervisor can read, then exits with code 70
    (tests/unit/streams/engine/test_exit.py::test_end_process_any_reason_exits_70_with_report).
NOT Responsible For: deciding that it must end (streams/decisions), restarting (streams/local/supervisor).
"""

import json
import logging
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, NoReturn

log = logging.getLogger(__name__)

EXIT_CODE = 70

Reason = Literal["cannot_deliver", "hole_in_offsets", "log_starts_later", "lost_group", "crashed_consumer"]


@dataclass(frozen=True, slots=True)
class Fatal:
    """Why the process must end, and at which record if there is one."""

    reason: Reason
    app: str
    detail: str
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None


End = Callable[[Fatal], None]


def report_path(state_dir: Path, slot: int) -> Path:
    """Where a worker of that slot leaves its last fatal report."""
    return state_dir / f"fatal-{slot}.json"


def end_process(fatal: Fatal, report: Path | None) -> NoReturn:
    """Write the report, log, and end now: no commit, no clean-up; the restart reads again from the committed offset."""
    try:
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(json.dumps(asdict(fatal)))
    finally:
        _leave(fatal)


def _leave(fatal: Fatal) -> NoReturn:
    try:
        log.critical("ending the process: %s: %s", fatal.reason, fatal.detail, extra={"action": "fatal"})
        logging.shutdown()
    finally:
        os._exit(EXIT_CODE)
