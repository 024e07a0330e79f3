"""Is everything here that a broker needs? If not: prepare it once, under one lock, one line said per step."""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from streams.local import jars, java, locks, storage, training
from streams.local.java import Runtime
from topics.errors import LocalKafkaError

__all__ = ["Runtime", "cache_root", "ensure"]

Step = tuple[str, Callable[[], None]]


def cache_root(env: Mapping[str, str] = os.environ) -> Path:
    """Where prepared runtimes are kept: ``STREAMS_CACHE``, else below ``XDG_CACHE_HOME`` or ``~/.cache``."""
    if own := env.get("STREAMS_CACHE"):
        return Path(own).absolute()
    home = env.get("HOME") or Path.home()
    return Path(env.get("XDG_CACHE_HOME") or Path(home, ".cache")).absolute() / "prompt-streams"


def ensure(
    say: Callable[[str], None],
    *,
    cache: Path | None = None,
    program: Path | None = None,
    download: jars.Download | None = None,
    wanted: tuple[jars.Jar, ...] | None = None,
) -> Runtime:
    """The runtime, prepared if need be; ``LocalKafkaError`` names what could not be had, the cache and the fix."""
    root = (cache or cache_root()) / f"kafka-{jars.KAFKA_VERSION}"
    runtime = Runtime(program or java.find(), root, wanted or jars.pinned())
    try:
        if next(_missing(runtime, say, download), None) is not None:
            _prepare(runtime, say, download)
    except OSError as broken:
        raise LocalKafkaError(
            f"the cache {root} cannot be used: {broken}. Fix: set STREAMS_CACHE to a directory that can be written"
        ) from broken
    return runtime


def _prepare(runtime: Runtime, say: Callable[[str], None], download: jars.Download | None) -> None:
    waiting = f"another process is preparing Kafka in {runtime.root}: waiting for it"
    with locks.turn(runtime.root / "lock", lambda: say(waiting)):
        for line, step in _missing(runtime, say, download):
            say(line)
            step()


def _missing(runtime: Runtime, say: Callable[[str], None], download: jars.Download | None) -> Iterator[Step]:
    """The steps that are not done yet; each is looked at only after the one before ran."""
    if absent := runtime.damaged():
        yield _jars_line(runtime, absent), lambda: jars.fetch(runtime.libs, absent, download)
    if not runtime.checkpoint.exists():
        yield "preparing an empty Kafka storage", lambda: storage.checkpoint(runtime, runtime.checkpoint)
    if not runtime.start_up_cache.exists():
        yield "training the start-up cache (once, about 10 s)", lambda: training.train(runtime, say)


def _jars_line(runtime: Runtime, absent: tuple[jars.Jar, ...]) -> str:
    size = sum(jar.size for jar in absent) / 1e6
    which = f"{len(absent)} jars" if len(absent) > 3 else ", ".join(jar.name for jar in absent)
    return f"downloading Apache Kafka {jars.KAFKA_VERSION}: {which}, {size:.0f} MB, into {runtime.root}"
