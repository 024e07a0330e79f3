"""`tokens ratio`: each recorded call once, by model, and the lines for streams.toml."""

import pytest

from streams.cli import show, tokens
from streams.decisions.budget import Proposal
from tests.support.builders import inferred, reply, work
from tests.support.commands import streams
from tests.support.fake_cluster import FakeKafka
from topics import wire
from topics.catalog import INFERRED
from topics.messages import Usage


def call(sent_bytes=40, tokens=10, model="m", epoch="e-1", key="c:1"):
    answer = reply(usage=Usage(input_tokens=tokens, output_tokens=1))
    message = inferred(answer, work=work(model=model), epoch=epoch, dedup_key=key, input_bytes=sent_bytes)
    return wire.encode(message)


def holding(*values):
    kafka = FakeKafka()
    for value in values:
        kafka.put(INFERRED, b"k", value)
    return kafka


def proposed(*values, options=()):
    return streams("tokens", "ratio", "-o", "jsonl", *options, kafka=holding(*values))


def test_ratio_of_a_call_is_bytes_over_tokens():
    row = {"model": "m", "calls": 1, "bytes": 40, "tokens": 10, "ratio": 4.0, "setting": "bytes_per_token = 4.0"}

    assert [row] == proposed(call()).jsonl


def test_ratio_of_several_models_is_a_row_each():
    rows = proposed(call(), call(30, 10, "n", "e-2")).jsonl

    assert [("m", 4.0), ("n", 3.0)] == [(row["model"], row["ratio"]) for row in rows]


def test_ratio_of_one_model_leaves_out_the_others():
    rows = proposed(call(), call(30, 10, "n", "e-2"), options=("--model", "n")).jsonl

    assert ["n"] == [row["model"] for row in rows]


def test_reply_that_was_written_twice_counts_once():
    assert [1] == [row["calls"] for row in proposed(call(), call()).jsonl]


@pytest.mark.parametrize("other", [{"epoch": "e-2"}, {"key": "c:2"}])
def test_calls_of_other_keys_and_epochs_count_by_themselves(other):
    assert [2] == [row["calls"] for row in proposed(call(), call(**other)).jsonl]


@pytest.mark.parametrize("useless", [b"{", None, b"{}", call(0, 10, epoch="e-2"), call(10, 0, epoch="e-2")])
def test_record_that_tells_nothing_is_left_out(useless):
    assert [1] == [row["calls"] for row in proposed(call(), useless).jsonl]


def test_message_of_a_worker_that_measured_nothing_is_left_out():
    assert 4 == proposed(call(None)).code


def test_lines_for_the_settings_name_the_most_careful_ratio_and_its_day():
    ran = proposed(call(), call(25, 10, "n", "e-2"))

    assert ["[assemble]", "bytes_per_token = 2.5", 'ratio_version = "measured-2026-01-31"'] == ran.err.splitlines()


def test_topic_without_calls_is_not_found():
    ran = proposed()

    assert (4, "", "no recorded call tells both bytes and tokens\n") == (ran.code, ran.out, ran.err)


def test_table_of_proposals_has_a_head():
    ran = streams("tokens", "ratio", kafka=holding(call()))

    assert ["MODEL", "CALLS", "BYTES", "TOKENS", "RATIO", "SETTING"] == ran.lines[0].split()


def test_command_reads_the_replies_from_the_start():
    kafka = holding(call())
    streams("tokens", "ratio", kafka=kafka)

    assert ["tail inferred"] == kafka.opened


@pytest.mark.parametrize(("careful", "line"), [(3.0, "bytes_per_token = 3.0"), (2.25, "bytes_per_token = 2.25")])
def test_setting_of_a_proposal_is_its_careful_ratio(careful, line):
    assert line == tokens.setting(Proposal("m", 1, 10, 3, careful))


def test_view_of_a_proposal_rounds_the_ratio_alone():
    seen = tokens.view(Proposal("m", 3, 10, 3, 3.33))

    assert (3.33, 10, 3) == (seen["ratio"], seen["bytes"], seen["tokens"])


def test_view_of_a_hostile_model_name_prints_without_harm():
    seen = tokens.view(Proposal("\x1b[2J", 1, 10, 3, 3.33))

    assert "\x1b" not in show.line(seen)


def test_tokens_without_a_subcommand_is_a_usage_error():
    assert 2 == streams("tokens").code
