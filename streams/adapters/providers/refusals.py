"""Which error is an answer that is no success? One table from status to class; bodies are looked at, never quoted."""

import re

from streams.adapters.providers.line import Response
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

EXACT: dict[int, type[ProviderError]] = {
    401: ProviderDenied,
    403: ProviderDenied,
    404: ProviderNotFound,
    408: ProviderTimeout,
    413: ContextTooLong,
    429: ProviderRateLimited,
}
FAMILIES: dict[int, type[ProviderError]] = {3: ProviderNotFound, 4: ProviderRefused, 5: ProviderUnavailable}
MAY_BE_LENGTH = frozenset({400, 422})
LOOKED_AT = 16 * 1024  # bytes of a body; what was wrong stands at its start
LENGTH = re.compile(
    rb"context_length|context[ _](length|window|size)|maximum context|prompt is too long|too many (input )?tokens",
    re.IGNORECASE,
)


def accepted(response: Response) -> Response:
    """The same response where its status is a success (200 to 299); raises the error that it means otherwise."""
    if not 200 <= response.status < 300:
        raise response.error(_class(response))
    return response


def _class(response: Response) -> type[ProviderError]:
    if response.status in MAY_BE_LENGTH and LENGTH.search(response.raw[:LOOKED_AT]):
        return ContextTooLong
    family = FAMILIES.get(response.status // 100, ProviderUnavailable)
    return EXACT.get(response.status, family)
