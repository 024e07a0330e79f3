"""What does a failed call tell, and what not? Words and kinds of every class stand in ``test_errors``."""

import pytest

from topics import errors
from topics import provider_errors as providers

NAMED = [value for value in vars(providers).values() if isinstance(value, type)]
CLASSES = [value for value in NAMED if issubclass(value, providers.ProviderError)]


@pytest.mark.parametrize(
    ("detail", "known", "more"),
    [
        ("", {}, ""),
        ("no JSON", {}, " (no JSON)"),
        ("", {"status": 503}, " (status 503)"),
        ("", {"request_id": "r-1"}, " (request r-1)"),
        ("no JSON", {"status": 200, "request_id": "r-1"}, " (no JSON, status 200, request r-1)"),
        ("", {"retry_after_s": 2.0}, ""),
    ],
)
def test_provider_error_tells_only_what_is_known(detail, known, more):
    error = providers.ProviderUnavailable("openai", detail, **known)

    assert f"Worker inference failed: openai: is unavailable{more}" == str(error)


@pytest.mark.parametrize("error", CLASSES)
def test_provider_error_is_caught_as_a_worker_error(error):
    with pytest.raises(providers.ProviderError) as raised:
        raise error("openai")

    assert isinstance(raised.value, providers.WorkerError)


@pytest.mark.parametrize("error", CLASSES)
def test_provider_error_belongs_to_the_tree(error):
    assert issubclass(error, errors.OrchestratorError)
