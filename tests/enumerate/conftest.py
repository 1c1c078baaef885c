"""A real repository in a directory, a real pytest in a process: the smallest runner there is."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.types import Patch, TestCase, TestCommand, TestRun

COMMAND = TestCommand(kind="pytest", argv=(sys.executable, "-m", "pytest"), source="--test")
WORDS = {"PASSED": "passed", "FAILED": "failed", "ERROR": "error"}


@dataclass
class CopySpace:
    """A copy of a directory."""

    root: Path
    original: Path
    touched: set[str] = field(default_factory=set)

    def read(self, path: str) -> bytes | None:
        file = self.root / path
        return file.read_bytes() if file.is_file() else None

    def write(self, patch: Patch) -> None:
        for change in patch.changes:
            assert change.after is not None
            (self.root / change.path).write_bytes(change.after)
            self.touched.add(change.path)

    def reset(self) -> None:
        for path in self.touched:
            shutil.copy2(self.original / path, self.root / path)
        self.touched.clear()


@dataclass
class PlainRunner:
    """`python -m pytest -rA`, read from its summary."""

    root: Path
    command: TestCommand = COMMAND

    def run(
        self,
        ids: tuple[str, ...] = (),
        *,
        timeout_s: float,
        per_test_timeout_s: float,
        fail_fast: bool,
    ) -> TestRun:
        started = time.monotonic()
        argv = [*self.command.argv, "-rA", "-q", "--tb=no", "-p", "no:cacheprovider", *ids]
        argv += ["-x"] if fail_fast else []
        try:
            done = subprocess.run(
                argv,
                cwd=self.root,
                env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return TestRun(
                command=self.command,
                cases=(),
                status="timeout",
                exit_code=124,
                output="",
                duration_s=timeout_s,
            )
        cases = []
        for line in done.stdout.splitlines():
            word, _, rest = line.partition(" ")
            if word in WORDS and "::" in rest:
                outcome = WORDS[word]
                cases.append(TestCase(id=rest.split(" - ")[0], outcome=outcome))  # type: ignore[arg-type]
        return TestRun(
            command=self.command,
            cases=tuple(cases),
            status="passed" if done.returncode == 0 else "failed",
            exit_code=done.returncode,
            output=done.stdout[-2000:],
            duration_s=time.monotonic() - started,
        )


@dataclass
class Lab:
    """A repository, copies of it and runners for them."""

    root: Path
    scratch: Path

    def space(self, number: int) -> CopySpace:
        target = self.scratch / f"w{number}"
        shutil.copytree(self.root, target, dirs_exist_ok=True)
        return CopySpace(root=target, original=self.root)

    def runner(self, space: object) -> PlainRunner:
        assert isinstance(space, CopySpace)
        return PlainRunner(root=space.root)

    def before(self) -> TestRun:
        return PlainRunner(root=self.root).run(timeout_s=60, per_test_timeout_s=10, fail_fast=False)


@pytest.fixture
def lab(tmp_path: Path) -> Callable[[dict[str, str]], Lab]:
    def make(files: dict[str, str]) -> Lab:
        root = tmp_path / "repo"
        for name, text in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Lab(root=root, scratch=tmp_path)

    return make
