import timeit

import pytest

from streams.stage import Output, Record, dressed, headers_of
from tests.support.builders import record
from topics.catalog import DEDUPED

TRACE = ("traceparent", b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
EVIDENCE = (("prompts.stage", b"dedup"), ("prompts.decision", b"new"), ("prompts.cause", b"admitted/3/7"))


def output(*headers: tuple[str, bytes]) -> Output:
    return Output(DEDUPED, b"k", b"v", "new", 3, headers)


def test_output_dressed_tells_stage_decision_and_cause() -> None:
    assert output(*EVIDENCE) == dressed(record(), "dedup", output())


@pytest.mark.parametrize("name", ["traceparent", "tracestate", "prompts.original-key"])
def test_header_that_travels_is_carried_over(name: str) -> None:
    seen = record(headers=(("x", b"1"), (name, b"2"), ("y", b"3")))

    assert ((name, b"2"), *EVIDENCE) == dressed(seen, "dedup", output()).headers


@pytest.mark.parametrize("name", ["prompts.stage", "prompts.decision", "prompts.cause", "content-type", "baggage"])
def test_header_of_one_hop_is_not_carried_over(name: str) -> None:
    assert EVIDENCE == dressed(record(headers=((name, b"old"),)), "dedup", output()).headers


def test_header_set_by_the_handler_wins_over_the_carried_one() -> None:
    seen = record(headers=(("prompts.original-key", b"forged"), TRACE))

    found = dressed(seen, "dedup", output(("prompts.original-key", b"own"))).headers

    assert (("prompts.original-key", b"own"), TRACE, *EVIDENCE) == found


@pytest.mark.parametrize(("size", "carried"), [(4096, True), (4097, False)])
def test_header_above_4_kib_is_not_carried_over(size: int, carried: bool) -> None:
    seen = record(headers=(("prompts.original-key", b"x" * size), TRACE))

    found = dict(dressed(seen, "dedup", output()).headers)

    assert (carried, True) == ("prompts.original-key" in found, "traceparent" in found)


def test_headers_through_two_hops_do_not_grow() -> None:
    first = dressed(record(headers=(TRACE,)), "dedup", output())

    second = dressed(record(headers=first.headers), "dedup", output())

    assert first.headers == second.headers


def test_rest_of_the_output_is_left_alone() -> None:
    bare, found = output(), dressed(record(), "dedup", output())

    assert (bare.topic, bare.key, bare.value, bare.decision, bare.partition) == (
        found.topic,
        found.key,
        found.value,
        found.decision,
        found.partition,
    )


def test_dressing_an_output_costs_microseconds() -> None:
    seen = record(headers=(TRACE, *EVIDENCE, ("prompts.original-key", b"k")))

    best_s = min(timeit.repeat(lambda: dressed(seen, "dedup", output()), number=2000, repeat=7)) / 2000

    assert best_s < 30e-6  # measured at 2 µs; the bound is for a busy machine


def test_coordinates_of_a_record_are_as_people_write_them() -> None:
    assert "admitted/3/1042" == Record("admitted", 3, 1042, 0, None, None).at


@pytest.mark.parametrize(("name", "value"), [("a", b"1"), ("b", b"2"), ("c", None)])
def test_header_of_a_record_is_the_first_of_its_name(name: str, value: bytes | None) -> None:
    assert value == record(headers=(("a", b"1"), ("b", b"2"), ("a", b"3"))).header(name)


@pytest.mark.parametrize(
    ("raw", "wanted"),
    [
        (None, ()),
        ([], ()),
        ([("a", b"1"), ("a", b"2")], (("a", b"1"), ("a", b"2"))),
        ([("traceparent", None), ("b", b"1")], (("traceparent", b""), ("b", b"1"))),
    ],
)
def test_headers_as_clients_give_them_have_no_null_values(raw, wanted) -> None:
    assert wanted == headers_of(raw)


def test_header_that_the_handler_set_empty_is_not_carried_on() -> None:
    own = output(("prompts.original-key", b""))

    assert (TRACE, *EVIDENCE) == dressed(record(headers=(TRACE, ("prompts.original-key", b"k"))), "dedup", own).headers
