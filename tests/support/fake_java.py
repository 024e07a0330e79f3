"""A ``java`` that is a shell script: formats, trains and "runs Kafka" in milliseconds, or fails as told."""

from pathlib import Path

from streams.local.jars import Jar
from streams.local.java import Runtime

READY_LINE = "echo 'Kafka Server started'"
RUNS = f"{READY_LINE}; while :; do sleep 0.02; done"
FORMATS = """storage=$(sed -n 's/^log.dirs=//p' "$(sed -n '5p' "$arguments")"); mkdir -p "$storage"
cp "$arguments" "$storage/bootstrap.checkpoint" """

_SCRIPT = """#!/bin/sh
for word in "$@"; do
  case "$word" in
    -XX:AOTCacheOutput=*) trained=${{word#*=}} ;;
    @*) arguments=${{word#@}} ;;
  esac
done
case "$*" in
*StorageTool*)
  {formats}
  ;;
*kafka.Kafka*)
  trap '[ -z "$trained" ] || echo classes > "$trained"; exit 143' TERM
  {runs}
  ;;
esac
"""


def fake_java(folder: Path, *, runs: str = RUNS, formats: str = FORMATS) -> Path:
    """The program's path. ``runs`` and ``formats`` are what it does as broker and as format tool, in shell."""
    program = folder / "jre" / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(_SCRIPT.format(runs=runs, formats=formats))
    program.chmod(0o755)
    return program


def fake_runtime(folder: Path, *, runs: str = RUNS, jars: tuple[Jar, ...] = ()) -> Runtime:
    """A prepared runtime over a fake Java."""
    runtime = Runtime(fake_java(folder, runs=runs), folder / "cache", jars)
    runtime.libs.mkdir(parents=True, exist_ok=True)
    runtime.checkpoint.write_text("an empty cluster")
    return runtime
