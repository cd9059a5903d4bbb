"""For every test: Microsoft's driver finds what the system may lack; no example fails for its time; failures show."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from tap_mssql import native

native.ready()
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")


class AtOnce:
    """Tells each failure when it happens: a run that is cut short has said what it found."""

    def __init__(self, terminal: pytest.TerminalReporter) -> None:
        self._terminal = terminal

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._terminal.write_line(f"\n{report.nodeid}, {report.when}\n{report.longreprtext}\n")


def pytest_sessionstart(session: pytest.Session) -> None:
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if terminal is not None and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(AtOnce(terminal))
