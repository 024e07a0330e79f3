"""Does the README show what there is: the flow, commands that parse, links that lead somewhere?"""

import importlib
import importlib.util
import re
import shlex
from pathlib import Path

import pytest

from streams import pipeline
from streams.settings import Settings, load
from streams.settings.layers import FILE
from tests.support.commands import Ran, run_at
from tests.support.tree import ROOT, name_of, project_files
from topics.catalog import CATALOG

README = (ROOT / "README.md").read_text("utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
LINK = re.compile(r"\]\(([^)#\s]+)")
FLOW_WIDTH = 80
LONGEST_GUIDE = 150
PAPERS = [path for path in project_files() if path.suffix == ".md"]


def blocks(language: str) -> list[str]:
    return [text for kind, text in FENCE.findall(README) if kind == language]


def shell_lines() -> list[str]:
    """Lines of the shell blocks without their comments, and one-line commands in the running text."""
    inside = [line.partition(" #")[0].strip() for block in blocks("sh") for line in block.splitlines()]
    return [line for line in [*inside, *INLINE.findall(README)] if line]


def commands() -> list[list[str]]:
    """Each simple command of the README, its pipes taken apart."""
    return [shlex.split(part) for line in shell_lines() for part in re.split(r"\s\|\s", line) if is_command(part)]


def is_command(text: str) -> bool:
    return text.startswith(("./scripts/", "streams ", "kcat ", ".venv/bin/python -m ", "python -m "))


def ours() -> list[list[str]]:
    """Arguments of each `streams …` command, however it is started."""
    starts = {"streams", "./scripts/streams"}
    return [words[1:] for words in commands() if words[0] in starts]


def modules() -> list[str]:
    return [words[words.index("-m") + 1] for words in commands() if words[0].endswith("python")]


def parsed(arguments: list[str]) -> Ran:
    """The command with `--help`: options and arguments before it must be known, and nothing runs."""
    from streams.cli.connect import Outside

    return run_at([*arguments, "--help"], Outside({}, ROOT))


# -- the picture


def test_flow_in_the_readme_is_that_of_the_pipeline() -> None:
    pictures = blocks("text")

    assert [pipeline.flow(pipeline.stages(Settings()), FLOW_WIDTH) + "\n"] == pictures


def test_topics_in_the_picture_are_of_the_catalog() -> None:
    words = set(re.findall(r"[a-z-]+(?:\.<lane>)?", blocks("text")[0]))
    known = {name.partition(".")[0] for name in CATALOG} | {"assembled.<lane>"}
    parts = {stage.name for stage in pipeline.stages(Settings())} | {"answers", "requests"}

    assert words - known - parts == {"any", "stage", "table", "each", "call", "not", "now", "tier"}


# -- commands


def test_readme_names_commands_of_each_kind() -> None:
    """What is checked below is there to be checked."""
    first = {words[0] for words in commands()}

    assert {"./scripts/up.sh", "./scripts/test.sh", "./scripts/streams", "streams", "kcat"} <= first
    assert ours()
    assert modules()


@pytest.mark.parametrize("arguments", ours(), ids=" ".join)
def test_command_of_ours_in_the_readme_parses(arguments: list[str]) -> None:
    ran = parsed(arguments)

    assert (0, "") == (ran.code, ran.err)
    assert "Usage: streams" in ran.out


def test_command_that_is_not_ours_would_be_found() -> None:
    assert 0 != parsed(["sumbit", "hello"]).code
    assert 0 != parsed(["submit", "hello", "--wiat"]).code


@pytest.mark.parametrize("module", sorted(set(modules())))
def test_module_that_the_readme_starts_exists(module: str) -> None:
    found = importlib.util.find_spec(module)

    assert found is not None
    assert '__name__ == "__main__"' in Path(str(found.origin)).read_text("utf-8")


@pytest.mark.parametrize("script", sorted({words[0] for words in commands() if words[0].startswith("./")}))
def test_script_that_the_readme_starts_is_executable(script: str) -> None:
    path = ROOT / script

    assert path.is_file()
    assert path.stat().st_mode & 0o100


@pytest.mark.parametrize("topic", ["prompts", "results"])
def test_topics_that_the_readme_gives_to_kcat_are_public(topic: str) -> None:
    used = {words[words.index("-t") + 1] for words in commands() if words[0] == "kcat"}

    assert topic in used
    assert CATALOG[topic].public


# -- links and length


@pytest.mark.parametrize("path", PAPERS, ids=name_of)
def test_relative_links_of_each_paper_lead_to_a_file(path: Path) -> None:
    links = [link for link in LINK.findall(path.read_text("utf-8")) if "://" not in link]

    assert [] == [link for link in links if not (path.parent / link).exists()]


def test_links_of_the_readme_are_seen_by_this_test() -> None:
    assert {"ROADMAP.md", "CLAUDE.md", "streams/pipeline.py"} <= set(LINK.findall(README))


def test_guide_for_contributors_has_at_most_150_lines() -> None:
    assert len((ROOT / "CLAUDE.md").read_text("utf-8").splitlines()) <= LONGEST_GUIDE


def test_features_refused_by_the_readme_are_those_of_the_door() -> None:
    from streams.decisions.limits import FEATURES

    [line] = [line for line in README.splitlines() if line.startswith("Refused today, by name:")]
    told = {word.partition(":")[0] for word in INLINE.findall(line)}

    assert set(FEATURES) == told


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda text: text.split()[0])
def test_configuration_in_the_readme_loads(block: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(block)
    loaded = load({}, {}, tmp_path)

    assert "openai" == loaded.settings.provider.kind


@pytest.mark.parametrize("name", ["Client"])
def test_name_that_the_readme_imports_is_exported(name: str) -> None:
    assert f"from streams import {name}" in README
    assert hasattr(importlib.import_module("streams"), name)


@pytest.mark.parametrize("stage", [stage.name for stage in pipeline.stages(Settings())])
def test_each_stage_has_its_row_in_the_readme(stage: str) -> None:
    rows = [line for line in README.splitlines() if line.startswith("| ")]

    assert any(f"`{stage}`" in row.split("|")[1] for row in rows)


@pytest.mark.parametrize(
    ("documented", "setting"),
    [
        ("providers `echo` (free)", ("provider", "kind", "echo")),
        ("at most 256 calls at once", ("infer", "in_flight", 256)),
        ("kcat -b 127.0.0.1:19092 -t prompts", ("names", "prefix", "")),
        ("kcat -b 127.0.0.1:19092 -t results", ("names", "prefix", "")),
    ],
)
def test_defaults_that_the_readme_tells_are_those_of_an_empty_configuration(
    documented: str, setting: tuple[str, str, object]
) -> None:
    """B92"""
    section, name, value = setting

    assert documented in README
    assert value == getattr(getattr(Settings(), section), name)
