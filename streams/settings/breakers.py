"""Which settings have the circuit breakers?"""

from typing import Self

from pydantic import Field, model_validator

from streams.decisions.breaker import BreakerPolicy
from streams.settings.section import Section

BREAKER = BreakerPolicy()


class Breaker(Section):
    """When calls to a provider's model stop, and how they begin again: ``BreakerPolicy`` as settings."""

    consecutive: int = Field(BREAKER.consecutive, ge=1, description="bad calls in a row that open it")
    rate: float = Field(BREAKER.rate, gt=0, le=1, description="part of bad calls in the window that opens it")
    minimum: int = Field(BREAKER.minimum, ge=1, le=1000, description="calls in the window before the rate counts")
    window_n: int = Field(BREAKER.window_n, ge=1, le=1000, description="calls that the window holds at most")
    window_s: float = Field(BREAKER.window_s, gt=0, le=86_400, description="and for how long")
    slow_s: float = Field(BREAKER.slow_s, gt=0, le=86_400, description="an answer that takes so long is a bad one")
    open_s: float = Field(BREAKER.open_s, ge=0.1, le=3600, description="the first wait; each relapse doubles it")
    cap_s: float = Field(BREAKER.cap_s, ge=0.1, le=86_400, description="the longest wait; 64 times the first at most")
    probe_interval_s: float = Field(BREAKER.probe_interval_s, ge=0.1, le=3600, description="between two probes")
    success_rate: float = Field(BREAKER.success_rate, gt=0, le=1, description="part of good probes that closes it")
    min_probes: int = Field(BREAKER.min_probes, ge=1, le=100, description="probes before it may close")

    @model_validator(mode="after")
    def _rate_can_count(self) -> Self:
        if self.minimum > self.window_n:
            raise ValueError("minimum is above window_n, so that the rate never counts: lower it")
        return self

    def policy(self) -> BreakerPolicy:
        """The rule's knobs."""
        return BreakerPolicy(**self.model_dump())
