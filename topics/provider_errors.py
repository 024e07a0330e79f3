"""How can a call to a provider fail? One class a kind; nothing of any body is told, nor of a prompt."""

from topics.errors import OrchestratorError


class WorkerError(OrchestratorError):
    """The provider did not answer a call; ``reason`` is one word, ``retryable`` follows from it."""

    kind = "worker_error"

    def __init__(self, provider: str, reason: str, *, retryable: bool) -> None:
        super().__init__(f"Worker inference failed: {provider}: {reason}")
        self.provider, self.reason, self.retryable = provider, reason, retryable


class ProviderError(WorkerError):
    """Base of what a provider over HTTP does wrong: status and request id are told, nothing of any body is."""

    kind = "provider_error"
    reason = "failed"

    def __init__(
        self,
        provider: str,
        detail: str = "",
        *,
        status: int | None = None,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        told = (detail, f"status {status}" if status else "", f"request {request_id}" if request_id else "")
        more = ", ".join(part for part in told if part)
        super().__init__(provider, f"{self.reason} ({more})" if more else self.reason, retryable=type(self).retryable)
        self.status, self.request_id, self.retry_after_s = status, request_id, retry_after_s


class ProviderDenied(ProviderError):
    """The provider refuses our credentials, or what they may do."""

    kind = "provider_denied"
    reason = "refused our credentials"


class ProviderNotFound(ProviderError):
    """The provider has no such model, or nothing answers at its address; redirects are not followed."""

    kind = "provider_not_found"
    reason = "knows no such model or address"


class ProviderRateLimited(ProviderError):
    """The provider asks for fewer calls."""

    kind = "provider_rate_limited"
    reason = "limits our rate"
    retryable = True


class ProviderUnavailable(ProviderError):
    """The provider failed on its own side."""

    kind = "provider_unavailable"
    reason = "is unavailable"
    retryable = True


class ProviderUnreachable(ProviderError):
    """No connection, or it broke before the answer was whole."""

    kind = "provider_unreachable"
    reason = "cannot be reached"
    retryable = True


class ProviderTimeout(ProviderError):
    """The provider kept us waiting; the detail says for what."""

    kind = "provider_timeout"
    reason = "did not answer in time"
    retryable = True


class ProviderMalformed(ProviderError):
    """What the provider answered is no answer, or above the size that is read."""

    kind = "provider_malformed"
    reason = "sent what is no answer"


class ProviderEmpty(ProviderError):
    """The provider answered without any choice; another draw may have one."""

    kind = "provider_empty"
    reason = "answered without a choice"
    retryable = True


class ContextTooLong(ProviderError):
    """The prompt is above what the model can read."""

    kind = "context_too_long"
    reason = "cannot read so long a prompt"


class ProviderRefused(ProviderError):
    """The provider refuses the request as it is."""

    kind = "provider_refused"
    reason = "refused the request"
