"""How dead letters are chosen and shown on the command line."""

import io

import pytest

from streams.cli import letters, show
from streams.decisions.letters import Wanted
from tests.support.builders import NOW_MS
from tests.support.letters import letter
from topics.errors import ConfigurationError


def grouped(*stated):
    return letters.rows(stated, each=False)


def test_options_that_were_not_given_mean_every_letter():
    assert Wanted() == letters.wanted()


def test_options_that_were_given_are_conditions():
    meant = letters.wanted(["a", "3/1"], "k", "s", "c", "f0")

    assert Wanted(frozenset({"a", "3/1"}), "k", "s", "c", "f0") == meant


def test_ages_that_were_given_count_from_now():
    before = letters.now_ms()
    meant = letters.wanted(older_than="1m", newer_than="2m")

    assert 60_000 == meant.before_ms - meant.after_ms
    assert before - 60_000 <= meant.before_ms <= letters.now_ms() - 60_000


@pytest.mark.parametrize("option", ["older_than", "newer_than"])
def test_age_that_is_none_names_its_option(option):
    with pytest.raises(ConfigurationError, match="--" + option.replace("_", "-")):
        letters.wanted(**{option: "soon"})


def test_group_has_the_first_and_last_time_and_the_newest_with_its_message():
    [row] = grouped(
        (letter(offset=1, at_ms=NOW_MS + 1, message="try 1"), "open"),
        (letter(offset=2, at_ms=NOW_MS + 2, message="try 2"), "open"),
        (letter(offset=0, at_ms=NOW_MS, message="try 0"), "open"),
    )

    times = ("2026-01-31T12:00:00.000Z", "2026-01-31T12:00:00.002Z")
    assert (3, times, "3/2", "try 2") == (row["count"], (row["first"], row["last"]), row["newest"], row["message"])


@pytest.mark.parametrize(
    ("others", "groups"),
    [
        ({"state": "open"}, 1),
        ({"state": "redriven"}, 2),
        ({"kind": "other"}, 2),
        ({"disposition": "permanent"}, 2),
        ({"request_id": "b"}, 1),
    ],
)
def test_groups_are_of_one_cause_disposition_and_state(others, groups):
    state = others.pop("state", "open")

    assert groups == len(grouped((letter(), "open"), (letter(**others), state)))


def test_groups_stand_by_size_and_then_by_name():
    stated = [(letter(kind=kind), "open") for kind in ("b", "c", "a", "c")]

    assert ["c", "a", "b"] == [row["kind"] for row in grouped(*stated)]


def test_letters_one_by_one_stand_in_their_order():
    rows = letters.rows([(letter(offset=2), "open"), (letter(offset=1), "to send")], each=True)

    assert [("3/2", "open"), ("3/1", "to send")] == [(row["place"], row["state"]) for row in rows]


@pytest.mark.parametrize(("each", "columns"), [(False, letters.GROUPED), (True, letters.EACH)])
def test_table_of_letters_has_its_columns(each, columns, capsys):
    letters.table(letters.rows([(letter(), "open")], each), each, show.Format.table)

    assert [name.upper() for name in columns] == capsys.readouterr().out.splitlines()[0].split()


def test_columns_of_a_table_are_fields_of_its_rows():
    pairs = [(letter(), "open")]

    assert [True, True] == [
        set(columns) <= set(letters.rows(pairs, each)[0])
        for each, columns in ((False, letters.GROUPED), (True, letters.EACH))
    ]


def test_table_on_a_terminal_shows_the_same():
    out = io.StringIO()
    show.rows(letters.rows([(letter(), "open")], True), show.Format.jsonl, letters.EACH, out)

    assert '"fingerprint": "' + letter().fingerprint in out.getvalue()
