"""The fast way to try edits: one sandboxed command tries a whole batch (see tools/forkserver.py).

Used by `tools.validate`, which falls back to the plain test runner where this refuses.
"""

import base64
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.types import Limits, Sandbox, TestCommand

__all__ = ["BatchResult", "ForkServer", "Quick"]

Quick = Literal["green", "red", "timeout", "crash"]

_PREFIX = b"@pointsman "
_TAKES_VALUE = frozenset(
    {"-c", "-k", "-m", "-p", "-o", "-n", "-W", "-r", "--rootdir", "--confcutdir", "--ignore"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """Outcomes of the first jobs of a batch, in order; `why` if the batch could not begin."""

    outcomes: tuple[Quick, ...] = ()
    baseline_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkServer:
    """Tries batches of file contents against the failing tests in copies of the repository."""

    sandbox: Sandbox
    interpreter: Path
    command: TestCommand
    env: Mapping[str, str] = field(default_factory=dict)
    readable: tuple[Path, ...] = ()
    limits: Limits = field(default_factory=Limits)

    def run(
        self,
        root: Path,
        jobs: Sequence[tuple[str, bytes]],
        ids: Sequence[str],
        *,
        timeout_s: float,
        wall_s: float,
    ) -> BatchResult:
        """Try each (path, whole content). `timeout_s` is for one job, `wall_s` for the batch.

        Fewer outcomes than jobs: the batch was stopped at the job after the last outcome.
        SandboxError passes through.
        """
        if self.command.kind == "command":
            return BatchResult(why="only pytest and unittest can be forked")
        args, cwd_on_path = pytest_arguments(self.command, root)
        with tempfile.TemporaryDirectory(prefix="pointsman-try-") as scratch:
            place = Path(scratch)
            script, plan = place / "server.py", place / "jobs.json"
            script.write_bytes(Path(__file__).with_name("forkserver.py").read_bytes())
            plan.write_text(
                json.dumps(
                    {
                        "root": str(root),
                        "kind": self.command.kind,
                        "args": args,
                        "ids": list(ids),
                        "cwd_on_path": cwd_on_path,
                        "timeout_s": timeout_s,
                        "jobs": [
                            {"path": p, "content": base64.b64encode(c).decode()} for p, c in jobs
                        ],
                    }
                ),
                encoding="utf-8",
            )
            if os.geteuid() == 0:
                # As root the sandbox drops to another user, who must be able to read this.
                place.chmod(0o755)
            result = self.sandbox.run(
                (str(self.interpreter), str(script), str(plan)),
                cwd=root,
                env={**self.env, "PYTHONDONTWRITEBYTECODE": "1"},
                limits=Limits(
                    wall_s=wall_s,
                    memory_mb=self.limits.memory_mb,
                    processes=self.limits.processes,
                    output_bytes=self.limits.output_bytes,
                ),
                writable=(root,),
                readable=(place, *self.readable),
            )
        return _parse(result.stdout, result.stderr)


def pytest_arguments(command: TestCommand, root: Path) -> tuple[list[str], bool]:
    """Options of a test command without its paths, and whether it puts the root on `sys.path`."""
    argv = list(command.argv)
    names = [Path(a).name for a in argv]
    at = next((i for i, n in enumerate(names) if n in ("pytest", "py.test", "unittest")), None)
    if at is None:
        return [], True
    as_module = at > 0 and argv[at - 1] == "-m"
    kept: list[str] = []
    for before, arg in zip(["", *argv[at + 1 :]], argv[at + 1 :], strict=False):
        if arg.startswith("-") or before in _TAKES_VALUE or not _is_path(arg, root):
            kept.append(arg)
    return (kept if command.kind == "pytest" else []), as_module or command.kind == "unittest"


def _is_path(arg: str, root: Path) -> bool:
    return (root / arg.split("::")[0]).exists()


def _parse(stdout: bytes, stderr: bytes) -> BatchResult:
    outcomes: list[Quick] = []
    baseline, why = 0.0, ""
    started = False
    for line in stdout.splitlines():
        if not line.startswith(_PREFIX):
            continue
        try:
            said = json.loads(line[len(_PREFIX) :])
        except ValueError:
            break
        if "ready" in said:
            started, why = bool(said["ready"]), str(said.get("why", ""))
            baseline = float(said.get("baseline_s", 0.0))
        elif said.get("i") == len(outcomes) and said["outcome"] in (
            "green",
            "red",
            "timeout",
            "crash",
        ):
            outcomes.append(said["outcome"])
    if not started and not why:
        why = stderr.decode(errors="replace").strip()[-300:] or "the server said nothing"
    return BatchResult(outcomes=tuple(outcomes), baseline_s=baseline, why=why)
