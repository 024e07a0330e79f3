"""Why do later starts take half the time? One training run leaves the JVM's classes as they are needed at start."""

import signal
import tempfile
from collections.abc import Callable
from pathlib import Path

from streams.local import broker_settings, child, ports, storage
from streams.local.java import Runtime
from topics.errors import LocalKafkaError

READY = "Kafka Server started"
START_S, STOP_S = 60.0, 120.0


def train(runtime: Runtime, say: Callable[[str], None]) -> None:
    """Starts and stops a broker once; without success later starts are slower, which is said and is no error."""
    part = runtime.start_up_cache.with_suffix(".part")
    try:
        _run(runtime, part)
    except LocalKafkaError as failed:
        say(f"the start-up cache could not be trained, starts stay slower: {failed}")
    if not part.exists():
        part.touch()  # an empty file: tried, and not to be tried at each start
    part.replace(runtime.start_up_cache)


def _run(runtime: Runtime, part: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="kafka-training-") as scratch:
        home = Path(scratch)
        plain = ports.free()
        chosen = broker_settings.Ports(plain, ports.free(plain))
        storage.format_dir(runtime.checkpoint, home / "storage", storage.new_id())
        properties = home / "server.properties"
        properties.write_text(broker_settings.text(home / "storage", chosen, {}))
        command = runtime.command("kafka.Kafka", str(properties), jvm=(f"-XX:AOTCacheOutput={part}",))
        broker = child.start("the training broker", command, log=home / "broker.log", cwd=home)
        try:
            broker.wait_for_line(READY, START_S)
        finally:
            broker.end(signal.SIGTERM, STOP_S)
