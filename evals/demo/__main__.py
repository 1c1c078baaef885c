"""Copy the example repository somewhere harmless, run `agent fix` in it, show what happened.

Exit code 0 only when the fix was verified and the ledger could be read.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console
from rich.rule import Rule

SMALL = """Pointsman Mini has 3 million parameters: it seldom finds a repair by itself. This run
shows that an edit step goes through the engine, with drafts by its MTP head, and into the ledger.
"""
GIT = (
    "git",
    "-c",
    "user.name=demo",
    "-c",
    "user.email=demo@localhost",
    "-c",
    "init.defaultBranch=main",
)


def main() -> int:
    """Every command is shown as a user would type it."""
    console = Console(highlight=False)
    with tempfile.TemporaryDirectory(prefix="pointsman-demo-") as scratch:
        root = Path(scratch) / "slotbook"
        with as_file(files("evals.demo") / "example-repo") as example:
            shutil.copytree(example, root, ignore=shutil.ignore_patterns("__pycache__"))
        _git(root, "init", "--quiet")
        _git(root, "add", "--all")
        _git(root, "commit", "--quiet", "--message", "slotbook 0.3.1")
        console.print(Rule("the issue"))
        console.print((root / "issue.md").read_text(encoding="utf-8"), markup=False)
        code = _agent(console, root, "fix", "--issue", "issue.md")
        console.print(Rule("git diff"))
        console.print(_git(root, "diff"), markup=False)
        _agent(console, root, "undo")
        left = _git(root, "status", "--porcelain")
        console.print(f"after undo: {'the tree is as it was' if not left else left}")
        console.print(Rule("the same by the shipped model alone"))
        console.print(SMALL)
        alone = ("--no-zero-token", "--strategy", "mtp", "--dry-run")
        _agent(console, root, "fix", "--issue", "issue.md", *alone)
        ledger = _agent(console, root, "ledger")
        _agent(console, root, "models", "stop")
    return code or ledger or (1 if left else 0)


def _agent(console: Console, root: Path, *args: str) -> int:
    console.print(Rule(f"agent {' '.join(args)}"))
    # A container's only user may be root: say so, as `--as-root` does. The sandbox still applies.
    environ = {**os.environ, "POINTSMAN_AS_ROOT": "1"}
    command = [sys.executable, "-m", "agent.cli.main", *args]
    return subprocess.run(command, cwd=root, env=environ, check=False).returncode


def _git(root: Path, *args: str) -> str:
    done = subprocess.run([*GIT, *args], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
