"""A worker of the real pipeline with a fault of its own: ``python -m tests.support.fault_worker FAULT worker …``.

``clock:3600`` sets its clock an hour ahead, ``point:row-sent:20`` kills it when it passes that point for the 20th time,
``files:300000`` lets no file grow beyond so many bytes.
Everything else is as ``streams worker`` does it.
"""

import os
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from streams import service
from streams.cli import main

POINTS = ("call-returned", "row-written", "row-sent", "row-acknowledged", "outputs-sent", "outputs-acknowledged")


def failpoint(name: str, times: int) -> Callable[[str], None]:
    """Kills this process when the point is passed for that time."""
    left = times

    def reached(point: str) -> None:
        nonlocal left
        left -= point == name
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def shifted(clock: Callable[[], Any], by_s: float) -> Any:
    """A clock that is wrong by so much."""

    class Wrong:
        def now_ms(self) -> int:
            return int(clock().now_ms() + by_s * 1000)

    return Wrong


def plant(fault: str) -> None:
    """Puts the fault where the worker is made out of its settings."""
    match fault.split(":"):
        case ["clock", seconds]:
            service.SystemClock = shifted(service.SystemClock, float(seconds))
        case ["files", most_bytes]:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(most_bytes), int(most_bytes)))
        case ["point", name, times] if name in POINTS:
            service.WorkerPlan = partial(service.WorkerPlan, failpoint=failpoint(name, int(times)))
        case _:
            raise SystemExit(f"no such fault: {fault}; clock:SECONDS, or point:NAME:TIMES of {', '.join(POINTS)}")


if __name__ == "__main__":
    plant(sys.argv.pop(1))
    sys.argv[0] = "streams"
    main()
