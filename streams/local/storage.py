"""What does an empty broker directory hold? Two small files, written from a template without starting a JVM."""

import base64
import re
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from streams.local.java import Runtime
from topics.errors import LocalKafkaError

_ANY = """process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:9
listeners=PLAINTEXT://127.0.0.1:8,CONTROLLER://127.0.0.1:9
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
"""


def new_id() -> str:
    """A random id in Kafka's form: 22 characters, no leading dash."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")


def cluster_id(storage: Path) -> str | None:
    """The cluster that a storage directory belongs to, or None when it is empty."""
    meta = storage / "meta.properties"
    lines = meta.read_text().splitlines() if meta.exists() else []
    return next((line.partition("=")[2] for line in lines if line.startswith("cluster.id=")), None)


def checkpoint(runtime: Runtime, into: Path, users: Sequence[str] = ()) -> None:
    """Has Kafka's own tool format a directory and keeps its checkpoint: feature levels, and users as SCRAM clauses."""
    with tempfile.TemporaryDirectory(prefix="kafka-format-") as scratch:
        settings, arguments = Path(scratch, "server.properties"), Path(scratch, "arguments")
        settings.write_text(f"{_ANY}log.dirs={scratch}/storage\n")
        # Read from a file by the tool, so that no password shows in the process list.
        arguments.write_text("\n".join(["format", "-t", new_id(), "-c", str(settings), *_scram(users)]))
        arguments.chmod(0o600)
        command = runtime.command("kafka.tools.StorageTool", f"@{arguments}")
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        made = Path(scratch, "storage", "bootstrap.checkpoint")
        if result.returncode or not made.exists():
            raise LocalKafkaError(
                f"Kafka could not format a storage directory: {_end_of(result)}. Cache: {runtime.root}"
            )
        shutil.copy(made, into.with_suffix(".part"))
    into.with_suffix(".part").replace(into)


def format_dir(template: Path, storage: Path, cluster: str) -> None:
    """Makes ``storage`` a broker's directory; one that is formatted already stays as it is."""
    meta = storage / "meta.properties"
    if meta.exists():
        return
    storage.mkdir(parents=True, exist_ok=True)
    shutil.copy(template, storage / "bootstrap.checkpoint")
    part = storage / "meta.part"
    part.write_text(f"version=1\ncluster.id={cluster}\nnode.id=1\ndirectory.id={new_id()}\n")
    part.replace(meta)


def _scram(users: Sequence[str]) -> list[str]:
    return [word for clause in users for word in ("--add-scram", clause)]


def _end_of(result: "subprocess.CompletedProcess[str]") -> str:
    said = re.sub(r"password=[^,\]\s]*", "password=***", (result.stdout + result.stderr).strip())
    return said[-600:] or f"exit code {result.returncode}, no output"
