"""What becomes of one record: admitted with keys and deadline, refused with all reasons, or no request at all."""

from hashlib import sha256

import pytest

from streams.decisions import admission, identity
from streams.decisions.admission import AdmissionPolicy, Admit, Reject, Undecodable
from streams.decisions.identity import DeduplicationKey, body_hash, canonical_request
from streams.decisions.limits import Violation
from streams.decisions.lineage import Claim, letter_at
from tests.support import door
from topics.catalog import PROMPT_BYTES
from topics.messages import Work
from topics.request import Request

DERIVED = "prompts-3-1042-ml29f9c0"
USUAL = AdmissionPolicy()
PLAIN = AdmissionPolicy(plain_text=True)
EVERYTHING = AdmissionPolicy(ready=frozenset({"session", "dedup", "sample"}), templates={"t": "v-1"})
AT = "2026-01-31T12:00:00.000Z"


def decide(value, content_type=None, policy=USUAL):
    return admission.decide(value, content_type, door.origin(), policy)


def admitted(value, content_type=None, policy=USUAL):
    outcome = decide(value, content_type, policy)
    assert isinstance(outcome, Admit), outcome
    return outcome.message


def refused(value, content_type=None, policy=USUAL):
    outcome = decide(value, content_type, policy)
    assert isinstance(outcome, Reject), outcome
    return outcome.answer


def hopeless(value, content_type=None, policy=USUAL):
    outcome = decide(value, content_type, policy)
    assert isinstance(outcome, Undecodable), outcome
    return outcome.failed


def user(text):
    return ({"role": "user", "content": text},)


def test_decide_smallest_request_is_admitted_whole():
    message = admitted(door.raw())
    hashed = body_hash({"messages": list(user("hi"))})
    told = door.admitted(
        id=DERIVED,
        identity=identity.identity(None, DERIVED, hashed),
        request_hash=hashed,
        dedup_key=str(DeduplicationKey.from_prompt("hi")),
        work=Work(messages=user("hi")),
    )

    assert told == message


@pytest.mark.parametrize(
    ("fields", "name", "value"),
    [
        ({"id": "a-1"}, "id", "a-1"),
        ({"tenant": "t"}, "tenant", "t"),
        ({"priority": "HIGH"}, "lane", "high"),
        ({"metadata": {"a": [1]}}, "metadata", {"a": [1]}),
        ({"timeout_s": 30}, "deadline_ms", door.NOON_MS + 30_000),
        ({"timeout_s": 0.0001}, "deadline_ms", door.NOON_MS + 1),
        ({"timeout_s": 604800}, "deadline_ms", door.NOON_MS + 604_800_000),
        ({"timeout_s": None}, "deadline_ms", None),
        ({"params": {"seed": 1}, "model": "m"}, "work", Work(messages=user("hi"), model="m", params={"seed": 1})),
        ({"prompt": " hi\r\n"}, "work", Work(messages=user(" hi\r\n"))),
        ({"prompt": None, "messages": list(user("ho"))}, "work", Work(messages=user("ho"))),
    ],
)
def test_decide_field_of_a_request_travels_on(fields, name, value):
    assert value == getattr(admitted(door.raw(**fields)), name)


def test_decide_prompt_and_its_message_are_one_request():
    told, chat = admitted(door.raw()), admitted(door.raw(prompt=None, messages=list(user("hi"))))

    assert told == chat


@pytest.mark.parametrize(
    "fields", [{"tenant": "t"}, {"id": "b-2"}, {"prompt": "ho"}, {"metadata": {"a": 1}}, {"timeout_s": 3}]
)
def test_decide_other_tenant_id_or_body_is_another_identity(fields):
    assert admitted(door.raw(id="a-1")).identity != admitted(door.raw(**{"id": "a-1", **fields})).identity


@pytest.mark.parametrize(
    "fields", [{"id": "b-2"}, {"metadata": {"a": 1}}, {"timeout_s": 3}, {"priority": "low"}, {"prompt": "hi\n"}]
)
def test_decide_same_content_has_the_same_dedup_key(fields):
    """B2: metadata is no part of it."""
    assert admitted(door.raw(id="a-1")).dedup_key == admitted(door.raw(**{"id": "a-1", **fields})).dedup_key


@pytest.mark.parametrize(
    "fields",
    [
        {"tenant": "t"},
        {"model": "m"},
        {"params": {"seed": 1}},
        {"prompt": "ho"},
        {"sample": 1},
        {"template": "t"},
        {"retrieve": {}},
        {"retrieve": {"k": 3}},
    ],
)
def test_decide_other_content_has_another_dedup_key(fields):
    """B6."""
    plain, other = admitted(door.raw()), admitted(door.raw(**fields), policy=EVERYTHING)

    assert plain.dedup_key != other.dedup_key


@pytest.mark.parametrize("fields", [{"dedup": False}, {"session": "s"}])
def test_decide_unshared_request_has_its_identity_as_dedup_key(fields):
    """B3."""
    message = admitted(door.raw(**fields), policy=EVERYTHING)

    assert f"i:{message.identity}" == message.dedup_key


def test_decide_request_hash_is_over_the_canonical_request():
    message = admitted(door.raw(id="a-1", priority="Low", params={}))

    assert body_hash(canonical_request(Request(prompt="hi", priority="low"))) == message.request_hash


def test_decide_keys_in_another_order_are_one_request():
    one, other = b'{"id":"a","prompt":"hi","model":"m"}', b'{"model":"m","prompt":"hi","id":"a"}'

    assert admitted(one) == admitted(other)


@pytest.mark.parametrize(
    ("value", "content_type", "policy"),
    [
        (b"hi", b"text/plain", USUAL),
        (b"hi", b"Text/Plain; charset=utf-8", USUAL),
        (b"hi", b" text/plain ;x=y", USUAL),
        (b'{"prompt": "hi"}', b"text/plain", USUAL),
        (b"[hi", b"text/plain", USUAL),
        (b"hi", None, PLAIN),
        (b"42", None, PLAIN),
        (b"null", None, PLAIN),
        ("hé\n\t\r\n".encode(), None, PLAIN),
        (b"say {x}", None, PLAIN),
    ],
)
def test_decide_plain_text_is_the_prompt_as_it_is(value, content_type, policy):
    assert user(value.decode()) == admitted(value, content_type, policy).work.messages


def test_decide_json_where_plain_text_is_on_is_still_a_request():
    assert "a-1" == admitted(door.raw(id="a-1"), policy=PLAIN).id


@pytest.mark.parametrize("value", [b" ", b"\n\n"])
def test_decide_blank_text_is_refused_as_empty(value):
    assert "prompt: is empty" == refused(value, policy=PLAIN).error.message


@pytest.mark.parametrize(
    ("value", "content_type", "policy", "reason"),
    [
        (None, None, PLAIN, "the value is null (a tombstone)"),
        (None, b"text/plain", PLAIN, "the value is null (a tombstone)"),
        (b"", None, PLAIN, 'the value is empty; write {"prompt": "…"}'),
        (b"\xff", None, PLAIN, "not UTF-8 (byte 0)"),
        (b'{"prompt": "\xff"}', None, PLAIN, "not UTF-8 (byte 12)"),
        (b"ab\xc3", b"text/plain", PLAIN, "not UTF-8 (byte 2)"),
        (b"{", None, PLAIN, 'not JSON (line 1 column 2); write {"prompt": "…"}'),
        (b' \n{"prompt": "hi"', None, PLAIN, 'not JSON (line 2 column 16); write {"prompt": "…"}'),
        (b"[1,", None, PLAIN, 'not JSON (line 1 column 4); write {"prompt": "…"}'),
        (b'"hi', None, PLAIN, 'not JSON (line 1 column 4); write {"prompt": "…"}'),
        (b'\xef\xbb\xbf{"prompt": "hi"}', None, PLAIN, 'not JSON (line 1 column 1); write {"prompt": "…"}'),
        (b'{"prompt": NaN}', None, PLAIN, 'not JSON (line 1 column 12); write {"prompt": "…"}'),
        (b'{"timeout_s": Infinity}', None, PLAIN, 'not JSON (line 1 column 15); write {"prompt": "…"}'),
        (b"[]", None, PLAIN, 'JSON, but no object; write {"prompt": "…"}'),
        (b'"hi"', None, PLAIN, 'JSON, but no object; write {"prompt": "…"}'),
        (b"42", None, USUAL, 'JSON, but no object; write {"prompt": "…"}'),
        (b"null", b"application/json", PLAIN, 'JSON, but no object; write {"prompt": "…"}'),
        (b"a\x00b", None, PLAIN, 'a control character in plain text (character 1); write {"prompt": "…"}'),
        (b"\x1b[31m", b"text/plain", PLAIN, 'a control character in plain text (character 0); write {"prompt": "…"}'),
        (b"hi", None, USUAL, "not JSON (line 1 column 1); for plain text, set the header content-type: text/plain"),
    ],
)
def test_decide_bytes_that_are_no_request_are_named_with_a_hint(value, content_type, policy, reason):
    """B60."""
    assert f"Cannot read request: {reason}" == hopeless(value, content_type, policy).failure.message


@pytest.mark.parametrize("value", [b"[" * 100_000, b'{"metadata":' + b"[" * 2000 + b"]" * 2000 + b"}"])
def test_decide_endless_nesting_is_no_request(value):
    assert hopeless(value).failure.message.startswith("Cannot read request: not JSON")


@pytest.mark.parametrize("content_type", [None, b"text/plain"])
def test_decide_value_above_what_prompts_may_carry_is_no_request(content_type):
    failed = hopeless(b"x" * (PROMPT_BYTES + 1), content_type)

    assert f"Cannot read request: {PROMPT_BYTES + 1} bytes, the limit is {PROMPT_BYTES}" == failed.failure.message


def test_decide_value_of_exactly_what_prompts_may_carry_is_admitted():
    assert PROMPT_BYTES == len(admitted(b"x" * PROMPT_BYTES, b"text/plain").work.messages[0]["content"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", DERIVED),
        ("tenant", None),
        ("identity", identity.identity(None, DERIVED, door.HASH)),
        ("request_hash", door.HASH),
        ("origin", door.origin()),
        ("stage", "admit"),
        ("outcome", "rejected"),
        ("disposition", "undecodable"),
        ("attempts", 0),
        ("first_failed_ms", door.NOON_MS),
        ("failed_ms", door.NOON_MS),
        ("work", None),
        ("metadata", {}),
    ],
)
def test_decide_bytes_that_are_no_request_fail_under_the_derived_id(field, value):
    assert value == getattr(hopeless(b"\xff"), field)


@pytest.mark.parametrize(
    ("field", "value"), [("kind", "undecodable"), ("retryable", False), ("exception_class", "DecodingError")]
)
def test_decide_bytes_that_are_no_request_leave_evidence(field, value):
    assert value == getattr(hopeless(b"\xff").failure, field)


@pytest.mark.parametrize(
    ("fields", "field", "value"),
    [
        ({"id": "a-1"}, "id", "a-1"),
        ({}, "id", DERIVED),
        ({"id": 5}, "id", DERIVED),
        ({"id": ""}, "id", DERIVED),
        ({"id": "x" * 257}, "id", DERIVED),
        ({"id": "a\x00"}, "id", DERIVED),
        ({}, "status", "rejected"),
        ({}, "request_hash", door.HASH),
        ({}, "received_at", AT),
        ({}, "finished_at", AT),
        ({"metadata": {"a": 1}}, "metadata", {"a": 1}),
        ({"metadata": 5}, "metadata", {}),
        ({"metadata": {"a": "x" * 20_000}}, "metadata", {}),
    ],
)
def test_decide_refusal_tells_whom_it_is_about_where_usable(fields, field, value):
    assert value == getattr(refused(door.raw(surprise=1, **fields)), field)


def test_decide_refusal_tells_every_violation():
    """B93."""
    answer = refused(door.raw(surprise=1, timeout_s=-1, params={"n": 2}, stream=True))

    assert [
        "surprise: unknown field",
        "params.n: is set by the pipeline (send several requests with distinct `sample` numbers instead)",
        "stream = true: is not supported yet (leave it out)",
        "timeout_s = -1.0: should be above 0 (null means no deadline)",
    ] == answer.error.message.split("; ")


def test_decide_refusal_of_countless_violations_stays_small():
    answer = refused(door.raw(**{f"field-{index}-{'x' * 100}": 1 for index in range(5000)}))

    assert len(answer.error.message) < 2000


@pytest.mark.parametrize(
    ("timeout_s", "keep_s", "expires_s"),
    [
        (None, None, None),
        (30, None, 30),
        (None, 600, 600),
        (30, 600, 30),
        (900, 600, 600),
        (600, 600, 600),
        (None, 0.5, 0.5),
    ],
)
def test_request_expires_at_its_deadline_or_with_what_is_kept(timeout_s, keep_s, expires_s):
    """B71 and B73: without a timeout it waits for as long as its prompt is kept, and a longer one does not count."""
    said = admitted(door.raw(timeout_s=timeout_s), policy=AdmissionPolicy(keep_s=keep_s))

    wanted = None if expires_s is None else door.NOON_MS + round(expires_s * 1000)
    assert wanted == said.expires_ms


def test_end_of_the_retention_changes_neither_key_nor_identity():
    kept, unkept = (admitted(door.raw(), policy=AdmissionPolicy(keep_s=keep_s)) for keep_s in (60, None))

    assert (unkept.identity, unkept.dedup_key, unkept.deadline_ms) == (kept.identity, kept.dedup_key, kept.deadline_ms)


@pytest.mark.parametrize("timeout_s", [0, -0.0, -1, -1e300, 604_800.001, 1e300])
def test_decide_timeout_outside_its_bounds_is_refused(timeout_s):
    """B73."""
    assert "timeout_s" in refused(door.raw(timeout_s=timeout_s)).error.message


@pytest.mark.parametrize("value", [b"[]", b"{}", b'{"prompt":"hi"}', None])
def test_decide_same_record_twice_gives_equal_outcomes(value):
    assert decide(value) == decide(value)


def test_decide_same_bytes_elsewhere_without_id_are_another_request():
    here = admission.decide(door.raw(), None, door.origin(), USUAL)
    there = admission.decide(door.raw(), None, door.origin(offset=1043), USUAL)

    assert here.message.identity != there.message.identity


def test_raw_hash_of_origin_travels_for_burial():
    value = door.raw()
    outcome = admission.decide(value, None, door.origin(hash=sha256(value).hexdigest()), USUAL)

    assert sha256(value).hexdigest() == outcome.message.origin.hash


SYSTEM = AdmissionPolicy(system_hash="ab" * 32)


def versioned(version):
    return AdmissionPolicy(templates={"t": version})


def test_template_of_a_request_travels_with_its_version():
    message = admitted(door.raw(template="t"), policy=versioned("v-1"))

    assert ("t", "v-1") == (message.work.template, message.template_version)


@pytest.mark.parametrize("field", ["dedup_key", "identity"])
def test_template_of_another_version_makes_another_request(field):
    """B6."""
    one, other = (admitted(door.raw(id="a", template="t"), policy=versioned(version)) for version in ("v-1", "v-2"))

    assert getattr(one, field) != getattr(other, field)


def test_template_of_another_version_keeps_the_request_hash():
    """B131."""
    one, other = (admitted(door.raw(id="a", template="t"), policy=versioned(version)) for version in ("v-1", "v-2"))

    assert one.request_hash == other.request_hash


def test_templates_of_one_version_under_two_names_share_an_answer():
    both = AdmissionPolicy(templates={"t": "v-1", "u": "v-1"})
    one, other = (admitted(door.raw(template=name), policy=both) for name in ("t", "u"))

    assert one.dedup_key == other.dedup_key


def test_template_that_is_not_asked_for_changes_nothing():
    assert admitted(door.raw(id="a")) == admitted(door.raw(id="a"), policy=versioned("v-1"))


@pytest.mark.parametrize("field", ["dedup_key", "identity"])
def test_system_text_that_is_added_makes_another_request(field):
    plain, other = admitted(door.raw(id="a")), admitted(door.raw(id="a"), policy=SYSTEM)

    assert getattr(plain, field) != getattr(other, field)


def test_system_text_of_the_requests_own_leaves_it_as_it_was():
    own = door.raw(
        id="a", prompt=None, messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "hi"}]
    )

    assert admitted(own) == admitted(own, policy=SYSTEM)


def test_unknown_template_is_refused_by_name():
    assert 'template = "x": there is no such template' in refused(door.raw(template="x")).error.message


@pytest.mark.parametrize(
    ("given", "selector"),
    [
        ({}, None),
        ({"retrieve": None}, None),
        ({"retrieve": {}}, {"k": 4, "filter": {}}),
        ({"retrieve": {"k": 2, "filter": {"a": ["x"]}}}, {"k": 2, "filter": {"a": ["x"]}}),
    ],
)
def test_decide_selector_of_a_request_is_part_of_its_work(given, selector):
    assert selector == admitted(door.raw(**given)).work.retrieve


# -- dead letters that are sent again

AGAIN = Claim(letter_at("3/17"), "a-1", 2)
FALSE = Violation("header prompts.lineage", "should be 1")


def redriven(value, said=AGAIN):
    return admission.decide(value, None, door.origin(), USUAL, said)


@pytest.mark.parametrize("value", [door.raw(), door.raw(id="a-1")])
def test_decide_true_claim_keeps_the_id_and_counts_the_life(value):
    """B78."""
    message = redriven(value).message
    hashed = body_hash({"messages": list(user("hi"))})

    assert ("a-1", 2, identity.identity(None, "a-1", hashed, 2)) == (message.id, message.lineage, message.identity)


def test_decide_true_claim_in_bytes_that_are_no_request_is_given_up_in_that_life():
    """B80."""
    failed = redriven(b"\xff").failed

    assert ("a-1", 2) == (failed.id, failed.lineage)
    assert identity.identity(None, "a-1", door.HASH, 2) == failed.identity


def test_decide_true_claim_that_breaks_rules_is_refused_under_the_id_it_had():
    assert "a-1" == redriven(door.raw(surprise=1)).answer.id


@pytest.mark.parametrize("value", [door.raw(id="b-1"), door.raw(id="")])
def test_decide_true_claim_of_another_id_is_refused(value):
    assert "id: is not that of the dead letter (leave it out)" in redriven(value).answer.error.message


def test_decide_false_claim_is_refused_with_all_else_that_is_wrong():
    answer = redriven(door.raw(id="a-1", surprise=1), FALSE).answer

    assert ("a-1", True, True) == (answer.id, str(FALSE) in answer.error.message, "surprise" in answer.error.message)


def test_decide_false_claim_in_bytes_that_are_no_request_is_given_up_as_new():
    failed = redriven(b"\xff", FALSE).failed

    assert (DERIVED, 0) == (failed.id, failed.lineage)
