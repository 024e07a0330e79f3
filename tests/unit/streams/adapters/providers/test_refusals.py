"""Which error an answer that is no success means."""

import pytest

from streams.adapters.providers.line import Response
from streams.adapters.providers.refusals import accepted
from topics import errors
from topics.provider_errors import (
    ContextTooLong,
    ProviderDenied,
    ProviderError,
    ProviderNotFound,
    ProviderRateLimited,
    ProviderRefused,
    ProviderTimeout,
    ProviderUnavailable,
)


def response(status, raw=b"{}", **told):
    return Response("openai", status, raw, **told)


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success_of_any_kind_is_passed_on(status):
    assert response(status) == accepted(response(status))


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (300, ProviderNotFound, False),
        (301, ProviderNotFound, False),
        (307, ProviderNotFound, False),
        (400, ProviderRefused, False),
        (401, ProviderDenied, False),
        (402, ProviderRefused, False),
        (403, ProviderDenied, False),
        (404, ProviderNotFound, False),
        (408, ProviderTimeout, True),
        (413, ContextTooLong, False),
        (418, ProviderRefused, False),
        (422, ProviderRefused, False),
        (429, ProviderRateLimited, True),
        (500, ProviderUnavailable, True),
        (502, ProviderUnavailable, True),
        (503, ProviderUnavailable, True),
        (529, ProviderUnavailable, True),
        (199, ProviderUnavailable, True),
        (999, ProviderUnavailable, True),
    ],
)
def test_status_means_its_own_error(status, kind, retryable):
    """B103: each refusal is its own error and retryability."""
    with pytest.raises(ProviderError) as raised:
        accepted(response(status))

    assert (kind, retryable, status) == (type(raised.value), raised.value.retryable, raised.value.status)


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"code": "context_length_exceeded"}}',
        b'{"error": {"message": "This model\'s maximum context length is 8192 tokens"}}',
        b'{"error": {"type": "exceed_context_size_error"}}',
        b'{"error": {"message": "exceeds the available context size, try increasing it"}}',
        b'{"error": {"message": "prompt is too long: 210000 tokens > 200000 maximum"}}',
        b"input exceeds the Context Window",
        b"too many input tokens",
    ],
)
def test_refusal_that_speaks_of_the_context_is_a_prompt_too_long(status, body):
    with pytest.raises(ContextTooLong):
        accepted(response(status, body))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b'{"error": {"message": "unknown parameter: temprature"}}'),
        (400, b""),
        (400, b"\xff\xfe"),
        (400, b"x" * 20_000 + b"context_length_exceeded"),
        (409, b"context_length_exceeded"),
    ],
)
def test_refusal_for_another_reason_is_no_prompt_too_long(status, body):
    with pytest.raises(ProviderRefused):
        accepted(response(status, body))


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 413, 418, 429, 500, 503])
def test_error_of_a_refusal_quotes_nothing_of_the_body(status):
    """B98: bodies may quote prompts."""
    with pytest.raises(ProviderError) as raised:
        accepted(response(status, b'{"error": {"message": "you said: launch codes"}}', request_id="r-1"))

    assert "launch" not in f"{raised.value} {raised.value.args} {vars(raised.value)}"
    assert f"(status {status}, request r-1)" in str(raised.value)


@pytest.mark.parametrize("status", [429, 503])
def test_error_of_a_refusal_knows_when_to_come_back(status):
    with pytest.raises(ProviderError) as raised:
        accepted(response(status, retry_after_s=2.5))

    assert (2.5, True) == (raised.value.retry_after_s, raised.value.retryable)


def test_every_class_under_the_provider_error_has_its_kind():
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ProviderError)]

    assert len(classes) == len({kind.kind for kind in classes})


def test_refused_credentials_are_no_matter_of_time():
    with pytest.raises(ProviderDenied, match="refused our credentials") as raised:
        accepted(response(401, retry_after_s=1.0))

    assert raised.value.retryable is False


def test_redirect_is_told_as_a_wrong_address():
    with pytest.raises(ProviderNotFound, match="no such model or address"):
        accepted(response(308))


def test_overloaded_provider_is_unavailable_for_a_while():
    with pytest.raises(ProviderUnavailable, match="is unavailable") as raised:
        accepted(response(529))

    assert raised.value.retryable is True


def test_rate_limit_without_advice_knows_no_time():
    with pytest.raises(ProviderRateLimited) as raised:
        accepted(response(429))

    assert raised.value.retry_after_s is None
