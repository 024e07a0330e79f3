from typing import Any

import orjson
import pytest

from streams.decisions import burial
from streams.stage import ORIGINAL_KEY, Output, Record
from streams.stages import bury
from tests.support.builders import NOW_MS, RAW, failed, origin, record
from tests.support.scopes import run
from topics.catalog import DEAD_LETTER_BYTES, DEAD_LETTERS, FAILED, PROMPT_BYTES, PROMPTS, Names
from topics.errors import DecodingError, TransportError
from topics.messages import Origin


class Kept:
    """Originals with one record, or none."""

    def __init__(self, original: Record | None) -> None:
        self.original, self.asked = original, list[Origin]()

    async def fetch(self, origin: Origin) -> Record | None:
        self.asked.append(origin)
        return self.original


def original(value: bytes | None = RAW, **fields: Any) -> Record:
    return record(value, **{"topic": PROMPTS, "offset": 1042, "key": b"mine", **fields})


def buried(kept: Record | None = None, **fields: Any) -> list[Output]:
    return run(bury.stage(Kept(kept)), record(failed(**fields), topic=FAILED))


def test_original_that_is_there_is_buried_as_it_is() -> None:
    (output,) = buried(original())

    assert (DEAD_LETTERS, b"mine", RAW, "buried-original") == (output.topic, output.key, output.value, output.decision)


@pytest.mark.parametrize("raw", [b"\xff\x00 no text", b"", b"{" * 5000])
def test_original_of_any_bytes_is_buried_as_it_is(raw: bytes) -> None:
    """B60."""
    (output,) = buried(original(raw), origin=origin(raw=raw))

    assert raw == output.value


def test_original_that_was_a_tombstone_is_buried_as_one() -> None:
    (output,) = buried(original(None), origin=origin(raw=b""))

    assert (None, "buried-original") == (output.value, output.decision)


def test_original_is_asked_for_by_its_origin() -> None:
    kept, message = Kept(None), failed()

    run(bury.stage(kept), record(message, topic=FAILED))

    assert [message.origin] == kept.asked


def test_original_with_another_hash_is_replaced_by_the_request() -> None:
    (output,) = buried(original(b"another record at the same place"))

    assert {"id": "a-1", "messages": [{"role": "user", "content": "hello"}]} == orjson.loads(output.value or b"")
    assert ("prompts.error.original", b"gone") == output.headers[-1]


def test_original_that_is_gone_is_replaced_by_the_request() -> None:
    (output,) = buried(None)

    assert ("buried-request", ("prompts.error.original", b"gone")) == (output.decision, output.headers[-1])


def test_original_that_is_gone_keeps_its_key_from_the_header() -> None:
    message = record(failed(), topic=FAILED, headers=((ORIGINAL_KEY, b"mine"),))

    (output,) = run(bury.stage(Kept(None)), message)

    assert b"mine" == output.key


def test_expired_request_without_disposition_is_not_buried() -> None:
    kept = Kept(original())

    outputs = run(bury.stage(kept), record(failed("expired", None), topic=FAILED))

    assert ([], []) == (outputs, kept.asked)


def test_evidence_of_a_dead_letter_tells_what_happened() -> None:
    stage = bury.stage(Kept(original()), names=Names(prefix="acme."), apps={"infer": "infer"})

    (output,) = run(stage, record(failed(attempts=2), topic=FAILED))

    told = {name.removeprefix("prompts.error."): value.decode() for name, value in output.headers}
    assert {
        "kind": "worker_error",
        "stage": "infer",
        "exception-class": "WorkerError",
        "exception-message": "echo: timeout",
        "attempts": "2",
        "first-failed-at": "2026-01-31T12:00:00.000Z",
        "failed-at": "2026-01-31T12:00:00.900Z",
        "original-topic": "acme.prompts",
        "original-partition": "3",
        "original-offset": "1042",
        "original-timestamp": str(NOW_MS),
        "group": "prompts.infer",
        "request-id": "a-1",
        "lineage": "0",
        "disposition": "exhausted",
    } == told


@pytest.mark.parametrize(("topic", "told"), [("deduped", b"prompts.deduped"), ("no-such", b"no-such")])
def test_topic_of_an_internal_original_is_told_by_kafkas_name(topic: str, told: bytes) -> None:
    (output,) = buried(None, origin=origin(topic=topic))

    assert told == dict(output.headers)["prompts.error.original-topic"]


def test_own_headers_of_the_original_stay() -> None:
    (output,) = buried(original(headers=(("content-type", b"text/plain"), ("ce_id", b"7"))))

    assert (("content-type", b"text/plain"), ("ce_id", b"7")) == output.headers[-2:]


def test_headers_of_a_talkative_original_stay_below_the_cap() -> None:
    (output,) = buried(original(headers=tuple((f"h{n}", b"x" * 900) for n in range(300))))

    size = sum(len(name) + len(value) for name, value in output.headers)
    assert 50 * 1024 < size <= 60 * 1024


def test_dead_letter_of_the_largest_request_fits_its_topic() -> None:
    raw = b"x" * PROMPT_BYTES
    headers = tuple((f"h{n}", b"x" * 900) for n in range(300))

    (output,) = buried(original(raw, headers=headers), origin=origin(raw=raw))

    size = len(output.value or b"") + sum(len(name) + len(value) for name, value in output.headers)
    assert size <= DEAD_LETTER_BYTES


def test_same_failure_buried_twice_gives_equal_dead_letters() -> None:
    assert buried(original()) == buried(original())


def test_log_that_cannot_be_read_reaches_the_loop() -> None:
    class Unreachable:
        async def fetch(self, origin: Origin) -> Record | None:
            raise TransportError("reading back", "no broker")

    with pytest.raises(TransportError):
        run(bury.stage(Unreachable()), record(failed(), topic=FAILED))


def test_bytes_that_are_no_failure_reach_the_loop() -> None:
    with pytest.raises(DecodingError):
        run(bury.stage(Kept(None)), record(b"{}", topic=FAILED))


def test_stage_as_data_reads_failures_from_the_start() -> None:
    stage = bury.stage(Kept(None))

    assert ("bury", "bury", (FAILED,), (DEAD_LETTERS,)) == (stage.name, stage.app, stage.reads, stage.writes)


def test_original_above_the_limit_of_dead_letters_is_replaced_by_the_request() -> None:
    """A topic of one's own may take more than ours do."""
    raw = b"x" * (DEAD_LETTER_BYTES + 1)

    (output,) = buried(original(raw, key=b""), origin=origin(raw=raw))

    assert ("buried-request", ("prompts.error.original", b"too-large")) == (output.decision, output.headers[-1])
    assert len(output.value or b"") < 1000


@pytest.mark.parametrize(("beyond", "decision"), [(0, "buried-original"), (1, "buried-request")])
def test_key_of_an_original_counts_towards_the_limit(beyond: int, decision: str) -> None:
    raw = b"x" * (DEAD_LETTER_BYTES - 10)

    (output,) = buried(original(raw, key=b"k" * (10 + beyond)), origin=origin(raw=raw))

    assert decision == output.decision


def test_every_dead_letter_carries_all_that_is_known_of_its_failure() -> None:
    """B75."""
    (output,) = buried(original(headers=(("own", b"1"),)), attempts=4)

    told = burial.told(output.headers)
    assert (b"mine", RAW, b"1") == (output.key, output.value, dict(output.headers)["own"])
    assert {"stage", "kind", "exception-class", "exception-message", "attempts"} <= told.keys()
    assert {"first-failed-at", "failed-at", "original-timestamp"} <= told.keys()
