"""Which settings has a call: how many at once, whom else it may ask, when it is tried again, and what is an outage?"""

from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from streams.decisions.attempts import CascadePolicy
from streams.decisions.flood_guard import GuardPolicy
from streams.decisions.retry import LONGEST_S, MAX_RETRY_DELAY, Growth, RetryPolicy
from streams.decisions.thinning import KeepPolicy
from streams.settings.section import Section, listed
from topics.catalog import PARKED

FREE = "echo"  # the one kind of provider that costs nothing, so the environment alone may choose it
KINDS = (FREE, "openai", "anthropic")
MOST = 32  # candidates of a route
RETRY, CASCADE, GUARD, KEEP = RetryPolicy(), CascadePolicy(), GuardPolicy(), KeepPolicy()


def split(candidate: str) -> tuple[str, str]:
    """Kind and model of a candidate as it is written: ``openai:gpt-5``; the model may have colons of its own."""
    kind, _, model = candidate.partition(":")
    return kind, model


def _known(candidate: str) -> str:
    kind, model = split(candidate)
    if not model or model != model.strip():
        raise ValueError('should be "provider:model"')
    if kind not in KINDS:
        raise ValueError(f"there is no provider '{kind}': use one of {', '.join(KINDS)}")
    return candidate


def _a_route(route: tuple[str, ...]) -> tuple[str, ...]:
    if not 1 <= len(route) <= MOST:
        raise ValueError(f"should name 1 to {MOST} candidates")
    twice = next((candidate for candidate in route if route.count(candidate) > 1), None)
    if twice is not None:
        raise ValueError(f"'{twice}' stands in it twice")
    return route


Candidates = Annotated[tuple[Annotated[str, AfterValidator(_known)], ...], AfterValidator(_a_route)]
Routes = Annotated[
    dict[Annotated[str, Field(min_length=1, max_length=256)], Candidates],
    Field(description="a model's name in requests → who is asked, in order"),
]


class Infer(Section):
    """How `infer` calls providers."""

    in_flight: int = Field(256, ge=1, le=10_000, description="provider calls at once, per worker")
    dead_key_s: float = Field(
        CASCADE.dead_key_s, ge=1, le=86_400, description="for which a provider that refused the key is left alone"
    )
    guard_consecutive: int = Field(
        GUARD.consecutive, ge=1, le=100_000, description="requests in a row that providers failed: an outage"
    )
    guard_ratio: float = Field(
        GUARD.ratio, gt=0, le=1, description="part of bad ones among the latest calls: an outage, too"
    )
    guard_window: int = Field(GUARD.window, ge=1, le=10_000, description="the latest calls are so many")
    guard_minimum: int = Field(GUARD.minimum, ge=1, le=10_000, description="before so many the part does not count")
    keep_answers_s: float = Field(
        KEEP.whole_ms / 1000, ge=1, le=2_592_000, description="for a redelivery; then only that there was one"
    )

    @model_validator(mode="after")
    def _ratio_can_count(self) -> Self:
        if self.guard_minimum > self.guard_window:
            raise ValueError("guard_minimum is above guard_window, so that the ratio never counts: lower it")
        return self

    def guard(self) -> GuardPolicy:
        """The flood guard's knobs."""
        return GuardPolicy(self.guard_consecutive, self.guard_ratio, self.guard_window, self.guard_minimum)

    def keep(self, retention_ms: int) -> KeepPolicy:
        """For how long answers are kept; that there was one, for as long as its prompt is."""
        return KeepPolicy(round(self.keep_answers_s * 1000), retention_ms)


class Retry(Section):
    """When a call that failed is tried again: ``RetryPolicy`` as settings."""

    attempts: int = Field(RETRY.attempts, ge=1, le=1000, description="tries of a request, over all candidates")
    base_s: float = Field(RETRY.base_s, ge=0, le=MAX_RETRY_DELAY, description="the first wait, before jitter")
    growth: Growth = Field(RETRY.growth, description="of the waits after it")
    cap_s: float = Field(RETRY.cap_s, ge=0, le=MAX_RETRY_DELAY, description="the longest of these waits")
    budget_s: float = Field(RETRY.budget_s, ge=0, le=LONGEST_S, description="between the first try and the last")
    in_process_s: float = Field(RETRY.in_process_s, ge=0.1, le=60, description="longer waits are parked")
    tiers_s: Annotated[tuple[float, ...], NoDecode] = Field(RETRY.tiers_s, description="for which one can be parked")

    _split = field_validator("tiers_s", mode="before")(listed)

    @field_validator("tiers_s")
    @classmethod
    def _one_a_topic(cls, given: tuple[float, ...]) -> tuple[float, ...]:
        if len(given) != len(PARKED) or any(later <= tier for tier, later in pairwise((0.0, *given))):
            raise ValueError(f"should be {len(PARKED)} numbers above 0, in ascending order")
        if given[-1] > LONGEST_S:
            raise ValueError(f"should be {LONGEST_S:g} seconds at most")
        return given

    def policy(self) -> RetryPolicy:
        """The rule's knobs."""
        return RetryPolicy(**self.model_dump())
