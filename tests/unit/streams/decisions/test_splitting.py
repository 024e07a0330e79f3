"""Where texts are cut, and how their parts are called (B146)."""

import pytest

from streams.decisions import splitting


@pytest.mark.parametrize(
    ("text", "most", "parts"),
    [
        ("", 5, ()),
        (" \n\n ", 5, ()),
        ("one", 5, ("one",)),
        ("  one \n", 3, ("one",)),
        ("one\n\ntwo", 8, ("one\n\ntwo",)),
        ("one\n\ntwo", 7, ("one", "two")),
        ("one\n \t\n\n\ntwo", 8, ("one\n\ntwo",)),
        ("a\n\nb\n\nc", 4, ("a\n\nb", "c")),
        ("line one\nline two\n\nend", 9, ("line one", "line two", "end")),
        ("First one. Second one. Third.", 12, ("First one.", "Second one.", "Third.")),
        ("日本。 東京！ 大阪", 4, ("日本。", "東京！", "大阪")),
        ("aa bb cc dd", 5, ("aa bb", "cc dd")),
        ("abcdefgh", 3, ("abc", "def", "gh")),
        ("ab abcdefgh ij", 4, ("ab", "abcd", "efgh", "ij")),
        ("abc", 1, ("a", "b", "c")),
    ],
)
def test_split_text_is_cut_at_the_coarsest_bound_that_fits(text, most, parts):
    assert parts == splitting.split(text, most)


@pytest.mark.parametrize(("count", "ids"), [(0, ()), (1, ("a",)), (2, ("a#1", "a#2")), (3, ("a#1", "a#2", "a#3"))])
def test_named_parts_have_numbers_where_there_are_several(count, ids):
    assert ids == splitting.named("a", count)


@pytest.mark.parametrize(
    ("count", "known", "left"),
    [
        (1, ["a"], ()),
        (1, ["a", "a#1", "a#2"], ("a#1", "a#2")),
        (2, ["a", "a#1", "a#2", "a#3"], ("a", "a#3")),
        (0, ["a", "a#1"], ("a", "a#1")),
        (1, ["ab", "a#x", "a#0", "a#", "b#1", "xa#1"], ()),
    ],
)
def test_left_over_ids_are_parts_that_the_text_no_longer_has(count, known, left):
    assert left == splitting.left_over("a", count, known)


@pytest.mark.parametrize(
    ("id", "name"),
    [("a", "a"), ("a#1", "a"), ("a#10", "a"), ("a#0", "a#0"), ("a#01", "a#01"), ("a#1#2", "a#1"), ("a#1\n", "a#1\n")],
)
def test_text_of_an_id_is_the_name_without_a_number(id, name):
    assert name == splitting.text_of(id)
