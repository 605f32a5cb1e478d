"""A pytest plugin: how many CPU seconds each test takes, and which take more than a test may.

CPU seconds are user and system time of this process, of its children and of the commands that tests.warm has
run: on a busy machine they grow far less than the time by the clock. What a fixture of a module or session
takes counts for the fixture, not for the test that happens to come first.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.warm import COLD, CPU

# CPU seconds of a test that is not marked slow, long or slurm. What takes 20 on an idle machine may take 30
# on a busy one, as caches and the halves of a core are shared.
LIMIT = 30.0
SHOWN = 15


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Budget(), "polysharp-budget")


class Clock:
    """The CPU seconds that this process and its commands have taken."""

    def __init__(self) -> None:
        self._read, self._commands = 0, 0.0

    def __call__(self) -> float:
        with Path(os.environ[CPU]).open() as file:
            file.seek(self._read)
            self._commands += sum(map(float, file.read().split()))
            self._read = file.tell()
        times = os.times()
        return times.user + times.system + times.children_user + times.children_system + self._commands


class Budget:
    def __init__(self) -> None:
        self._clock = Clock()
        self._started = self._in_fixtures = 0.0
        self._fixtures: list[tuple[str, float]] = []
        self.tests: dict[str, float] = {}
        self.fixtures: dict[str, list[float]] = defaultdict(list)
        self.over: dict[str, float] = {}

    # In the process that runs the test.

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Generator[None, Any, Any]:
        self._started, self._in_fixtures, self._fixtures = self._clock(), 0.0, []
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
    ) -> Generator[None, Any, Any]:
        before = self._clock()
        try:
            return (yield)
        finally:
            if fixturedef.scope != "function":
                seconds = self._clock() - before
                self._in_fixtures += seconds
                self._fixtures.append((f"{request.node.nodeid or 'session'}: {fixturedef.argname}", seconds))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if call.when == "teardown":
            free = COLD in os.environ or any(map(item.get_closest_marker, ("slow", "long", "slurm")))
            seconds = self._clock() - self._started - self._in_fixtures
            report.user_properties.append(("cpu", [seconds, free, self._fixtures]))
        return report

    # In the process that pytest was called in, also with several workers.

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for name, value in report.user_properties if report.when == "teardown" else []:
            if name == "cpu":
                seconds, free, fixtures = value
                self.tests[report.nodeid] = seconds
                if seconds > LIMIT and not free:
                    self.over[report.nodeid] = seconds
                for fixture, of_fixture in fixtures:
                    self.fixtures[fixture].append(of_fixture)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.over and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        write = terminalreporter.write_line
        folders: dict[str, float] = defaultdict(float)
        costs = [*self.tests.items(), *((name, sum(all_)) for name, all_ in self.fixtures.items())]
        for name, seconds in costs:
            folders["/".join(name.split("/")[:2]) if "/" in name else "session fixtures"] += seconds
        terminalreporter.section("CPU seconds")
        for folder, seconds in sorted(folders.items()):
            write(f"{seconds:8.1f}  {folder}")
        write(f"{sum(folders.values()):8.1f}  in all; the most costly tests and shared fixtures:")
        for name, seconds in sorted(costs, key=lambda cost: -cost[1])[:SHOWN]:
            times = sum(made > 0.5 for made in self.fixtures.get(name, []))  # others waited for it
            write(f"{seconds:8.1f}  {name}" + (f" (made {times} times)" if times > 1 else ""))
        for name, seconds in self.over.items():
            write(f"error: {name}: {seconds:.0f} CPU seconds; expected {LIMIT:.0f}, or the mark `slow`")
