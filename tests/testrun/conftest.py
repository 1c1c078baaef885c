import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.sandbox import pick
from tools.testrun import TestRunner, detect

Files = dict[str, str]
MakeRunner = Callable[..., TestRunner]


@pytest.fixture
def make(tmp_path: Path) -> Callable[[Files], Path]:
    """Writes a repository and returns its root."""

    def write(files: Files, name: str = "scratch") -> Path:
        root = tmp_path / name
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        return root

    return write


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target's interpreter with nothing installed: pytest is lent, no plugin slows the start."""
    root = tmp_path_factory.mktemp("target") / "venv"
    subprocess.run((sys.executable, "-m", "venv", "--without-pip", str(root)), check=True)
    return root / "bin" / "python"


@pytest.fixture
def runner(make: Callable[[Files], Path], python: Path) -> MakeRunner:
    """`runner(files, command=None)`: a TestRunner in the best sandbox of this machine."""

    def build(files: Files, command: str | None = None, **named: object) -> TestRunner:
        root = make(files)
        given: dict[str, object] = {
            "sandbox": pick("auto"),
            "interpreter": python,
            "original_root": None,
            "environ": os.environ,
            **named,
        }
        return TestRunner(root=root, command=detect(root, command), **given)  # type: ignore[arg-type]

    return build
