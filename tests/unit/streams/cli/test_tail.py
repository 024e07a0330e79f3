"""`tail`: the newest records decoded, a range by `--from` and `--to`, and what comes with `-f`."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from streams.cli import show, tail
from streams.decisions.offsets import FromStart
from streams.stage import Record
from tests.support.commands import streams
from tests.support.fake_cluster import FakeKafka
from topics.catalog import PROMPTS, RESULTS

VIEW = ("at", "topic", "partition", "offset", "timestamp", "key", "value", "headers")


def holding(n=3, topic=RESULTS):
    kafka = FakeKafka()
    for number in range(n):
        kafka.put(topic, b"k", b'{"n": %d}' % number)
    return kafka


def values(ran):
    return [record["value"]["n"] for record in ran.jsonl]


def record(**fields):
    return Record(
        **{"topic": RESULTS, "partition": 3, "offset": 7, "timestamp_ms": 0, "key": b"k", "value": b"1", **fields}
    )


class Ending(FakeKafka):
    """A cluster whose followed topic ends once ``coming`` arrived, so that following has an end."""

    def __init__(self, coming):
        super().__init__()
        self.coming = coming

    @asynccontextmanager
    async def tail(self, topic, start, stop=None, *, follow=False):
        self.opened.append(f"tail {topic} {type(start).__name__} {follow}")

        async def records():
            for one in self.coming:
                yield one

        yield records()

    async def last(self, topic, n):
        self.opened.append(f"last {n}")
        return await super().last(topic, n)


def test_tail_without_a_topic_shows_the_newest_results():
    assert [0, 1, 2] == values(streams("tail", "-o", "jsonl", kafka=holding()))


@pytest.mark.parametrize(("n", "shown"), [(1, [2]), (2, [1, 2]), (9, [0, 1, 2])])
def test_tail_with_a_number_shows_that_many_of_the_newest(n, shown):
    assert shown == values(streams("tail", "-n", n, "-o", "jsonl", kafka=holding()))


def test_tail_shows_ten_records_unless_told_otherwise():
    assert 10 == len(streams("tail", "-o", "jsonl", kafka=holding(12)).jsonl)


@pytest.mark.parametrize("name", ["assembled.high", "prompts.assembled.high"])
def test_tail_takes_our_name_of_a_topic_and_kafkas(name):
    assert [0] == values(streams("tail", name, "-o", "jsonl", kafka=holding(1, "assembled.high")))


def test_tail_of_an_unknown_topic_names_those_there_are():
    ran = streams("tail", "nix", kafka=holding())

    assert 2 == ran.code
    assert "assembled.critical" in ran.err


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        (["--from", "start"], [0, 1, 2]),
        (["--from", "1"], [1, 2]),
        (["--from", "-1"], [2]),
        (["--from", "end"], []),
        (["--to", "1"], [0]),
        (["--from", "1", "--to", "2"], [1]),
    ],
)
def test_tail_of_a_range_shows_exactly_that(options, shown):
    assert shown == values(streams("tail", *options, "-o", "jsonl", kafka=holding()))


@pytest.mark.parametrize("option", ["--from", "--to"])
def test_tail_of_a_range_that_is_none_is_a_usage_error(option):
    assert 2 == streams("tail", option, "yesterday", kafka=holding()).code


def test_tail_of_a_range_in_json_is_one_list():
    assert [1, 2] == [one["value"]["n"] for one in streams("tail", "--from", "1", "-o", "json", kafka=holding()).json]


def test_tail_of_a_range_as_table_is_a_line_a_record():
    ran = streams("tail", "--from", "2", kafka=holding())

    assert ["2026-01-31T12:00:00.000Z", "k", '{"n": 2}'] == ran.lines[0].split("\t")[1:]


def test_tail_as_table_has_a_head():
    assert ["AT", "TIMESTAMP", "KEY", "VALUE"] == streams("tail", kafka=holding()).lines[0].split()


def test_tail_of_an_empty_topic_shows_only_the_head():
    assert 1 == len(streams("tail", PROMPTS, kafka=holding()).lines)


def test_following_opens_the_topic_before_it_looks_back():
    kafka = Ending([record()])
    streams("tail", "-f", "-n", "4", "-o", "jsonl", kafka=kafka)

    assert ["tail results AtEnd True", "last 4"] == kafka.opened


def test_following_shows_the_newest_and_what_comes_once_each():
    old, between, new = record(offset=1, value=b"1"), record(offset=2, value=b"2"), record(offset=3, value=b"3")
    kafka = Ending([between, new])
    kafka.topics[RESULTS] = [old, between]  # `between` came while both were opened
    ran = streams("tail", "-f", "-o", "jsonl", kafka=kafka)

    assert [1, 2, 3] == [one["value"] for one in ran.jsonl]


def test_following_from_a_position_goes_on_with_what_comes():
    kafka = Ending([record(value=b"5")])
    ran = streams("tail", "-f", "--from", "start", "-o", "json", kafka=kafka)

    assert (["tail results FromStart True"], [5]) == (kafka.opened, [one["value"] for one in ran.jsonl])


def test_following_up_to_a_stop_ends_there():
    kafka = Ending([record()])
    streams("tail", "-f", "--to", "5", kafka=kafka)

    assert ["tail results FromStart False"] == kafka.opened


def test_view_of_a_record_has_every_part():
    parts = ("results/3/7", "results", 3, 7, "1970-01-01T00:00:00.000Z", "k", 1)
    headers = {"traceparent": "00-1", "raw": {"undecodable": "\\xff"}}
    seen = tail.view(record(headers=(("traceparent", b"00-1"), ("raw", b"\xff"))))

    assert dict(zip(VIEW, (*parts, headers), strict=True)) == seen


@pytest.mark.parametrize("value", [None, b"", b"\xff\xfe", b"\x1b[2J", "é".encode()])
def test_view_of_any_value_prints_without_harm(value):
    assert show.HARMFUL.search(show.line(tail.view(record(value=value))).replace("\t", "")) is None


def test_records_between_positions_are_read_without_a_follower():
    async def read(kafka):
        await tail._between(kafka, RESULTS, FromStart(), None, False, show.Format.jsonl)

    kafka = holding(1)
    asyncio.run(read(kafka))

    assert ["tail results"] == kafka.opened


@pytest.mark.parametrize("options", [[], ["--from", "start"]])
def test_tail_as_table_shows_the_beginning_of_a_long_value(options):
    kafka = FakeKafka()
    kafka.put(RESULTS, b"k", b"x" * 2000)

    assert streams("tail", *options, kafka=kafka).lines[-1].endswith("x… (1000 more characters: -o json has all)")


def test_tail_in_json_shows_a_long_value_whole():
    kafka = FakeKafka()
    kafka.put(RESULTS, b"k", b"x" * 2000)

    assert "x" * 2000 == streams("tail", "-o", "json", kafka=kafka).json[0]["value"]


@pytest.mark.parametrize("options", [[], ["--from", "start"]])
def test_tail_of_a_hostile_record_writes_its_control_characters_out(options):
    kafka = FakeKafka()
    kafka.put(RESULTS, b"\x1b]0;k\x07", "\x1b[2J\u202e\U000e0041".encode())

    out = streams("tail", *options, kafka=kafka, terminal=True).out

    assert not {"\x07", "\u202e", "\U000e0041"} & set(out)
    assert "\x1b[2J" not in out and "\\x1b[2J" in out
