"""Does the parser of contracts see each breach of their form?"""

import pytest

from scripts.gates.contracts import parse


def doc(guarantees: str = "it holds (tests/unit/test_a.py::test_it_holds_always).", title: str = "# Stage: a") -> str:
    return f"{title}\n\nResponsibility: do it.\nGuarantees: {guarantees}\nNOT Responsible For: the rest.\n"


@pytest.mark.parametrize(
    "said",
    [
        "one\n    (tests/a.py::test_one);\n  two (tests/b/c.py::test_two).",
        "\n- one:\n  tests/a.py::test_one\n- two:\n  tests/b/c.py::test_two",
        "\n    one: tests/a.py::test_one\n    two: tests/b/c.py::test_two",
    ],
)
def test_parse_each_way_of_writing_gives_claims_and_tests(said: str) -> None:
    contract = parse(doc(said))

    assert [("one", "tests/a.py", "test_one"), ("two", "tests/b/c.py", "test_two")] == contract.guarantees
    assert [] == contract.faults


def test_parse_title_of_a_contract_is_its_first_line() -> None:
    assert "# Engine: loop" == parse(doc(title="# Engine: loop")).title


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("must have the lines", ""),
        ("must have the lines", doc().replace("NOT Responsible For:", "Not mine:")),
        ("must have the lines", doc().replace("Responsibility: do it.\n", "")),
        ("must have the lines", doc() + "Responsibility: again\n"),
        ("has 16 lines", doc("\n" * 11 + "a (tests/a.py::test_a)")),
        ("guarantees nothing", doc("")),
        ("without a test of its own: it holds", doc("it holds.")),
        ("without a test of its own: and this", doc("it holds (tests/a.py::test_a); and this.")),
        ("without a test of its own: it; that", doc("it; that (tests/a.py::test_a).")),
        ("without a test of its own: (empty)", doc("tests/a.py::test_a")),
        ("has an empty part", doc().replace("do it.", "")),
        ("has an empty part", doc().replace("the rest.", "")),
    ],
)
def test_parse_contract_with_a_breach_names_it(fault: str, text: str) -> None:
    assert any(fault in found for found in parse(text).faults)
