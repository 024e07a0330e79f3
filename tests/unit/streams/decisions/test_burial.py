import doctest
from dataclasses import FrozenInstanceError
from hashlib import sha256

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.decisions import burial
from tests.support.builders import failed, failure, work
from topics.catalog import PROMPT_BYTES, Names
from topics.request import Request

WHERE = burial.Where("prompts", "prompts.infer")
HEADERS = st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=80)), max_size=12).map(tuple)


def told(headers: burial.Headers) -> dict[str, str]:
    return {name.removeprefix(burial.ERROR): value.decode() for name, value in headers}


def size(headers: burial.Headers) -> int:
    return sum(len(name.encode()) + len(value) for name, value in headers)


@given(st.binary(), st.binary())
def test_bytes_are_intact_only_with_their_own_hash(value: bytes, other: bytes) -> None:
    assert (value == other) == burial.intact(value, sha256(other).hexdigest())


def test_limits_of_a_dead_letter_are_documented_ones() -> None:
    assert (61_440, 2048, 64) == (burial.HEADER_BYTES, burial.VALUE_BYTES, burial.COUNT_BYTES)


def test_place_of_a_failure_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        WHERE.topic = "other"  # type: ignore[misc]  # the claim


def test_evidence_names_every_fact_once() -> None:
    names = [name for name, _ in burial.evidence(failed(), WHERE)]

    assert (15, len(names)) == (len(set(names)), len(names))


def test_evidence_of_a_failure_tells_every_fact() -> None:
    assert {
        "kind": "worker_error",
        "stage": "infer",
        "exception-class": "WorkerError",
        "exception-message": "echo: timeout",
        "attempts": "3",
        "first-failed-at": "2026-01-31T12:00:00.000Z",
        "failed-at": "2026-01-31T12:00:00.900Z",
        "original-topic": "prompts",
        "original-partition": "3",
        "original-offset": "1042",
        "original-timestamp": "1769860800000",
        "group": "prompts.infer",
        "request-id": "a-1",
        "lineage": "2",
        "disposition": "exhausted",
    } == told(burial.evidence(failed(attempts=3, lineage=2), WHERE))


def test_evidence_of_a_long_id_has_all_of_it() -> None:
    """By it a dead letter that is sent again is recognised."""
    assert "i" * 4096 == told(burial.evidence(failed(request_id="i" * 4096), WHERE))["request-id"]


def test_room_of_own_headers_is_what_evidence_leaves() -> None:
    evidence, own = (("e", b"x" * 9),), (("a", b"x" * 9), ("b", b"x" * 9))

    whole = burial.with_own(evidence, own, burial.COUNT_BYTES + 30)
    less = burial.with_own(evidence, own, burial.COUNT_BYTES + 29)

    assert ((*evidence, *own), (*evidence, own[0], ("prompts.error.headers-dropped", b"1"))) == (whole, less)


def test_text_that_cannot_be_written_is_cut_with_question_marks() -> None:
    assert b"a?" == burial.cut("a\ud800")


def test_canonical_request_leaves_out_defaults() -> None:
    said = {"messages": [{"role": "user", "content": "hi"}]}

    assert {"id": "a-1", **said} == orjson.loads(burial.canonical_request(failed(work=work("hi"))))


def test_evidence_of_a_failure_without_disposition_is_permanent() -> None:
    assert "permanent" == told(burial.evidence(failed("failed", None), WHERE))["disposition"]


def test_evidence_of_a_long_text_is_cut() -> None:
    long = failed(failure=failure(message="ü" * 5000))

    assert "ü" * 1024 == told(burial.evidence(long, WHERE))["exception-message"]


@given(st.text(), st.integers(0, 50))
def test_cut_text_is_the_longest_whole_beginning(text: str, limit: int) -> None:
    whole = text.encode(errors="replace")

    cut = burial.cut(text, limit)

    assert whole.startswith(cut) and len(cut) <= limit
    assert len(whole) <= limit or len(cut) > limit - 4
    assert cut.decode().encode() == cut


@given(HEADERS, st.integers(200, 400))
def test_headers_of_any_original_stay_below_the_limit(own: burial.Headers, limit: int) -> None:
    kept = burial.with_own((("prompts.error.kind", b"timeout"),), own, limit)

    assert size(kept) <= limit


@given(HEADERS.filter(lambda own: not any(name.startswith(burial.ERROR) for name, _ in own)))
def test_headers_that_fit_are_all_kept_in_order(own: burial.Headers) -> None:
    assert own == burial.with_own((), own)


def test_header_that_does_not_fit_is_counted_and_later_ones_stay() -> None:
    own = (("a", b"1"), ("big", b"x" * 100), ("b", b"2"), ("huge", b"x" * 200))

    assert (("a", b"1"), ("b", b"2"), ("prompts.error.headers-dropped", b"2")) == burial.with_own((), own, 150)


def test_header_that_fits_to_the_byte_is_kept() -> None:
    own = (("name", b"x" * 32),)

    assert (own, 1) == (
        burial.with_own((), own, burial.COUNT_BYTES + 36),
        len(burial.with_own((), own, burial.COUNT_BYTES + 35)),
    )
    assert "prompts.error.headers-dropped" == burial.with_own((), own, burial.COUNT_BYTES + 35)[0][0]


@pytest.mark.parametrize(
    "name", ["prompts.stage", "prompts.decision", "prompts.cause", "prompts.original-key", "prompts.error.kind"]
)
def test_header_in_our_name_is_left_out_silently(name: str) -> None:
    assert (("own", b"1"),) == burial.with_own((), ((name, b"forged"), ("own", b"1")))


@pytest.mark.parametrize("name", ["prompts.lineage", "prompts.request-id", "traceparent"])
def test_header_that_a_redrive_needs_is_kept(name: str) -> None:
    assert ((name, b"1"),) == burial.with_own((), ((name, b"1"),))


def test_canonical_request_can_be_asked_again() -> None:
    buried = burial.canonical_request(failed(tenant="t", metadata={"a": 1}, work=work("hi", "m", seed=1)))

    asked = Request.model_validate_json(buried)
    assert ("a-1", "t", "m", {"seed": 1}, {"a": 1}) == (
        asked.id,
        asked.tenant,
        asked.model,
        asked.params,
        asked.metadata,
    )


def test_canonical_request_of_an_unknown_one_is_its_id() -> None:
    assert {"id": "a-1"} == orjson.loads(burial.canonical_request(failed(work=None)))


@pytest.mark.parametrize(("more", "whole"), [(0, True), (1, False)])
def test_canonical_request_above_the_limit_is_its_id(more: int, whole: bool) -> None:
    empty = len(burial.canonical_request(failed(work=work(""))))

    buried = burial.canonical_request(failed(work=work("x" * (PROMPT_BYTES - empty + more))))

    assert whole == (len(buried) == PROMPT_BYTES)
    assert whole or {"id": "a-1"} == orjson.loads(buried)


def test_examples_of_the_rule_are_true() -> None:
    ran = doctest.testmod(burial)

    assert (0, True) == (ran.failed, ran.attempted > 0)


def test_evidence_read_back_is_what_was_written() -> None:
    written = burial.evidence(failed(attempts=3), WHERE)

    assert told(written) == burial.told((("own", b"1"), *written, ("traceparent", b"00")))


@pytest.mark.parametrize(
    ("headers", "read"),
    [
        ((), {}),
        ((("own", b"kind"), ("prompts.stage", b"bury")), {}),
        ((("prompts.error.kind", b"first"), ("prompts.error.kind", b"second")), {"kind": "first"}),
        ((("prompts.error.kind", b"\xff"),), {"kind": "\ufffd"}),
    ],
)
def test_evidence_of_anybody_is_read_without_fault(headers: burial.Headers, read: dict[str, str]) -> None:
    assert read == burial.told(headers)


@given(HEADERS)
def test_evidence_of_any_headers_is_text(headers: burial.Headers) -> None:
    assert all(isinstance(text, str) for text in burial.told(headers).values())


@pytest.mark.parametrize(
    ("topic", "app", "where"),
    [
        ("prompts", "infer", burial.Where("acme-prompts", "acme.infer")),
        ("admitted", None, burial.Where("acme.admitted", "")),
        ("theirs", "core", burial.Where("theirs", "acme.core")),
    ],
)
def test_place_of_a_failure_has_the_names_of_kafka(topic: str, app: str | None, where: burial.Where) -> None:
    gone = failed()
    gone = gone.model_copy(update={"origin": gone.origin.model_copy(update={"topic": topic})})

    assert where == burial.where(gone, Names("acme.", "acme-"), app)
