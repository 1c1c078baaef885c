"""Runs pytest in the target's interpreter and reports each test as it ends.

`python pointsman_pytest.py CONFIG`; the exit code is pytest's own.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Generator
from typing import Any

from pointsman_report import (  # type: ignore[import-not-found]
    Clock,
    Config,
    Lines,
    Report,
    TestTimeout,
    prepare_paths,
)

USAGE_ERROR = 4


class Plugin:
    """Follows every test through setup, call and teardown."""

    def __init__(self, config: Config, report: Report) -> None:
        self._config = config
        self._report = report
        self._clock = Clock(config)
        self._lines = Lines(config.root) if config.coverage else None
        self._outcome: str = ""
        self._error: BaseException | None = None
        self._duration = 0.0

    def pytest_collection_modifyitems(self, config: Any, items: list[Any]) -> None:
        kept = [item for item in items if self._config.wants(item.nodeid)]
        dropped = [item for item in items if not self._config.wants(item.nodeid)]
        if dropped:
            config.hook.pytest_deselected(items=dropped)
            items[:] = kept
        self._report.write(kind="collected", count=len(kept))

    def pytest_exception_interact(self, call: Any, report: Any) -> None:
        if getattr(report, "when", None) == "collect" or type(report).__name__ == "CollectReport":
            self._report.write(kind="collect-error", id=report.nodeid)
            self._report.case(report.nodeid, "error", 0.0, call.excinfo.value)

    def pytest_runtest_protocol(self, item: Any) -> Generator[None, Any, None]:
        self._outcome, self._error, self._duration = "passed", None, 0.0
        self._report.write(kind="begin", id=item.nodeid)
        self._clock.start()
        if self._lines is not None:
            self._lines.start()
        try:
            yield
        finally:
            self._clock.stop()
            if self._lines is not None:
                self._report.write(kind="lines", id=item.nodeid, lines=self._lines.stop())
        self._report.case(item.nodeid, self._outcome, self._duration, self._error)

    def pytest_runtest_makereport(self, item: Any, call: Any) -> Generator[None, Any, None]:
        answer = yield
        report = answer.get_result()
        self._duration += call.duration
        outcome = self._judge(report, call)
        if outcome and self._outcome in ("passed", "xfailed", "xpassed", "skipped"):
            self._outcome = outcome
            if outcome in ("failed", "error", "timeout"):
                self._error = call.excinfo.value if call.excinfo else None

    def _judge(self, report: Any, call: Any) -> str:
        if call.excinfo is not None and call.excinfo.errisinstance(TestTimeout):
            return "timeout"
        if report.failed:
            return "timeout" if self._clock.expired else self._broken(report)
        if hasattr(report, "wasxfail"):
            return "xfailed" if report.skipped else "xpassed"
        return "skipped" if report.skipped else ""

    def _broken(self, report: Any) -> str:
        return "failed" if report.when == "call" else "error"

    def pytest_sessionfinish(self, exitstatus: Any) -> None:
        self._report.write(kind="finish", exit=int(exitstatus))


def mark_wrappers(pytest: Any) -> None:
    """The decorator is pytest's, which may be imported only once the paths are set."""
    for name in ("pytest_runtest_protocol", "pytest_runtest_makereport"):
        hook = pytest.hookimpl(hookwrapper=True, tryfirst=True)
        setattr(Plugin, name, hook(getattr(Plugin, name)))


def main(path: str) -> int:
    config = Config(path)
    report = Report(config)
    prepare_paths(config)
    try:
        import pytest
    except ImportError as error:
        report.write(kind="broken", message="cannot import pytest: %s" % error)  # noqa: UP031
        return 3
    mark_wrappers(pytest)
    flags = [
        flag
        for module, given in config.flags.items()
        if importlib.util.find_spec(module) is not None
        for flag in given
    ]
    code = int(pytest.main([*config.args, *flags], plugins=[Plugin(config, report)]))
    if code == USAGE_ERROR and flags:  # a plugin that is installed may have been switched off
        code = int(pytest.main(config.args, plugins=[Plugin(config, report)]))
    report.write(kind="end", exit=code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
