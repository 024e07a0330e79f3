"""A cluster of three brokers, the first of which is the controller, too; each can be killed and started again."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from streams.local import broker_settings, ports, runtime, storage
from streams.local.kafka import EmbeddedKafka

COPIES = {"offsets.topic.replication.factor": 3, "default.replication.factor": 3, "min.insync.replicas": 2}


def _follower(directory: Path, number: int, controller: int, cluster: str) -> EmbeddedKafka:
    """A broker that is no controller, formatted for the cluster under its own number."""
    prepared, port = runtime.ensure(lambda _: None), ports.free()
    home = directory / f"broker-{number}"
    storage.format_dir(prepared.checkpoint, home / "storage", cluster)
    meta = home / "storage" / "meta.properties"
    meta.write_text(meta.read_text().replace("node.id=1\n", f"node.id={number}\n"))
    settings = {
        **COPIES,
        "process.roles": "broker",
        "node.id": number,
        "controller.quorum.voters": f"1@{ports.HOST}:{controller}",
        "listeners": f"PLAINTEXT://{ports.HOST}:{port}",
    }
    return EmbeddedKafka(home, port, prepared=prepared, settings=settings)


@contextmanager
def three_brokers(directory: Path) -> Iterator[list[EmbeddedKafka]]:
    """Started, in the order of their numbers."""
    with ExitStack() as stack:
        first = stack.enter_context(EmbeddedKafka(directory / "broker-1", settings=COPIES))
        saved = broker_settings.saved_ports(directory / "broker-1" / "server.properties")
        assert saved is not None
        assert first.cluster_id is not None
        rest = [_follower(directory, number, saved.controller, first.cluster_id) for number in (2, 3)]
        yield [first, *(stack.enter_context(broker) for broker in rest)]
