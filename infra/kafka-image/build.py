"""Builds ``apache/kafka`` where no image registry answers: glibc of this host, busybox, the JRE wheel, Kafka's jars.

One tar file, imported as an image. It keeps the official image's contract as far as this project uses it (see run.sh).
Run: ``python infra/kafka-image/build.py`` from the environment of the project.
"""

import io
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import docker

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from streams.local import jars, java, runtime  # noqa: E402 - run as a script, the project is not installed everywhere

TAG = f"apache/kafka:{jars.KAFKA_VERSION}"
APPUSER = 1000
APPLETS = [
    *("sh", "awk", "sed", "cat", "cp", "mv", "mkdir", "ls", "tr", "tail", "head", "cut", "grep", "printf", "base64"),
    *("echo", "env", "id", "hostname", "sleep", "kill", "ps", "rm", "chmod", "chown", "touch", "find", "test", "["),
    *("date", "ip", "nc", "netstat", "df", "du", "wc", "sort", "uniq", "xargs"),
]
NOT_NEEDED = re.compile(r"awt|font|jsound|lcms|mlib|splash|javajpeg|freetype|classes\.jsa|^man/")
OF_APPUSER = (
    "opt/kafka/config", "var/lib/kafka", "var/lib/kafka/data", "mnt/shared/config", "etc/kafka/secrets", "home/appuser",
)  # fmt: skip
CHANGES = [
    'CMD ["/etc/kafka/docker/run"]',
    "USER appuser",
    "WORKDIR /",
    "EXPOSE 9092",
    "ENV PATH=/opt/java/bin:/bin:/usr/bin",
    "LABEL prompt-streams.local-build=true",
    'VOLUME ["/var/lib/kafka/data"]',
]


class Tree:
    """A root file system being written into a tar; parents come by themselves."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar, self._made = tar, {PurePosixPath(".")}
        self._write(self._entry("./", kind=tarfile.DIRTYPE, mode=0o755))

    def directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        self._parents(path)
        self._made.add(PurePosixPath(path))
        self._write(self._entry(path, kind=tarfile.DIRTYPE, mode=mode, owner=owner))

    def text(self, path: str, content: str, mode: int = 0o644) -> None:
        self._parents(path)
        data = content.encode()
        self._write(self._entry(path, mode=mode, size=len(data)), io.BytesIO(data))

    def link(self, path: str, target: str) -> None:
        self._parents(path)
        entry = self._entry(path, kind=tarfile.SYMTYPE, mode=0o777)
        entry.linkname = target
        self._write(entry)

    def file(self, path: str, source: Path) -> None:
        """Copies a file with its mode and time (the start-up cache is valid only for jars of the same time)."""
        self._parents(path)
        entry = self._tar.gettarinfo(str(source.resolve()), path)
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        with source.open("rb") as content:
            self._write(entry, content)

    def _parents(self, path: str) -> None:
        for parent in reversed(PurePosixPath(path).parents):
            if parent not in self._made:
                self._made.add(parent)
                self._write(self._entry(str(parent), kind=tarfile.DIRTYPE, mode=0o755))

    @staticmethod
    def _entry(
        path: str, *, kind: bytes = tarfile.REGTYPE, mode: int, owner: int = 0, size: int = 0
    ) -> tarfile.TarInfo:
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.uid, entry.gid, entry.size = kind, mode, owner, owner, size
        return entry

    def _write(self, entry: tarfile.TarInfo, content: io.IOBase | None = None) -> None:
        self._tar.addfile(entry, content)


def build() -> str:
    """Builds and imports the image; returns its name and size."""
    prepared = runtime.ensure(lambda line: print(f"[kafka-image] {line}", flush=True))
    with tempfile.TemporaryDirectory(prefix="kafka-image-") as scratch:
        archive = Path(scratch, "rootfs.tar")
        with tarfile.open(archive, "w") as tar:
            fill(Tree(tar), prepared, busybox(Path(scratch)))
        return import_image(archive)


def import_image(archive: Path) -> str:
    client = docker.from_env(timeout=300)
    try:
        name, _, tag = TAG.partition(":")
        client.api.import_image_from_file(str(archive), repository=name, tag=tag, changes=CHANGES)
        return f"{TAG}, {client.images.get(TAG).attrs['Size'] / 1e6:.0f} MB"
    finally:
        client.close()


def fill(tree: Tree, prepared: runtime.Runtime, shell: Path) -> None:
    """The whole root file system."""
    jre = prepared.java.parent.parent
    for path in ("proc", "sys", "dev", "root"):
        tree.directory(path)
    tree.directory("tmp", 0o1777)
    for path in OF_APPUSER:
        tree.directory(path, owner=APPUSER)
    add_shell(tree, shell)
    for library in sorted(shared_libraries(jre)):
        tree.file(library.lstrip("/"), Path(library))
    for path in sorted(p for p in jre.rglob("*") if p.is_file() and not NOT_NEEDED.search(str(p.relative_to(jre)))):
        tree.file(f"opt/java/{path.relative_to(jre)}", path)
    add_kafka(tree, prepared)
    add_accounts(tree)


def add_shell(tree: Tree, shell: Path) -> None:
    tree.file("bin/busybox", shell)
    for applet in APPLETS:
        tree.link(f"bin/{applet}", "busybox")
    tree.link("usr/bin/env", "/bin/busybox")
    tree.text("bin/bash", '#!/bin/busybox sh\nexec /bin/busybox sh "$@"\n', 0o755)


def add_kafka(tree: Tree, prepared: runtime.Runtime) -> None:
    for jar in jars.pinned():
        tree.file(f"opt/kafka/libs/{jar.name}", prepared.libs / jar.name)
    tree.file("opt/kafka/bootstrap.checkpoint", prepared.checkpoint)
    tree.file("opt/kafka/start-up.aot", prepared.start_up_cache)
    tree.text("etc/kafka/docker/server.properties", (HERE / "server.properties").read_text())
    tree.text("etc/kafka/docker/run", run_script(), 0o755)


def add_accounts(tree: Tree) -> None:
    tree.text("etc/passwd", f"root:x:0:0::/root:/bin/sh\nappuser:x:{APPUSER}:{APPUSER}::/home/appuser:/bin/sh\n")
    tree.text("etc/group", f"root:x:0:\nappuser:x:{APPUSER}:\n")
    tree.text("etc/nsswitch.conf", "hosts: files dns\n")


def run_script() -> str:
    """run.sh with this project's JVM flags and the class path in the order of the training run."""
    fills = {
        "@JVM@": " ".join([*java.JVM, "-XX:AOTCache=/opt/kafka/start-up.aot"]),
        "@LOG@": " ".join(f"'{flag}'" for flag in java.LOG),
        "@CLASSPATH@": ":".join(f"/opt/kafka/libs/{jar.name}" for jar in jars.pinned()),
    }
    script = (HERE / "run.sh").read_text()
    head, _, last = script.rpartition("exec ")  # the comment at the top names the marks, too
    for mark, value in fills.items():
        last = last.replace(mark, value)
    return f"{head}exec {last}"


def shared_libraries(jre: Path) -> set[str]:
    """The host's libraries that the JVM is linked with."""
    return {path for elf in _programs(jre) for path in _linked(elf) if not Path(path).is_relative_to(jre)}


def _programs(jre: Path) -> Iterator[Path]:
    yield from (jre / "bin/java", jre / "lib/server/libjvm.so")
    for name in ("net", "nio", "zip", "jimage", "java", "verify", "management"):
        yield from jre.glob(f"lib/lib{name}*.so")


def _linked(elf: Path) -> list[str]:
    listing = subprocess.run(["ldd", str(elf)], capture_output=True, text=True, check=True).stdout
    return [path for path in re.findall(r"(/\S+)", listing) if "vdso" not in path and "java-runtime" not in path]


def busybox(scratch: Path) -> Path:
    """A statically linked busybox: this host's, else from its package (which holds two files of that name)."""
    found = shutil.which("busybox")
    if found and subprocess.run(["ldd", found], capture_output=True, check=False).returncode:
        return Path(found)
    subprocess.run(["apt-get", "download", "-q", "busybox-static"], cwd=scratch, check=True, capture_output=True)
    subprocess.run(["dpkg-deb", "-x", str(next(scratch.glob("*.deb"))), str(scratch / "x")], check=True)
    return next(path for path in (scratch / "x").rglob("bin/busybox") if path.is_file())


if __name__ == "__main__":
    began = time.monotonic()
    print(f"[kafka-image] {build()}, {time.monotonic() - began:.1f} s")
