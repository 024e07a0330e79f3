"""What does `streams up` print when everything runs? Where it listens, and the next command to paste."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from streams.local.jars import KAFKA_VERSION
from streams.local.ready import FOLDER

PROVIDERS = {"echo": "free: answers with the prompt"}
PROMPT = "Summarise Kafka in one line"


@dataclass(frozen=True, slots=True)
class Facts:
    """What is told: address of Kafka, whether it is ours, directories, provider, metrics addresses, apps."""

    brokers: str
    own_broker: bool
    home: Path
    cwd: Path
    provider: str
    metrics: Sequence[str]
    apps: Sequence[str]


def banner(facts: Facts, passed: Sequence[str]) -> str:
    """The whole block; ``passed`` are the connection options that the next command needs too."""
    home = shown(facts.home, facts.cwd)
    kafka = f"embedded Apache Kafka {KAFKA_VERSION}, data in {home}/" if facts.own_broker else "yours"
    wide = max(15, len(facts.brokers))
    return "\n".join(
        (
            f"prompt-streams {version('prompt-streams')}",
            f"Kafka      {facts.brokers:<{wide}}   {kafka}   (kcat -b {facts.brokers} -L)",
            f"Provider   {facts.provider:<{wide}}   ({PROVIDERS.get(facts.provider, 'as the settings say')})",
            f"Metrics    {' '.join(facts.metrics)}      Logs {home}/*.log",
            f"Workers    {len(facts.metrics):<{wide}}   {' '.join(facts.apps)}",
            f"Next:      {next_command(facts, passed)}",
            "Stop:      Ctrl-C (data kept)",
        )
    )


def next_command(facts: Facts, passed: Sequence[str]) -> str:
    """A command that finds this installation from a fresh shell in this directory."""
    script = Path("scripts") / "streams"
    program = f"./{script}" if (facts.cwd / script).is_file() else "streams"
    found = facts.own_broker and facts.home == facts.cwd / FOLDER
    options = [] if found else ["-b", facts.brokers, *secured(passed)]
    return " ".join([program, "submit", f'"{PROMPT}"', "--wait", *map(shlex.quote, options)])


def secured(passed: Sequence[str]) -> list[str]:
    """The options for a secured cluster among those passed on to the workers; ``-X`` values may be secrets."""
    pairs = list(pairwise(passed))
    files = [part for option, value in pairs if option == "-F" for part in (option, value)]
    names = [f"{value.partition('=')[0]}=…" for option, value in pairs if option == "-X"]
    return [*files, *(part for name in names for part in ("-X", name))]


def shown(path: Path, cwd: Path) -> str:
    """A path as people write it: relative where it is below the working directory."""
    return str(path.relative_to(cwd)) if path.is_relative_to(cwd) else str(path)
