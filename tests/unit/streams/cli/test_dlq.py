"""`dlq`: dead letters in groups and one by one; looking at them changes nothing."""

import base64

import pytest

from streams.cli import dlq, letters, show
from tests.support.builders import RAW
from tests.support.commands import streams
from tests.support.fake_cluster import PARTITIONS, FakeKafka
from tests.support.letters import bury, note, place
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, Names

AT = "2026-01-31T12:00:00.000Z"


def holding(*letters):
    kafka = FakeKafka()
    for fields in letters:
        bury(kafka, **fields)
    return kafka


def many():
    """Three of one cause over two partitions, the oldest read last, and one of another cause."""
    undecodable = {"kind": "undecodable", "stage": "admit", "disposition": "undecodable"}
    return holding(
        {"key": b"a", "later_ms": 2000, "request_id": "a-1"},
        {**undecodable, "key": b"b", "later_ms": 1000},
        {"key": b"a", "later_ms": 5000},
        {"key": b"c", "later_ms": 0},
    )


# -- list


def test_list_counts_by_kind_stage_and_disposition():
    rows = streams("dlq", "list", "-o", "json", kafka=many()).json

    assert [("worker_error", "infer", "exhausted", 3), ("undecodable", "admit", "undecodable", 1)] == [
        (row["kind"], row["stage"], row["disposition"], row["count"]) for row in rows
    ]


def test_list_names_the_first_and_last_time_of_a_group():
    first, *_ = streams("dlq", "list", "-o", "jsonl", kafka=many()).jsonl

    assert (AT, "2026-01-31T12:00:05.000Z") == (first["first"], first["last"])


def test_list_names_the_newest_of_a_group_so_that_it_can_be_shown():
    kafka = many()
    newest = streams("dlq", "list", "-o", "jsonl", kafka=kafka).jsonl[0]["newest"]

    assert "2026-01-31T12:00:05.000Z" == streams("dlq", "show", newest, "-o", "json", kafka=kafka).json["buried"]


def test_list_as_table_has_a_line_a_group_and_says_what_to_do_next():
    ran = streams("dlq", "list", kafka=many())

    assert [name.upper() for name in letters.GROUPED] == ran.lines[0].split()
    assert 3 == len(ran.lines)
    assert ran.err.startswith("4 dead letters in 2 groups. Next: streams dlq show ")


def test_list_of_one_dead_letter_says_so():
    assert streams("dlq", "list", kafka=holding({})).err.startswith("1 dead letter in 1 group. ")


@pytest.mark.parametrize("how", ["table", "json", "jsonl"])
def test_list_without_dead_letters_is_no_failure(how):
    ran = streams("dlq", "list", "-o", how, kafka=FakeKafka())

    assert (0, "no dead letters\n") == (ran.code, ran.err)


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (["--kind", "undecodable"], [1]),
        (["--kind", "worker_error"], [3]),
        (["--stage", "admit"], [1]),
        (["--stage", "infer", "--kind", "worker_error"], [3]),
        (["--stage", "admit", "--kind", "worker_error"], []),
        (["--kind", "nix"], []),
        (["--since", "start"], [3, 1]),
        (["--since", "end"], []),
        (["--since", "@-15m"], []),
    ],
)
def test_list_counts_only_what_is_asked_for(options, counts):
    rows = streams("dlq", "list", *options, "-o", "jsonl", kafka=many()).jsonl

    assert counts == [row["count"] for row in rows]


@pytest.mark.parametrize(
    ("options", "places"),
    [
        (["--from", "1"], ["1", "2"]),
        (["--since", "-1"], ["2"]),
        (["--to", "1"], ["0"]),
        (["--since", "1", "--to", "2"], ["1"]),
        (["--since", "2", "--to", "1"], []),
    ],
)
def test_list_of_a_range_has_exactly_that(options, places):
    rows = streams("dlq", "list", "--each", *options, "-o", "jsonl", kafka=holding({}, {}, {})).jsonl

    assert places == [row["place"].split("/")[1] for row in rows]


@pytest.mark.parametrize("option", ["--since", "--from", "--to"])
def test_list_of_a_range_that_is_none_is_a_usage_error(option):
    ran = streams("dlq", "list", option, "yesterday", kafka=many())

    assert (2, True) == (ran.code, "@-15m" in ran.err)


def test_list_of_each_has_a_line_a_dead_letter():
    rows = streams("dlq", "list", "--each", "-o", "jsonl", kafka=many()).jsonl

    assert 4 == len(rows)
    assert set(letters.EACH) <= set(rows[0])


def test_list_of_each_says_how_to_see_the_first():
    ran = streams("dlq", "list", "--each", kafka=many())

    assert f"4 dead letters. Next: streams dlq show {ran.lines[1].split()[0]}\n" == ran.err


def test_list_counts_what_somebody_else_wrote():
    kafka = FakeKafka()
    kafka.put(DEAD_LETTERS, None, b"foreign")
    ran = streams("dlq", "list", "-o", "json", kafka=kafka)

    assert [(None, None, None, 1)] == [
        (row["kind"], row["stage"], row["disposition"], row["count"]) for row in ran.json
    ]


def test_list_of_many_groups_has_one_order():
    kafka = holding(*({"kind": kind, "stage": "s"} for kind in ("b", "a", "c", "a")))

    assert ["a", "b", "c"] == [row["kind"] for row in streams("dlq", "list", "-o", "jsonl", kafka=kafka).jsonl]


@pytest.mark.parametrize(
    "command", [["list"], ["list", "--each"], ["list", "--kind", "x"], ["show", "a-1"], ["show", "0/0"], ["show", "x"]]
)
def test_dead_letters_are_only_read_by_any_command(command):
    """B76."""
    kafka = many()
    before = list(kafka.topics[DEAD_LETTERS])

    streams("dlq", *command, kafka=kafka)

    assert before == kafka.topics[DEAD_LETTERS]
    assert {f"tail {DEAD_LETTERS}", f"tail {LETTERS}"} == set(kafka.opened)


def test_list_groups_by_what_the_letters_died_of():
    kafka = holding(
        {"message": "413 bytes, the limit is 400"}, {"message": "9 bytes, the limit is 1"}, {"message": "refused"}
    )

    assert [2, 1] == [row["count"] for row in streams("dlq", "list", "-o", "jsonl", kafka=kafka).jsonl]


def test_list_names_a_message_of_each_group_in_json():
    kafka = holding({"message": "try 1"}, {"message": "try 2", "later_ms": 9})

    assert ["try 2"] == [row["message"] for row in streams("dlq", "list", "-o", "jsonl", kafka=kafka).jsonl]


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        (["--session", "s-1"], [1]),
        (["--session", "s-9"], []),
        (["--older-than", "1s"], [1, 1]),
        (["--newer-than", "1s"], []),
        (["--newer-than", "99999d"], [1, 1]),
    ],
)
def test_list_by_session_and_age_has_exactly_those(options, counts):
    """B77."""
    kafka = holding({"value": b'{"session": "s-1"}'}, {"kind": "other"})

    assert counts == [row["count"] for row in streams("dlq", "list", *options, "-o", "jsonl", kafka=kafka).jsonl]


def test_list_by_fingerprint_has_that_cause_only():
    kafka = many()
    rows = streams("dlq", "list", "-o", "jsonl", kafka=kafka).jsonl
    [row] = streams("dlq", "list", "--fingerprint", rows[1]["fingerprint"][:5], "-o", "jsonl", kafka=kafka).jsonl

    assert rows[1] == row


def test_list_of_an_age_that_is_none_is_a_usage_error():
    ran = streams("dlq", "list", "--older-than", "yesterday", kafka=many())

    assert (2, True) == (ran.code, "--older-than" in ran.err)


def dealt_with(did):
    """Two dead letters; something was done with the newer one."""
    kafka = FakeKafka()
    bury(kafka, key=b"a", request_id="a-1")
    done = bury(kafka, key=b"b", request_id="b-1", later_ms=1)
    made = note(did, done.at, prompt="prompts/1/2", edited=("model",), before="aa", after="bb")
    kafka.put(LETTERS, done.at.encode(), wire.encode(made))
    return kafka


@pytest.mark.parametrize(
    ("did", "options", "states"),
    [
        ("redriven", [], ["open"]),
        ("discarded", [], ["open"]),
        ("claimed", [], ["claimed", "open"]),
        ("redriven", ["--all"], ["open", "redriven"]),
        ("discarded", ["--all"], ["discarded", "open"]),
    ],
)
@pytest.mark.parametrize("each", [[], ["--each"]])
def test_list_hides_what_was_done_with_unless_all_is_asked_for(did, options, states, each):
    rows = streams("dlq", "list", *options, *each, "-o", "jsonl", kafka=dealt_with(did)).jsonl

    assert states == sorted(row["state"] for row in rows)


def test_list_says_how_many_it_hides():
    ran = streams("dlq", "list", kafka=dealt_with("discarded"))

    assert ran.err.startswith("1 dead letter in 1 group (1 sent again or discarded: --all). Next: ")


def test_list_of_which_all_is_hidden_says_so():
    ran = streams("dlq", "list", "--newer-than", "99999d", "--kind", "nix", kafka=dealt_with("discarded"))

    assert "no dead letters\n" == ran.err


def test_dlq_alone_prints_its_help():
    ran = streams("dlq")

    assert (0, True) == (ran.code, all(f" {verb} " in ran.out for verb in ("list", "show", "redrive", "discard")))


# -- show


def test_show_by_id_prints_the_evidence_and_then_the_bytes():
    *facts, empty, value = streams("dlq", "show", "a-1", kafka=holding({})).lines

    told = dict(line.split(maxsplit=1) for line in facts)
    assert ("", RAW.decode()) == (empty, value)
    assert {
        "id": "a-1",
        "kind": "worker_error",
        "stage": "infer",
        "disposition": "exhausted",
        "exception_class": "WorkerError",
        "exception_message": "echo: timeout",
        "attempts": "1",
        "first_failed_at": AT,
        "failed_at": "2026-01-31T12:00:00.900Z",
        "group": "prompts.infer",
        "original": "prompts/3/1042",
        "holds": "the original bytes",
        "bytes": str(len(RAW)),
        "key": "k",
    }.items() <= told.items()


@pytest.mark.parametrize("named", ["{}", "dead-letters/{}", "acme.dead-letters/{}"])
def test_show_by_place_finds_exactly_that(named):
    kafka = FakeKafka()
    wanted = [bury(kafka, b"%d" % number, key=b"a") for number in range(3)][1]

    shown = streams("dlq", "show", named.format(place(wanted)), "-o", "json", kafka=kafka).json

    assert (wanted.at, "1") == (shown["at"], shown["value"])


@pytest.mark.parametrize("what", ["nix", "0/999", f"{PARTITIONS}/0", "dead-letters/9/9", "0/0/0"])
def test_show_of_what_is_not_there_exits_with_4_and_prints_nothing(what):
    ran = streams("dlq", "show", what, kafka=holding({"key": b"k" * 7}))

    assert (4, "", f"no dead letter for '{what}'; there are: streams dlq list --each\n") == (ran.code, ran.out, ran.err)


def test_show_of_an_id_that_looks_like_a_place_is_found_too():
    kafka = FakeKafka()
    bury(kafka, b"mine", key=b"a", request_id="3/999999")

    assert "mine" == streams("dlq", "show", "3/999999", "-o", "json", kafka=kafka).json["value"]


def test_show_of_an_id_with_several_shows_the_newest_and_names_the_others():
    kafka = FakeKafka()
    old, new = bury(kafka, b"old", key=b"a"), bury(kafka, b"new", key=b"b", later_ms=9)

    ran = streams("dlq", "show", "a-1", "-o", "json", kafka=kafka)

    assert "new" == ran.json["value"]
    assert f"1 older with this id: {place(old)}" == ran.err.splitlines()[0]
    assert place(new) not in ran.err


def test_show_says_where_the_answer_is():
    assert "Next: streams get a-1    the answer that it had\n" == streams("dlq", "show", "a-1", kafka=holding({})).err


def test_show_quotes_an_id_for_the_shell():
    kafka = holding({"request_id": "two words; rm"})

    assert "streams get 'two words; rm' " in streams("dlq", "show", "two words; rm", kafka=kafka).err


def test_show_in_json_has_every_part():
    kafka = holding({"own": (("content-type", b"text/plain"), ("raw", b"\xff"))})

    shown = streams("dlq", "show", "a-1", "-o", "json", kafka=kafka).json

    assert {"content-type": "text/plain", "raw": {"undecodable": "\\xff"}} == shown["headers"]
    assert (RAW.decode(), None, None) == (shown["value"], shown["value_base64"], shown["lost_because"])


@pytest.mark.parametrize("why", ["gone", "too-large"])
def test_show_of_a_lost_original_says_what_it_holds_instead(why):
    shown = streams("dlq", "show", "a-1", "-o", "json", kafka=holding({"gone": why.encode()})).json

    assert ("the request as it was understood", why) == (shown["holds"], shown["lost_because"])


@pytest.mark.parametrize(
    ("value", "on_screen"),
    [
        (None, "(a null value)"),
        (b"", "(no bytes)"),
        (b'{"prompt": "\xff"}', '{"prompt": "\\xff"}'),
        (b"\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("\u202eevil\U000e0041\x9b".encode(), "\\u202eevil\\U000e0041\\x9b"),
        (b"x" * 5000, "x" * 4000 + "… (1000 more characters: -o json has all)"),
    ],
)
def test_show_of_any_bytes_is_harmless_on_a_terminal(value, on_screen):
    ran = streams("dlq", "show", "a-1", kafka=holding({"value": value}), terminal=True)

    assert on_screen == ran.lines[-1]


@pytest.mark.parametrize("value", [b"\xff\x00\x1b", bytes(range(256)), b"\xc3"])
def test_show_of_bytes_that_are_no_text_has_them_exactly_in_json(value):
    shown = streams("dlq", "show", "a-1", "-o", "json", kafka=holding({"value": value})).json

    assert value == base64.b64decode(shown["value_base64"])


@pytest.mark.parametrize("text", ["\x1b[2J\r\n\u202e\U000e0041", "", "plain"])
def test_show_of_any_text_has_it_exactly_in_json(text):
    ran = streams("dlq", "show", "a-1", "-o", "json", kafka=holding({"value": text.encode()}))

    assert (text, None) == (ran.json["value"], show.HARMFUL.search(ran.out.replace("\n", "")))


def test_show_of_hostile_evidence_writes_it_out():
    kafka = holding({"message": "\x1b[2J", "request_id": "\u202eid", "own": (("h\x1b", b"\x9b"),), "key": b"\x1b"})

    ran = streams("dlq", "show", "\u202eid", kafka=kafka, terminal=True)

    assert None is show.HARMFUL.search((ran.out + ran.err).replace("\n", ""))


def test_show_of_a_hostile_name_that_is_not_there_writes_it_out():
    assert "'\\x1b[2J'" in streams("dlq", "show", "\x1b[2J", kafka=holding({})).err


def test_view_of_what_somebody_else_wrote_has_only_what_is_there():
    kafka = FakeKafka()
    letter = dlq.view(kafka.put(DEAD_LETTERS, None, b"foreign"), Names(prefix="acme."))

    assert ("acme.dead-letters/0/0", None, None, None, "foreign") == (
        letter["at"],
        letter["id"],
        letter["original"],
        letter["headers"],
        letter["value"],
    )


def test_show_of_what_somebody_else_wrote_names_no_answer():
    kafka = FakeKafka()
    kafka.put(DEAD_LETTERS, None, b"foreign")
    ran = streams("dlq", "show", "0/0", kafka=kafka)

    assert (0, "", "foreign") == (ran.code, ran.err, ran.lines[-1])


def test_show_of_a_letter_that_was_sent_again_says_by_whom_and_as_what():
    shown = streams("dlq", "show", "b-1", "-o", "json", kafka=dealt_with("redriven")).json

    assert {
        "state": "redriven",
        "by": "me@here",
        "done": AT,
        "run": "r-1",
        "prompt": "prompts/1/2",
        "edited": ["model"],
        "hash_before": "aa",
        "hash_after": "bb",
    }.items() <= shown.items()


def test_show_of_a_letter_that_nobody_touched_says_open():
    shown = streams("dlq", "show", "a-1", "-o", "json", kafka=dealt_with("redriven")).json

    assert ("open", "0", False) == (shown["state"], shown["lineage"], "by" in shown)


def test_show_hides_the_headers_of_an_earlier_redrive():
    own = tuple((f"prompts.{name}", b"1") for name in ("lineage", "request-id", "dead-letter", "redrive"))

    assert None is streams("dlq", "show", "a-1", "-o", "json", kafka=holding({"own": own})).json["headers"]
