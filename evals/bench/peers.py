"""Other ways to look into a repository, measured beside ours where they are installed."""

import json
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

__all__ = ["Aider", "Answer", "ctags_seconds", "grep_seconds"]


@dataclass(frozen=True, slots=True)
class Answer:
    """Maps, and how long each took, by budget."""

    maps: tuple[str, ...]
    seconds: tuple[float, ...]


class Aider(AbstractContextManager["Aider"]):
    """aider's map of one tree, from the Python that has aider installed.

    It keeps its cache of tags inside the tree: give it a scratch copy.
    """

    def __init__(self, python: str, tree: Path) -> None:
        driver = Path(__file__).with_name("aider_driver.py")
        self._process = subprocess.Popen(
            [python, str(driver)],
            cwd=tree, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            text=True,
        )  # fmt: skip

    def ask(self, files: Sequence[str], question: str, budgets: Sequence[int]) -> Answer:
        """Raises RuntimeError if aider ended."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        asked = {"files": list(files), "question": question, "budgets": list(budgets)}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"aider ended with {self._process.wait()}")
        said = json.loads(line)
        return Answer(tuple(said["maps"]), tuple(said["seconds"]))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.communicate()


def ctags_seconds(tree: Path) -> float | None:
    """Universal Ctags over the whole tree, tags thrown away; None if it is not installed."""
    if shutil.which("ctags") is None:
        return None
    return _timed(["ctags", "-R", "-f", "/dev/null", "--languages=Python,JavaScript", "."], tree)


def grep_seconds(tree: Path, pattern: str) -> float | None:
    """`git grep` for a few words; None outside git."""
    if not (tree / ".git").exists():
        return None
    return _timed(["git", "grep", "-n", "-i", "-E", pattern], tree)


def _timed(argv: list[str], cwd: Path) -> float:
    start = time.perf_counter()
    subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return time.perf_counter() - start
