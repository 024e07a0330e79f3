"""Which jars make the broker, are they whole, and how do they get here? Only files with the pinned digest are used."""

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from topics.errors import LocalKafkaError

KAFKA_VERSION = "4.3.1"
DOWNLOADS_AT_ONCE = 8
# The JVM's start-up cache is valid only for jars of the same size and time, so a repaired jar gets the same time again.
FIXED_TIME_S = 1_767_225_600

Download = Callable[["Jar", Path], Path]


@dataclass(frozen=True, slots=True)
class Jar:
    """One pinned artifact; ``coordinate`` is group:artifact:version."""

    coordinate: str
    size: int
    sha256: str

    @property
    def name(self) -> str:
        """The file name in the cache."""
        return "-".join(self.coordinate.split(":")[1:]) + ".jar"


def pinned() -> tuple[Jar, ...]:
    """Every jar of the broker, as pinned in ``kafka-jars.txt``."""
    text = resources.files("streams.local").joinpath("kafka-jars.txt").read_text()
    rows = (line.split() for line in text.splitlines() if not line.startswith("#"))
    return tuple(Jar(coordinate, int(size), digest) for coordinate, size, digest in rows)


def damaged(libs: Path, jars: Iterable[Jar], *, deep: bool = False) -> tuple[Jar, ...]:
    """The jars that are missing or differ: by size, with ``deep`` by content too."""
    return tuple(jar for jar in jars if not _whole(libs / jar.name, jar, deep=deep))


def _whole(path: Path, jar: Jar, *, deep: bool) -> bool:
    if not path.is_file() or path.stat().st_size != jar.size:
        return False
    return not deep or hashlib.sha256(path.read_bytes()).hexdigest() == jar.sha256


def fetch(libs: Path, jars: Iterable[Jar], download: Download | None = None) -> None:
    """Puts the jars into ``libs``; each appears there whole or not at all."""
    libs.mkdir(parents=True, exist_ok=True)
    scratch = libs.parent / "download"
    shutil.rmtree(scratch, ignore_errors=True)  # what a killed download left is of unknown worth
    with ThreadPoolExecutor(DOWNLOADS_AT_ONCE) as pool:
        running = [pool.submit(_fetch_one, libs, jar, download or _from_maven, scratch) for jar in jars]
        try:
            for one in running:
                one.result()
        finally:
            pool.shutdown(cancel_futures=True)
    shutil.rmtree(scratch, ignore_errors=True)


def _fetch_one(libs: Path, jar: Jar, download: Download, scratch: Path) -> None:
    try:
        got = download(jar, scratch)
    except LocalKafkaError:
        raise
    except Exception as broken:
        raise _unavailable(jar, libs.parent, f"{type(broken).__name__}: {_without_secrets(str(broken))}") from broken
    if not _whole(got, jar, deep=True):
        raise _unavailable(jar, libs.parent, "what arrived is not the pinned file (size or SHA-256 differs)")
    os.utime(got, (FIXED_TIME_S, FIXED_TIME_S))
    got.replace(libs / jar.name)


def _from_maven(jar: Jar, scratch: Path) -> Path:
    try:
        from jgo.maven import MavenContext
    except ImportError as absent:
        raise LocalKafkaError("jgo is not installed: pip install 'prompt-streams[local]'") from absent
    group, artifact, version = jar.coordinate.split(":")
    context = MavenContext(repo_cache=scratch)
    return Path(context.project(group, artifact).at_version(version).artifact().resolve())


def _unavailable(jar: Jar, cache: Path, reason: str) -> LocalKafkaError:
    return LocalKafkaError(
        f"the embedded Kafka needs {jar.coordinate}, which could not be downloaded ({reason}). Cache: {cache}. "
        "Fix: run again with a working network (a proxy is taken from https_proxy), copy the cache from another "
        "machine, or name a running cluster with --brokers"
    )


def _without_secrets(text: str) -> str:
    return re.sub(r"//[^/@\s]*@", "//***@", text)[:300]
