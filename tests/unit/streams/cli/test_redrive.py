"""`dlq redrive` and `dlq discard`: a look first; what is done, with --execute; and the exit codes."""

import io
import time
from contextlib import redirect_stderr, redirect_stdout

import pytest

from streams.cli import redrive
from streams.cli.app import run
from tests.support.commands import ADDRESS, Screen, outside, streams
from tests.support.fake_cluster import FakeKafka
from tests.support.letters import bury, note, notes_of, place, sent_again
from topics import wire
from topics.catalog import DEAD_LETTERS, LETTERS, PROMPTS
from topics.errors import TransportError

HOUR_MS = 3_600_000
VERBS = ("redrive", "discard")


def now_ms():
    return time.time_ns() // 1_000_000


def fresh(*letters):
    """Dead letters of this hour, as the command line counts ages from now."""
    kafka = FakeKafka()
    base = now_ms() - HOUR_MS - 1_769_860_800_000
    for number, fields in enumerate(letters):
        known = {"key": b"k%d" % number, "request_id": f"a-{number}", "value": b'{"prompt": "p%d"}' % number}
        bury(kafka, **{**known, **fields, "later_ms": base + number + fields.get("later_ms", 0)})
    return kafka


def three():
    return fresh({}, {"kind": "other", "stage": "refine"}, {})


def dlq(verb, *arguments, kafka, **given):
    return streams("dlq", verb, *arguments, kafka=kafka, **given)


def dids(kafka):
    return [one.did for one in notes_of(kafka)]


# -- a look


@pytest.mark.parametrize("verb", VERBS)
def test_look_writes_nothing(verb):
    """B76, B77."""
    kafka = three()
    before = list(kafka.topics[DEAD_LETTERS])

    assert 0 == dlq(verb, kafka=kafka).code
    assert (before, [], [], False) == (
        kafka.topics[DEAD_LETTERS],
        kafka.topics.get(PROMPTS, []),
        dids(kafka),
        "publisher" in kafka.opened,
    )


@pytest.mark.parametrize("options", [[], ["--each"], ["-o", "json"], ["--each", "-o", "jsonl"]])
@pytest.mark.parametrize("verb", VERBS)
def test_look_prints_what_execute_prints(verb, options):
    """B77: the same listing."""
    kafka = three()
    looked = dlq(verb, *options, kafka=kafka)

    assert looked.out == dlq(verb, *options, "--execute", kafka=kafka).out


@pytest.mark.parametrize(("verb", "state"), [("redrive", "to send"), ("discard", "to discard")])
def test_look_groups_by_cause_and_says_what_would_be_done(verb, state):
    rows = dlq(verb, "-o", "json", kafka=three()).json

    assert [(state, 2), (state, 1)] == [(row["state"], row["count"]) for row in rows]


@pytest.mark.parametrize(("verb", "would"), [("redrive", "sent again"), ("discard", "discarded")])
def test_look_says_that_nothing_was_done_yet(verb, would):
    told = dlq(verb, kafka=three()).err

    assert f"3 dead letters would be {would}. Nothing was done yet: add --execute\n" == told


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["a-1"], ["a-1"]),
        (["a-0", "a-2"], ["a-0", "a-2"]),
        (["--kind", "other"], ["a-1"]),
        (["--stage", "infer"], ["a-0", "a-2"]),
        (["--stage", "infer", "a-1"], []),
        (["--older-than", "30m"], ["a-0", "a-1", "a-2"]),
        (["--newer-than", "30m"], []),
        (["--newer-than", "2h"], ["a-0", "a-1", "a-2"]),
        (["--session", "s"], []),
        (["--max", "2"], ["a-0", "a-1"]),
        (["--max", "1", "--stage", "refine"], ["a-1"]),
    ],
)
@pytest.mark.parametrize("verb", VERBS)
def test_filters_choose_exactly_those(verb, options, ids):
    """B77, B82."""
    kafka = three()
    rows = dlq(verb, *options, "--each", "--execute", "-o", "jsonl", kafka=kafka).jsonl

    assert ids == [row["id"] for row in rows]
    assert set(ids) == {one.id for one in notes_of(kafka)}


def test_filter_by_place_chooses_that_letter():
    kafka = three()
    chosen = kafka.topics[DEAD_LETTERS][1]

    assert [place(chosen)] == [
        row["place"] for row in dlq("redrive", place(chosen), "--each", "-o", "json", kafka=kafka).json
    ]


# -- doing


def test_redrive_sends_each_once_and_says_what_next():
    kafka = three()
    ran = dlq("redrive", "--execute", kafka=kafka)

    assert (0, "3 dead letters sent again. Next: streams get a-0\n") == (ran.code, ran.err)
    assert {record.at: 1 for record in kafka.topics[DEAD_LETTERS]} == sent_again(kafka)


def test_discard_marks_each_once():
    kafka = three()
    ran = dlq("discard", "--execute", kafka=kafka)

    assert (0, "3 dead letters discarded\n", ["discarded"] * 3) == (ran.code, ran.err, dids(kafka))


@pytest.mark.parametrize("verb", VERBS)
def test_done_a_second_time_is_no_deed_and_no_failure(verb):
    """F21."""
    kafka = three()
    dlq(verb, "--execute", kafka=kafka)
    before = len(dids(kafka))
    ran = dlq(verb, "--execute", kafka=kafka)

    assert (0, before) == (ran.code, len(dids(kafka)))
    assert ran.err.startswith("3 redriven: " if verb == "redrive" else "3 discarded: ")


def test_redrive_by_force_sends_a_second_time():
    kafka = fresh({})
    dlq("redrive", "--execute", kafka=kafka)
    ran = dlq("redrive", "--execute", "--force", kafka=kafka)

    assert (0, [2]) == (ran.code, list(sent_again(kafka).values()))


def test_note_names_account_and_machine():
    kafka = fresh({})
    dlq("discard", "--execute", kafka=kafka)

    [account, machine] = notes_of(kafka)[0].by.split("@")
    assert account and machine


def test_account_without_a_name_is_its_number(monkeypatch):
    def nameless():
        raise KeyError("uid not found")

    monkeypatch.setattr(redrive.getpass, "getuser", nameless)

    assert redrive._who().split("@")[0].isdigit()


@pytest.mark.parametrize(
    ("options", "value"),
    [
        (["--edit", 'model="small"'], b'{"prompt":"p0","model":"small"}'),
        (["--edit", "sample=1", "--edit", "sample=2"], b'{"prompt":"p0","sample":2}'),
        (["--timeout-s", "60"], b'{"prompt":"p0","timeout_s":60.0}'),
        ([], b'{"prompt": "p0"}'),
    ],
)
def test_changes_are_made_on_the_way(options, value):
    kafka = fresh({})
    dlq("redrive", *options, "--execute", kafka=kafka)

    assert value == kafka.topics[PROMPTS][0].value


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--edit", "model"], "--edit"),
        (["--edit", 'id="b"'], "id"),
        (["--timeout-s", "0"], "--timeout-s"),
        (["--rate", "0"], "--rate"),
        (["--max", "0"], "--max"),
        (["--older-than", "soon"], "--older-than"),
    ],
)
def test_option_that_is_wrong_is_a_usage_error_that_names_it(options, named):
    ran = dlq("redrive", *options, "--execute", kafka=fresh({}))

    assert (2, True) == (ran.code, named in ran.err)


# -- what is held back

HELD = [
    ({"lineage": 5}, [], "lineage", True),
    ({"disposition": "undecodable", "value": b"{"}, [], "unreadable", False),
    ({"topic": "prompts.failed"}, [], "foreign", False),
    ({}, ["--edit", "surprise=1"], "edit", False),
    ({"later_ms": -25 * 24 * HOUR_MS}, [], "expiring", True),
]


@pytest.mark.parametrize(("fields", "options", "why", "forced"), HELD)
def test_letter_that_is_held_back_is_told_with_the_reason(fields, options, why, forced):
    """B80, B83."""
    kafka = fresh(fields)
    ran = dlq("redrive", "--execute", *options, "-o", "json", kafka=kafka)

    assert (3, why, forced) == (ran.code, ran.json[0]["state"], "--force" in ran.err)
    assert (f"1 {why}: ", []) == (ran.err[: len(why) + 4], kafka.topics.get(PROMPTS, []))


@pytest.mark.parametrize(("fields", "options", "why", "forced"), HELD)
def test_letter_that_is_held_back_is_sent_by_force_where_that_helps(fields, options, why, forced):
    kafka = fresh(fields)
    ran = dlq("redrive", "--execute", "--force", *options, kafka=kafka)

    assert (0 if forced else 3, forced) == (ran.code, bool(kafka.topics.get(PROMPTS)))


def test_letter_beside_one_that_is_held_back_is_sent():
    kafka = fresh({"lineage": 5}, {})
    ran = dlq("redrive", "--execute", kafka=kafka)

    assert (3, 1) == (ran.code, len(kafka.topics[PROMPTS]))


@pytest.mark.parametrize(("limit", "code"), [("3", 3), ("4", 0)])
def test_setting_says_how_often_a_request_comes_back(limit, code):
    kafka = fresh({"lineage": 3})

    assert code == dlq("redrive", kafka=kafka, environ={"STREAMS_DLQ__MAX_LINEAGE": limit}).code


def test_change_that_makes_no_request_is_told_by_its_field():
    assert "surprise" in dlq("redrive", "--edit", "surprise=1", kafka=fresh({})).err.splitlines()[1]


def test_undecodable_letter_is_sent_after_a_change():
    kafka = fresh({"disposition": "undecodable", "value": b"{"})
    ran = dlq("redrive", "--edit", 'prompt="hi"', "--execute", kafka=kafka)

    assert (0, b'{"prompt":"hi"}') == (ran.code, kafka.topics[PROMPTS][0].value)


# -- exit codes


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("options", [[], ["--execute"]])
def test_name_that_fits_nothing_exits_with_4(verb, options):
    ran = dlq(verb, "nix", "\x1b[2J", *options, kafka=three())

    assert (4, True) == (ran.code, "no dead letter for 'nix'\n" in ran.err)
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("verb", VERBS)
def test_one_name_of_two_that_fits_exits_with_3(verb):
    ran = dlq(verb, "nix", "a-0", "--execute", kafka=three())

    assert (3, True) == (ran.code, "no dead letter for 'nix'" in ran.err)


@pytest.mark.parametrize("verb", VERBS)
def test_filter_that_fits_nothing_is_no_failure(verb):
    ran = dlq(verb, "--kind", "nix", "--execute", kafka=three())

    assert (0, "no dead letters fit\n") == (ran.code, ran.err)


def test_broker_that_goes_away_exits_with_1():
    kafka = three()
    kafka.refuses = TransportError("publishing", "silent")

    assert 1 == dlq("redrive", "--execute", kafka=kafka).code


class Raced(FakeKafka):
    """A cluster in which another run claims every dead letter a moment earlier."""

    async def send(self, topic, key, value, headers=()):
        if topic == LETTERS:
            self.put(LETTERS, key, wire.encode(note(letter=key.decode(), run="r-other")))
        return await super().send(topic, key, value, headers)


def test_letters_that_another_run_took_exit_with_3():
    kafka = Raced()
    kafka.topics = three().topics
    ran = dlq("redrive", "--execute", kafka=kafka)

    assert (3, "0 dead letters sent again, 3 taken by another run\n") == (ran.code, ran.err)


def claimed_by_another(ago_ms):
    kafka = fresh({})
    [letter] = kafka.topics[DEAD_LETTERS]
    kafka.put(LETTERS, letter.at.encode(), wire.encode(note(letter=letter.at)), (), now_ms() - ago_ms)
    return kafka


def test_look_at_what_another_run_has_claimed_says_so():
    ran = dlq("redrive", "-o", "json", kafka=claimed_by_another(1000))

    assert (3, "claimed") == (ran.code, ran.json[0]["state"])


def test_redrive_waits_for_a_claim_to_be_over_and_then_sends():
    kafka = claimed_by_another(0)
    ran = dlq("redrive", "--execute", kafka=kafka, environ={"STREAMS_DLQ__CLAIM_S": "1"})

    assert (0, 1) == (ran.code, len(kafka.topics[PROMPTS]))
    assert ran.err.startswith("waiting 1 s for what a run that did not end had on its way\n")


# -- pace


def test_lag_of_prompts_and_lanes_is_what_holds_a_redrive_back():
    """B81."""
    kafka, asked = three(), []
    lags = kafka.lags

    async def remembered(groups):
        asked.append(groups)
        return await lags(groups)

    kafka.lags = remembered
    dlq("redrive", "--execute", kafka=kafka)

    lanes = ("prompts.assembled.high", "prompts.assembled.low")
    assert {"prompts.core": ("prompts",), "prompts.infer": lanes} == asked[0]


class Draining(FakeKafka):
    """A pipeline that is full when first looked at."""

    looks = 0

    async def lags(self, groups):
        self.looks += 1
        return await super().lags(groups) if self.looks > 1 else [Waiting()]


class Waiting:
    records = 6000


def test_full_pipeline_is_told_and_waited_for():
    """B81."""
    kafka = Draining()
    kafka.topics = fresh({}).topics
    ran = dlq("redrive", "--execute", kafka=kafka)

    assert ran.err.startswith("waiting 2 s for a full pipeline\n")
    assert 1 == len(kafka.topics[PROMPTS])


@pytest.mark.parametrize(("limit", "waits"), [("5999", True), ("6000", False)])
def test_setting_says_when_the_pipeline_is_full(limit, waits):
    kafka = Draining()
    kafka.topics = fresh({}).topics
    ran = dlq("redrive", "--execute", kafka=kafka, environ={"STREAMS_DLQ__MAX_LAG": limit})

    assert waits == ("waiting" in ran.err)


@pytest.mark.parametrize(
    ("options", "environ", "rate"),
    [
        ([], {}, 100.0),
        (["--rate", "7"], {}, 7.0),
        ([], {"STREAMS_DLQ__RATE": "9"}, 9.0),
        (["--rate", "7"], {"STREAMS_DLQ__RATE": "9"}, 7.0),
    ],
)
def test_rate_is_the_options_then_the_settings(monkeypatch, options, environ, rate):
    """B81."""
    seen = []

    async def spied(door, steps, run, edits):
        seen.append(run.rate)
        return redrive.Done(1)

    monkeypatch.setattr(redrive.doing, "redrive", spied)
    dlq("redrive", "--execute", *options, kafka=fresh({}), environ=environ)

    assert [rate] == seen


@pytest.mark.parametrize(("stream", "shown"), [(Screen, True), (io.StringIO, False)])
def test_bar_of_a_redrive_is_for_terminals_only(stream, shown):
    with redirect_stdout(io.StringIO()), redirect_stderr(stream()) as err:
        run(["dlq", "redrive", "--execute", "-b", ADDRESS], outside(fresh({})))

    assert shown == ("1/1" in err.getvalue())
