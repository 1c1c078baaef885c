"""The fast way to try edits: one sandboxed command tries a whole batch (see tools/forkserver.py).

Used by `tools.validate`, which falls back to the plain test runner where this refuses.
"""

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.sandbox import interpreter_paths
from tools.testrun.arguments import framework_arguments, pytest_safety
from tools.testrun.imports import source_directories
from tools.testrun.interpreter import target_environment
from tools.testrun.lend import Overlay, pytest_overlay
from tools.types import Limits, Sandbox, TestCommand

__all__ = ["BatchResult", "ForkServer", "Quick"]

Quick = Literal["green", "red", "timeout", "crash"]

_PREFIX = b"@pointsman "
_PARTS = {"probe.py": ("probe_values.py",)}
"""What a script imports from beside itself."""


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
    """The target's."""
    command: TestCommand
    environ: Mapping[str, str] = field(default_factory=dict)
    """The user's environment; ours and credentials are taken out."""
    memory_mb: int = 4096

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
        SandboxError and TestCommandError pass through.
        """
        if self.command.kind == "command":
            return BatchResult(why="only pytest and unittest can be forked")
        extra: dict[str, object] = {
            "jobs": [{"path": p, "content": base64.b64encode(c).decode()} for p, c in jobs],
            "timeout_s": timeout_s,
        }
        with tempfile.TemporaryDirectory(prefix="pointsman-try-") as scratch:
            place = Path(scratch).resolve()
            said = self.script("forkserver.py", root.resolve(), place, ids, extra, wall_s=wall_s)
        return _parse(*said)

    def script(
        self,
        name: str,
        root: Path,
        place: Path,
        ids: Sequence[str],
        extra: Mapping[str, object],
        *,
        wall_s: float,
    ) -> tuple[bytes, bytes]:
        """Run a script that stands beside this file, in the sandbox: (stdout, stderr).

        It gets one argument: a JSON file that says how to run `ids`, with `extra` in it. `place` is
        a directory of its own.
        """
        lent = pytest_overlay(self.interpreter) if self.command.kind == "pytest" else Overlay()
        script, plan = place / name, place / "job.json"
        for part in (name, *_PARTS.get(name, ())):
            (place / part).write_bytes(Path(__file__).with_name(part).read_bytes())
        plan.write_text(json.dumps({**self._job(root, place, lent, ids), **extra}), "utf-8")
        readable = [place, *interpreter_paths(self.interpreter), *lent.readable]
        readable += [lent.directory] if lent.directory else []
        result = self.sandbox.run(
            (str(self.interpreter), str(script), str(plan)),
            cwd=root,
            env=target_environment(self.environ)
            | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0"},
            limits=Limits(wall_s=wall_s, memory_mb=self.memory_mb),
            # Written to by pytest's cache; as root the sandbox may be another user inside.
            writable=(root, place),
            readable=tuple(p for p in readable if p.exists()),
        )
        return result.stdout, result.stderr

    def _job(self, root: Path, place: Path, lent: Overlay, ids: Sequence[str]) -> dict[str, object]:
        """What `tools.testrun` would run, so that both see the same tests."""
        args = framework_arguments(self.command, root, tuple(ids))
        flags: dict[str, list[str]] = {}
        if self.command.kind == "pytest":
            fixed, flags = pytest_safety(args, root, place)
            args = (*args, *fixed)
        return {
            "root": str(root),
            "kind": self.command.kind,
            "args": list(args),
            "flags": flags,
            "ids": list(ids),
            "paths": [str(p) for p in source_directories(root)],
            "fallback": [str(lent.directory)] if lent.directory else [],
        }


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
