"""A real Kafka broker as a child process: data in a directory of yours, on a port that stays the same."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from streams.local import broker_settings, child, ports, runtime, storage
from streams.local.broker_settings import Ports
from streams.local.ownership import Ownership
from streams.local.secure import Security
from streams.local.training import READY
from topics.errors import LocalKafkaError

PORT_TAKEN = "Address already in use"
ATTEMPTS = 3  # for ports that another program takes between our look and Kafka's


def _silent(_: str) -> None:
    """Says nothing."""


class EmbeddedKafka:
    """One broker over ``data_dir``.

    ``port`` 0 takes the port of the run before when it is free, else any; a ``secure`` listener comes beside the plain
    one; ``settings`` are Kafka's own and win. Nothing runs before ``start``.
    """

    def __init__(
        self,
        data_dir: Path,
        port: int = 0,
        *,
        prepared: runtime.Runtime | None = None,
        say: Callable[[str], None] = _silent,
        heap: str = "256m",
        settings: Mapping[str, object] | None = None,
        secure: Security | None = None,
        log_file: Path | None = None,
        start_timeout_s: float = 60.0,
        stop_timeout_s: float = 20.0,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.log_file = (log_file or self.data_dir / "broker.log").absolute()
        self._wanted, self._ports, self._secure = port, Ports(port, 0), secure
        self._prepared, self._say, self._heap, self._settings = prepared, say, heap, dict(settings or {})
        self._start_timeout_s, self._stop_timeout_s = start_timeout_s, stop_timeout_s
        self._child: child.Child | None = None
        self._owned = Ownership(self.data_dir)

    @property
    def bootstrap_servers(self) -> str:
        """Host and port of the plain listener; valid from the first start on."""
        return f"{ports.HOST}:{self._ports.plain}"

    @property
    def secured_servers(self) -> str:
        """Host and port of the SASL_SSL listener; valid from the first start on."""
        return f"{ports.HOST}:{self._ports.secured}"

    @property
    def pid(self) -> int:
        """The broker's process id."""
        return self._running().pid

    @property
    def rss_mb(self) -> int:
        """The broker's resident memory in MiB."""
        return self._running().rss_mb

    @property
    def cluster_id(self) -> str | None:
        """Kafka's id of this cluster, which lives as long as its data; None before the first start."""
        return storage.cluster_id(self._storage)

    @property
    def alive(self) -> bool:
        """Whether the broker process runs (it may be paused)."""
        return self._child is not None and self._child.alive

    @property
    def _storage(self) -> Path:
        return self.data_dir / "storage"

    def start(self) -> "EmbeddedKafka":
        """Starts the broker, or starts it again after ``stop`` or ``kill``, and returns when it is ready."""
        if self.alive:
            raise LocalKafkaError(f"the broker over {self.data_dir} already runs: {ports.describe(self.pid)}")
        self._prepared = self._prepared or runtime.ensure(self._say)
        try:
            self._owned.take()
            self._format(self._prepared)
            self._bring_up(self._prepared)
        except LocalKafkaError:
            self.kill()
            raise
        except OSError as broken:
            self.kill()
            raise LocalKafkaError(f"the data directory {self.data_dir} cannot be used: {broken}") from broken
        return self

    def wait_ready(self) -> None:
        """Returns when the broker answers clients."""
        self._running().wait_for_line(READY, self._start_timeout_s)

    def stop(self) -> None:
        """Ends the broker in order; its data stays."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends the broker by SIGKILL; its data stays."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Stops and starts on the same port."""
        self.stop()
        self.start()

    def pause(self) -> None:
        """Freezes the broker: connections stay, nothing is answered."""
        self._running().signal(signal.SIGSTOP)

    def unpause(self) -> None:
        """Lets a frozen broker go on."""
        self._running().signal(signal.SIGCONT)

    def __enter__(self) -> "EmbeddedKafka":
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _bring_up(self, prepared: runtime.Runtime, attempts: int = ATTEMPTS) -> None:
        self._ports = self._choose_ports()
        self._spawn(prepared)
        try:
            self.wait_ready()
        except LocalKafkaError as failed:
            self._running().end(signal.SIGKILL, self._stop_timeout_s)
            if PORT_TAKEN not in str(failed) or attempts == 1:
                raise _explained(failed, prepared) from failed
            self._bring_up(prepared, attempts - 1)

    def _spawn(self, prepared: runtime.Runtime) -> None:
        properties = self.data_dir / "server.properties"
        extra = {**(self._secure.settings() if self._secure else {}), **self._settings}
        properties.touch(0o600)  # it may hold the password of a key
        properties.write_text(broker_settings.text(self._storage, self._ports, extra))
        command = prepared.command("kafka.Kafka", str(properties), heap=self._heap)
        self._child = child.start(
            f"Kafka in {self.data_dir}", command, log=self.log_file, cwd=self.data_dir, keep_open=self._owned.to_inherit
        )

    def _format(self, prepared: runtime.Runtime) -> None:
        if self.cluster_id:
            return
        template = prepared.checkpoint
        if self._secure:
            template = self.data_dir / "users.checkpoint"
            storage.checkpoint(prepared, template, [self._secure.scram_clause()])
        storage.format_dir(template, self._storage, storage.new_id())

    def _choose_ports(self) -> Ports:
        saved = broker_settings.saved_ports(self.data_dir / "server.properties") or Ports(0, 0)
        plain = ports.demand(self._wanted) if self._wanted else _same_or_free(saved.plain)
        controller = _same_or_free(saved.controller, plain)
        secured = _same_or_free(saved.secured, plain, controller) if self._secure else 0
        return Ports(plain, controller, secured)

    def _end(self, number: signal.Signals) -> None:
        if self._child:
            self._child.end(number, self._stop_timeout_s)
        self._owned.free()

    def _running(self) -> child.Child:
        if self._child is None:
            raise LocalKafkaError(f"the broker over {self.data_dir} was not started: call start() first")
        return self._child


def _explained(failed: LocalKafkaError, prepared: runtime.Runtime) -> LocalKafkaError:
    """The failure, and the jars in the cache that are to blame when their content is not what was pinned."""
    bad = ", ".join(jar.name for jar in prepared.damaged(deep=True))
    fix = f". Damaged in the cache: {bad}. Fix: delete {prepared.libs} and start again"
    return LocalKafkaError(f"{failed}{fix}") if bad else failed


def _same_or_free(port: int, *taken: int) -> int:
    return port if port and port not in taken and ports.is_free(port) else ports.free(*taken)
