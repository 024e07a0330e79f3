"""Prints a new ``streams/local/kafka-jars.txt``: every jar that a Kafka version needs, with size and SHA-256.

Run: ``python infra/pin_kafka_jars.py 4.3.1 > streams/local/kafka-jars.txt``, then set ``KAFKA_VERSION`` in
``streams/local/jars.py`` and build the image anew. One log binding comes with it: without any, Kafka logs nothing;
other bindings than this one pull Kafka's own jars to other versions.
"""

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver
from jgo.parse import Coordinate

BINDING = "org.slf4j:slf4j-simple:1.7.36"


def main(version: str) -> None:
    with tempfile.TemporaryDirectory(prefix="kafka-jars-") as scratch:
        resolver = PythonResolver()
        context = MavenContext(repo_cache=Path(scratch), resolver=resolver)
        wanted = (f"org.apache.kafka:kafka_2.13:{version}", BINDING)
        inputs, others = resolver.resolve([context.create_dependency(Coordinate.parse(one)) for one in wanted])
        artifacts = [dependency.artifact for dependency in inputs + others]
        with ThreadPoolExecutor(8) as pool:
            paths = pool.map(lambda artifact: artifact.resolve(), artifacts)
        rows = [line(artifact, path) for artifact, path in zip(artifacts, paths, strict=True)]
    print(f"# Apache Kafka {version} (broker and controller) and one log binding: coordinate, bytes, SHA-256.")
    print(*sorted(rows), sep="\n")


def line(artifact: object, path: Path) -> str:
    content = path.read_bytes()
    coordinate = f"{artifact.groupId}:{artifact.artifactId}:{artifact.version}"  # type: ignore[attr-defined] # jgo's
    return f"{coordinate} {len(content)} {hashlib.sha256(content).hexdigest()}"


if __name__ == "__main__":
    main(sys.argv[1])
