"""In CI every test runs: a skip or an expected failure there is a failure. Elsewhere both are left alone."""

import os
from collections.abc import Generator
from typing import TypeVar

import pytest

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


class NoSkips:
    """Turns each skipped or expected-to-fail report into a failed one that says so."""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        return refused((yield))

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        return refused((yield))


def refused(report: Report) -> Report:
    """The report, failed where it says skipped or expected to fail."""
    if report.outcome == "skipped" or hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else getattr(report, "wasxfail", "")
        report.outcome = "failed"
        report.longrepr = f"In CI nothing is skipped or expected to fail: {reason or report.longrepr}"
        vars(report).pop("wasxfail", None)
    return report


def pytest_configure(config: pytest.Config) -> None:
    """Active where CI=true."""
    if os.environ.get("CI") == "true":
        config.pluginmanager.register(NoSkips(), "no-skips")
