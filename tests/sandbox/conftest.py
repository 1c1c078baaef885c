from collections.abc import Callable
from pathlib import Path

import pytest

from tools.sandbox import pick
from tools.sandbox.probe import status
from tools.types import CommandResult, Limits, Sandbox


@pytest.fixture(params=["bwrap", "sandlock"])
def tier(request: pytest.FixtureRequest) -> Sandbox:
    """Each tier that works on this machine."""
    found = status(request.param)
    if not found.works:
        pytest.skip(f"{request.param}: {found.detail}")
    return pick(request.param)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    root = tmp_path / "repo"
    (root / ".git" / "hooks").mkdir(parents=True)
    (root / ".git" / "config").write_text("[core]\n")
    return root


@pytest.fixture
def shell(repo: Path) -> Callable[..., CommandResult]:
    """`shell(sandbox, script)`: a script of /bin/sh with `repo` as its writable directory."""

    def run(sandbox: Sandbox, script: str, **limits: float) -> CommandResult:
        given = {"wall_s": 20.0, **limits}
        return sandbox.run(
            ("/bin/sh", "-c", script),
            cwd=repo,
            env={},
            limits=Limits(**given),  # type: ignore[arg-type]
            writable=(repo,),
        )

    return run
