"""What each way to fail means for the candidates, and for everybody else."""

import pytest

from streams.decisions import faults
from streams.decisions.faults import Meaning
from topics import errors
from topics import provider_errors as providers


def every_class(root: type[BaseException] = providers.ProviderError) -> list[type[BaseException]]:
    return [kind for child in root.__subclasses__() for kind in (child, *every_class(child))]


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (providers.ProviderRateLimited("p"), Meaning("rotate", systemic=True)),
        (providers.ProviderDenied("p"), Meaning("dead", systemic=True)),
        (providers.ProviderUnavailable("p"), Meaning("again", systemic=True)),
        (providers.ProviderUnreachable("p"), Meaning("again", systemic=True)),
        (providers.ProviderTimeout("p"), Meaning("again", systemic=True)),
        (providers.ProviderEmpty("p"), Meaning("again", systemic=True)),
        (providers.ProviderMalformed("p"), Meaning("none", systemic=True)),
        (providers.ContextTooLong("p"), Meaning("skip")),
        (providers.ProviderNotFound("p"), Meaning("none")),
        (providers.ProviderRefused("p"), Meaning("none")),
        (providers.WorkerError("echo", "overloaded", retryable=True), Meaning("again", systemic=True)),
        (providers.WorkerError("echo", "auth", retryable=False), Meaning("none")),
        (errors.TransportError("writing", "away"), Meaning("again", systemic=True)),
        (errors.RecordTooLarge("inferred", 2, 1), Meaning("none")),
        (errors.DeadlineExceeded(1, 2), Meaning("none")),
        (ValueError("words of a prompt"), Meaning("none")),
    ],
    ids=lambda value: getattr(value, "kind", None),
)
def test_fault_of_each_class_has_one_meaning(error: BaseException, meaning: Meaning) -> None:
    assert meaning == faults.meaning(error)


@pytest.mark.parametrize("kind", [providers.ContextTooLong, providers.ProviderNotFound, providers.ProviderRefused])
def test_fault_of_one_request_is_no_outage(kind: type[providers.ProviderError]) -> None:
    assert False is faults.meaning(kind("p")).systemic


@pytest.mark.parametrize("kind", every_class())
def test_table_names_every_way_in_which_a_provider_fails(kind: type[providers.ProviderError]) -> None:
    assert kind.kind in faults.MEANINGS


@pytest.mark.parametrize("kind", every_class())
def test_fault_that_can_pass_is_tried_again_and_no_other(kind: type[providers.ProviderError]) -> None:
    assert kind.retryable == (faults.meaning(kind("p")).step in {"rotate", "again"})


@pytest.mark.parametrize("kind", every_class())
def test_failure_of_a_stage_means_what_its_source_means(kind: type[providers.ProviderError]) -> None:
    source = kind("p")

    assert faults.meaning(source) == faults.meaning(errors.StageFailure("infer", 3, source))


@pytest.mark.parametrize("kind", every_class())
def test_kind_in_a_ledger_has_the_step_of_its_class(kind: type[providers.ProviderError]) -> None:
    assert faults.meaning(kind("p")).step == faults.step_of(kind.kind)


@pytest.mark.parametrize("kind", ["worker_error", "ValueError", "a kind of a newer version"])
def test_kind_that_the_table_does_not_name_can_pass(kind: str) -> None:
    """It stands in a ledger only because its request went on."""
    assert "again" == faults.step_of(kind)
