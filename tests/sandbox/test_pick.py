import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.errors import SandboxError
from tools.sandbox import pick, report
from tools.sandbox.probe import SKIP, attempt_escape, status
from tools.types import CommandResult

Shell = Callable[..., CommandResult]


def test_probe_finds_a_tier_that_confines_nothing() -> None:
    """The control of the probe: without a sandbox every attempt succeeds."""
    wrong = attempt_escape(pick("direct"))
    assert "network" in wrong
    assert "read-outside" in wrong
    assert "write-outside" in wrong
    assert ("capabilities" in wrong) is (os.getuid() == 0)


def test_auto_takes_the_first_tier_that_works() -> None:
    first = next(tier.name for tier in report() if tier.works)
    assert pick("auto").name == first


def test_auto_without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    if not status("sandlock").works:
        pytest.skip("sandlock does not work here")
    monkeypatch.setenv(SKIP, "bwrap")
    assert pick("auto").name == "sandlock"
    with pytest.raises(SandboxError, match="skipped"):
        pick("bwrap")


def test_auto_without_any_tier_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, shell: Shell, repo: Path
) -> None:
    monkeypatch.setenv(SKIP, "bwrap,sandlock")
    sandbox = pick("auto")
    assert sandbox.name == "none"
    with pytest.raises(SandboxError, match="was not run") as caught:
        shell(sandbox, "touch ran")
    assert "bubblewrap" in str(caught.value.remedy)
    assert caught.value.exit_code == 5
    assert not (repo / "ran").exists()


def test_direct_only_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SKIP, "bwrap,sandlock")
    assert pick("direct").name == "direct"
    assert "direct" not in {tier.name for tier in report()}
