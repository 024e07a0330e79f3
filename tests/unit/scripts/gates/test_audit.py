"""Is silence of the advisory service told from a clean result?"""

import json

import pytest

from scripts.gates import audit

CLEAN = {"name": "a", "version": "1", "vulns": []}
BAD = {"name": "b", "version": "2", "vulns": [{"id": "X-1"}, {"id": "X-2"}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


def text(*dependencies: dict[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


@pytest.mark.parametrize(
    ("expected", "output"),
    [
        (audit.Audit(1, [], []), text(CLEAN)),
        (audit.Audit(2, ["c"], ["b 2: X-1", "b 2: X-2"]), text(CLEAN, BAD, UNKNOWN)),
        (audit.Audit(0, ["c"], []), text(UNKNOWN)),
        (audit.Audit(0, [], []), ""),
        (audit.Audit(0, [], []), "[]"),
        (audit.Audit(0, [], []), "{}"),
    ],
)
def test_read_output_of_each_kind_gives_its_counts(expected: audit.Audit, output: str) -> None:
    assert expected == audit.read(output)


@pytest.mark.parametrize("output", ["", text(UNKNOWN)])
def test_main_without_an_answer_says_not_audited_and_passes(output: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == audit.main(output)
    assert "NOT audited" in capsys.readouterr().out


def test_main_with_a_vulnerability_names_it_and_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == audit.main(text(CLEAN, BAD, UNKNOWN))
    assert "b 2: X-1" in capsys.readouterr().out
