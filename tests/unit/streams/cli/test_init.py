"""The entry point: refuses a foreign `topics` package before anything of ours is imported, and exits with the code."""

import os
import subprocess
import sys

import pytest

from streams.cli import main


def python(*arguments, cwd, path=None):
    env = {**os.environ, **({"PYTHONPATH": str(path)} if path else {})}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("arguments", "code"), [(["--help"], 0), (["nix"], 2), (["config", "schema"], 0)])
def test_main_exits_with_the_code_of_the_command(monkeypatch, arguments, code, capsys):
    monkeypatch.setattr("sys.argv", ["streams", *arguments])

    with pytest.raises(SystemExit) as ended:
        main()

    assert code == ended.value.code


def test_foreign_topics_package_is_named_instead_of_a_traceback(tmp_path):
    (tmp_path / "topics.py").write_text("")
    ran = python("-m", "streams", "--help", cwd="/", path=tmp_path)

    assert 2 == ran.returncode
    assert ran.stderr.startswith(f"error: package topics = '{tmp_path / 'topics.py'}'")


def test_module_run_as_a_program_is_the_command_line(tmp_path):
    ran = python("-P", "-m", "streams", "--help", cwd=tmp_path)

    assert 0 == ran.returncode
    assert "submit" in ran.stdout
