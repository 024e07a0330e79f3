"""One JVM as a child process: started, waited for, signalled, ended; its log tells why when it fails."""

import signal as signals
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streams.local import launcher
from topics.errors import LocalKafkaError

POLL_S = 0.01


@dataclass(slots=True)
class Child:
    """A running (or ended) child and its log of this run."""

    name: str
    log: Path
    process: "subprocess.Popen[bytes]"

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    @property
    def rss_mb(self) -> int:
        """Resident memory in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next((int(line.split()[1]) // 1024 for line in status.splitlines() if line.startswith("VmRSS")), 0)

    def wait_for_line(self, text: str, timeout_s: float) -> None:
        """Returns once the log holds ``text``."""
        end = time.monotonic() + timeout_s
        while text not in self.log.read_text(errors="replace"):
            if not self.alive:
                raise LocalKafkaError(f"{self.name} ended with {self.process.returncode} on start: {self.complaint()}")
            if time.monotonic() > end:
                raise LocalKafkaError(f"{self.name} was not ready within {timeout_s:g} s: {self.complaint()}")
            time.sleep(POLL_S)

    def complaint(self) -> str:
        """The first errors of the log, else its end, and where to read on."""
        lines = self.log.read_text(errors="replace").splitlines()
        errors = [line for line in lines if " ERROR " in line or "Exception" in line or "Error" in line]
        return " | ".join([*(dict.fromkeys(errors[:5] or lines[-5:])), f"full log: {self.log}"])

    def signal(self, number: signals.Signals) -> None:
        """Sends a signal; nothing happens when it already ended."""
        self.process.send_signal(number)

    def end(self, number: signals.Signals, timeout_s: float) -> int:
        """Asks it to end and returns its exit code; kills it after ``timeout_s``."""
        self.signal(number)
        self.signal(signals.SIGCONT)  # a stopped process does not see the request
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def start(name: str, command: Sequence[str], *, log: Path, cwd: Path, keep_open: Sequence[int] = ()) -> Child:
    """Starts a child; the log of the run before is kept as ``<log>.1``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_name(log.name + ".1"))
    log.touch()
    try:
        return Child(name, log, launcher.spawn(command, log=log, cwd=cwd, keep_open=keep_open))
    except (OSError, subprocess.SubprocessError) as refused:
        raise LocalKafkaError(f"{name} cannot be started: {refused}") from refused
