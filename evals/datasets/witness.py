"""What a user would see of a bug: a call, what it should give and what it gives. By running only.

The failing tests are run in both trees with their calls written down (`watch.py`). The first call
that comes out otherwise becomes the example of the issue, and is itself run in both trees when the
recipe is proved.
"""

import json
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from evals.datasets.instance import Instance
from tools.types import Sandbox, TestRun

__all__ = ["Witness", "statement", "witnesses"]

OUT = "pointsman_calls.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Witness:
    """A call that tells the trees apart."""

    where: str
    call: str
    expected: dict[str, str]
    actual: dict[str, str]

    def example(self) -> str:
        """Lines that pass without the bug and fail with it."""
        kind, value = self.expected["kind"], self.expected["value"]
        if kind == "raises":
            lines = [f"with pytest.raises({value}):", f"    {self.call}"]
            head = ["import pytest", self.where]
            module = self.expected["module"]
            if module != "builtins":
                head.append(f"from {module} import {value}")
        else:
            said = self.call if kind == "equals" else f"repr({self.call})"
            sign = "is" if value in ("None", "True", "False") else "=="
            wanted = value if kind == "equals" else repr(value)
            head, lines = [self.where], [f"assert {said} {sign} {wanted}"]
        return "\n".join([*dict.fromkeys(head), "", *lines])

    def outcome(self) -> str:
        """What happens with the bug, as one sentence."""
        if self.actual["kind"] == "raises":
            message = self.actual.get("message", "").rstrip(".")
            return f"It raises `{self.actual['value']}`" + (f": {message}" if message else "")
        wanted = self.expected["kind"] == "raises"
        return f"It returns `{self.actual['value']}`" + (" without complaint" if wanted else "")


def witnesses(
    instance: Instance, clean: Path, tree: Path, ids: Iterable[str], sandbox: Sandbox
) -> Iterator[Witness]:
    """Calls of these tests that come out otherwise in `tree`, those with short texts first."""
    wanted = tuple(ids)
    good = _calls(instance, clean, wanted, sandbox)
    bad = _calls(instance, tree, wanted, sandbox)
    found = [
        Witness(where=where, call=call, expected=row, actual=bad[(where, call)])
        for (where, call), row in good.items()
        if (where, call) in bad and _outcome(row) != _outcome(bad[(where, call)])
    ]
    yield from sorted(found, key=lambda w: (w.expected["kind"] == "repr", len(w.example())))


def statement(witness: Witness) -> str:
    """An issue's text: what was called, what should come out, what does."""
    what = witness.call if len(witness.call) < 70 else witness.call.partition("(")[0]
    wrong = "goes wrong" if witness.actual["kind"] == "raises" else "gives the wrong result"
    if witness.expected["kind"] == "raises":
        wrong = "should be refused"
    return f"`{what}` {wrong}:\n\n```python\n{witness.example()}\n```\n\n{witness.outcome()}."


def _outcome(row: dict[str, str]) -> tuple[str, str]:
    return row["kind"], row["value"]


def _calls(
    instance: Instance, source: Path, ids: tuple[str, ...], sandbox: Sandbox
) -> dict[tuple[str, str], dict[str, str]]:
    """By import and call, the first outcome of each."""
    root = source.with_name("watched")
    shutil.copytree(source, root, symlinks=True)
    try:
        _watched(replace(instance, FAIL_TO_PASS=ids), root, ids, sandbox)
        out = root / OUT
        lines = out.read_text("utf-8").splitlines() if out.is_file() else []
    finally:
        shutil.rmtree(root)
    found: dict[tuple[str, str], dict[str, str]] = {}
    for line in lines:
        for row in json.loads(line)["calls"]:
            found.setdefault((row["import"], row["call"]), row)
    return found


def _watched(instance: Instance, root: Path, ids: tuple[str, ...], sandbox: Sandbox) -> TestRun:
    from evals.grading import run_tests

    config = {"root": f"{root.resolve()}/", "ids": ids, "out": str(root.resolve() / OUT)}
    path = root / "conftest.py"
    before = path.read_text("utf-8") if path.is_file() else ""
    code = Path(__file__).with_name("watch.py").read_text("utf-8")
    path.write_text(f"{before}\n\nCONFIG = {config!r}\n\n{code}", "utf-8")
    return run_tests(instance, root, sandbox, only=ids)
