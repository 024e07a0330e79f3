"""How does a child die with its parent?

The kernel kills it when the *thread* that forked it ends, so one thread, which lives as long as the process, forks all.
"""

import ctypes
import os
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
_threads: dict[int, ThreadPoolExecutor] = {}  # by process id: a forked process starts its own


def spawn(command: Sequence[str], *, log: Path, cwd: Path, keep_open: Sequence[int] = ()) -> "subprocess.Popen[bytes]":
    """Starts a child in its own session, output to ``log``; it is killed when this process ends, however it ends."""
    with log.open("ab") as out:
        return _thread().submit(_popen, command, out.fileno(), cwd, tuple(keep_open)).result()


def _thread() -> ThreadPoolExecutor:
    return _threads.setdefault(os.getpid(), ThreadPoolExecutor(1, thread_name_prefix="launcher"))


def _popen(command: Sequence[str], out: int, cwd: Path, keep_open: tuple[int, ...]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=out,
        cwd=cwd,
        pass_fds=keep_open,
        start_new_session=True,  # Ctrl-C on the terminal reaches the parent, which stops its children in order
        preexec_fn=_die_with_parent,
    )


def _die_with_parent() -> None:  # pragma: no cover - runs between fork and exec, where nothing is recorded
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
