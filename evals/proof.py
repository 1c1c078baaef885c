"""Whether a row can be run and graded here at all: its bug is run, and its gold patch.

A row whose tests already pass, hang, or need what this machine has not (a network, a package) says
nothing about an agent. It is rejected before the run with the reason, and is in no rate. What was
proved is remembered by everything it depends on.
"""

import hashlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from evals.checkout import grading_tree
from evals.datasets.instance import Instance
from evals.datasets.sources import cache_root
from evals.grade import KEPT, statuses
from evals.grading import grade_patch, run_tests
from evals.images import identity_of, image_of
from evals.result import write_json
from tools.errors import PointsmanError
from tools.types import Sandbox, TestRun

__all__ = ["flaw", "proved"]

FORMAT = 1


def proved(
    instances: Iterable[Instance],
    sandbox: Sandbox,
    told: Callable[[str, str], None] = lambda instance_id, why: None,
) -> tuple[tuple[Instance, ...], tuple[tuple[str, str], ...]]:
    """Those that can be graded, and the others by id with the reason; `told` hears of each."""
    good: list[Instance] = []
    rejected: list[tuple[str, str]] = []
    for instance in instances:
        why = _remembered(instance, sandbox)
        told(instance.instance_id, why)
        if why:
            rejected.append((instance.instance_id, why))
        else:
            good.append(instance)
    return tuple(good), tuple(rejected)


def flaw(instance: Instance, sandbox: Sandbox) -> str:
    """What is wrong with it; empty when before and after are as its lists say."""
    with tempfile.TemporaryDirectory(prefix="pointsman-proof-") as scratch:
        place = Path(scratch)
        try:
            grading_tree(instance, place / "before")
            before = run_tests(instance, place / "before", sandbox)
            return _before(instance, before) or _after(instance, place, sandbox)
        except PointsmanError as error:
            return str(error)


def _before(instance: Instance, run: TestRun) -> str:
    if run.status == "timeout":
        return "its tests do not end"
    if run.status not in ("passed", "failed", "collection_error", "no_tests"):
        return f"its tests cannot be run ({run.status}): {_last(run)}"
    found = statuses(run.cases)
    already = [t for t in instance.FAIL_TO_PASS if found.get(t) in KEPT]
    if already:
        return f"{_some(already)} of FAIL_TO_PASS passes already"
    broken = [t for t in instance.PASS_TO_PASS if found.get(t) == "FAILED"]
    if broken:
        return f"{_some(broken)} of PASS_TO_PASS fails before anything is changed"
    return ""


def _after(instance: Instance, place: Path, sandbox: Sandbox) -> str:
    if not instance.patch.strip():
        return ""  # a task of the user's own: nobody has solved it yet
    graded = grade_patch(instance, instance.patch, place / "after", sandbox)
    if graded.status == "resolved":
        return ""
    failing = graded.grade.fail_to_pass_failed if graded.grade else ()
    named = f": {_some(failing)}" if failing else ""
    return f"its own patch is not resolved here: {graded.reason}{named}"


def _some(ids: Iterable[str]) -> str:
    first, *rest = ids
    return first + (f" and {len(rest)} more" if rest else "")


def _last(run: TestRun) -> str:
    lines = run.output.strip().splitlines()[-1:]
    return lines[0][:200] if lines else f"exit code {run.exit_code}"


def _remembered(instance: Instance, sandbox: Sandbox) -> str:
    """Only what held is kept: a flaw may be this machine's, and may go away."""
    try:
        where = [sandbox.name, _stamp(instance)]
        if image_of(instance):
            where = [identity_of(instance)]
    except PointsmanError as error:
        return str(error)
    told = [FORMAT, sys.version_info[:2], where, asdict(instance)]
    key = hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_root() / "proofs" / f"{key}.json"
    if path.is_file():
        return ""
    why = flaw(instance, sandbox)
    if not why:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"instance_id": instance.instance_id})
    return why


def _stamp(instance: Instance) -> list[tuple[str, int, int]]:
    """The source as it stands: names, sizes and times, without reading the files."""
    named = Path(instance.source_dir or instance.source_bundle or "/nowhere")
    files = sorted(named.rglob("*")) if named.is_dir() else [named]
    return [
        (str(f.relative_to(named)), f.stat().st_size, f.stat().st_mtime_ns)
        for f in files
        if f.is_file() and ".git" not in f.parts and "__pycache__" not in f.parts
    ]
