"""What a provider's headers tell, and what they cannot smuggle in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.adapters.providers.headers import request_id, retry_after_s
from streams.decisions.retry import LONGEST_S

SENT = "Wed, 21 Oct 2026 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "found"),
    [
        ({}, None),
        ({"x-request-id": "req_1"}, "req_1"),
        ({"request-id": "req_2"}, "req_2"),
        ({"x-request-id": "a-1", "request-id": "b-2"}, "a-1"),
        ({"x-request-id": "0af7:65.1"}, "0af7:65.1"),
        ({"x-request-id": ""}, None),
        ({"x-request-id": "two words"}, None),
        ({"x-request-id": "line\nend"}, None),
        ({"x-request-id": "\x1b[31m"}, None),
        ({"x-request-id": "ü"}, None),
        ({"x-request-id": "a" * 128}, "a" * 128),
        ({"x-request-id": "a" * 129}, None),
        ({"etag": "req_1"}, None),
    ],
)
def test_request_id_is_taken_where_it_is_a_plain_word(headers, found):
    assert found == request_id(headers)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("0", 0.0),
        ("2", 2.0),
        ("1.5", 1.5),
        (" 3 ", 3.0),
        ("-4", None),
        ("604800", LONGEST_S),
        ("604801", LONGEST_S),
        ("9" * 300, LONGEST_S),
        ("1e300", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:30 GMT", 30.0),
        ("Wed, 21 Oct 2026 07:27:00 GMT", 0.0),
        ("Wed, 21 Oct 2026 09:28:10 +0200", 10.0),
        ("Wed, 21 Oct 2026 07:28:05", 5.0),
        ("Wednesday, 21-Oct-26 07:28:05 GMT", 5.0),
        ("Wed Oct 21 07:28:05 2026", 5.0),
        ("Wed, 21 Oct 2076 07:28:05 GMT", LONGEST_S),
        ("Wed, 99 Oct 2026 07:28:05 GMT", None),
    ],
)
def test_retry_after_in_any_form_is_seconds(told, seconds):
    assert seconds == retry_after_s({"retry-after": told, "date": SENT})


@pytest.mark.parametrize(
    "date", ["", "today", "Wed, 99 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 07:28:00 +99999999999999"]
)
def test_retry_after_in_seconds_needs_no_date(date):
    """B47."""
    assert retry_after_s({"retry-after": "30", "date": date}) == retry_after_s({"retry-after": "30"}) == 30.0


@pytest.mark.parametrize("sent", ["Wed, 21 Oct 2026 07:28:00 GMT", "Wed, 21 Oct 2026 09:28:00 +0200"])
def test_retry_after_as_a_date_counts_from_the_clock_of_the_provider(sent):
    """B47: ours may be wrong by more than the wait."""
    assert retry_after_s({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT", "date": sent}) == 30.0


@pytest.mark.parametrize("headers", [{}, {"date": SENT}, {"retry-after": SENT}, {"retry-after": SENT, "date": "today"}])
def test_retry_after_without_its_parts_is_unknown(headers):
    assert retry_after_s(headers) is None


@given(st.text(), st.text(), st.text())
def test_headers_of_any_text_give_a_word_and_a_bounded_wait(told, date, name):
    headers = {"retry-after": told, "date": date, "x-request-id": name}
    seconds, found = retry_after_s(headers), request_id(headers)

    assert seconds is None or 0 <= seconds <= LONGEST_S
    assert found is None or (found.isascii() and found.isprintable())
