"""A foreign package named topics is found and named before anything of ours is imported."""

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location

import pytest

from streams.shadow import OURS, refuse_foreign_topics


def foreign(folder):
    """A package named topics that is not ours."""
    package = folder / "topics"
    package.mkdir()
    (package / "__init__.py").write_text("")
    return package


def spec_of(place):
    return lambda name: spec_from_file_location(name, place / "__init__.py", submodule_search_locations=[str(place)])


def refusal(find):
    """The error of a start with what ``find`` finds."""
    with pytest.raises(Exception) as refused:
        refuse_foreign_topics(find)
    return refused.value


def test_our_own_topics_package_is_accepted():
    assert refuse_foreign_topics() is None


@pytest.mark.parametrize("spec", [None, ModuleSpec("topics", None)])
def test_topics_package_found_nowhere_is_left_to_the_import(spec):
    assert refuse_foreign_topics(lambda name: spec) is None


def test_foreign_package_is_named_with_the_fix(tmp_path):
    text = str(refusal(spec_of(foreign(tmp_path))))

    assert f"package topics = '{tmp_path / 'topics'}': rename it, or put {OURS.parent} before it" in text


def test_foreign_module_file_is_named(tmp_path):
    (tmp_path / "topics.py").write_text("")
    error = refusal(lambda name: spec_from_file_location(name, tmp_path / "topics.py"))

    assert str(tmp_path / "topics.py") == error.value


def test_foreign_namespace_folder_is_named(tmp_path):
    spec = ModuleSpec("topics", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]

    assert str(tmp_path) == refusal(lambda name: spec).value


def test_foreign_package_error_is_ours_by_name_and_kind(tmp_path):
    error = refusal(spec_of(foreign(tmp_path)))

    assert ("ForeignTopicsPackage", "foreign_topics_package") == (type(error).__name__, error.kind)


def test_link_to_our_own_package_is_accepted(tmp_path):
    (tmp_path / "topics").symlink_to(OURS)

    assert refuse_foreign_topics(spec_of(tmp_path / "topics")) is None


def test_foreign_package_before_ours_on_the_path_stops_a_real_start(tmp_path):
    foreign(tmp_path)
    path = os.pathsep.join([str(tmp_path), str(OURS.parent)])
    code = "from streams.shadow import refuse_foreign_topics as check; check()"
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (1, True) == (ran.returncode, f"package topics = '{tmp_path / 'topics'}'" in ran.stderr)


def test_shadow_module_imports_nothing_of_ours_itself():
    code = "import sys, streams.shadow; print([name for name in sys.modules if name.startswith('topics')])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=OURS.parent, capture_output=True, text=True, check=True)

    assert "[]\n" == ran.stdout
