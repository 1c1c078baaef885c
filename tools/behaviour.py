"""Do two plausible repairs behave alike? Run both on the same generated inputs, and compare.

Tests say that a repair is plausible; this says whether two plausible ones are one repair in two
spellings. The functions they change are called with arguments seen during the tests, and with
variations of these (`tools/probe.py`, in the sandbox). Alike on all of them: equivalent. Where
they differ, the one that changes the fewest outcomes of inputs seen in passing tests is the more
careful one.

It refuses to judge (`why`) where the bug itself is not visible in outcomes at the function's
boundary: then equal outcomes would prove nothing. So are changes outside function bodies: default
values, decorators, constants of a module.
"""

import ast
import base64
import json
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tools.quicktry import ForkServer
from tools.types import Candidate

__all__ = ["Behaviour", "Comparison", "ForkProbe", "Probed", "Variant", "compare", "variant_of"]

_PREFIX = b"@pointsman "
MOST_INPUTS = 250
LEAST_INPUTS = 12
"""Inputs on which two variants were both judged, below which nothing is concluded."""
_FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One candidate as the probe sees it: which function's body it changes, and to what."""

    path: str
    name: str
    """Qualified within the file."""
    first: int
    """First line of the original, decorators included."""
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What the probe said. `outcomes[0]` is of the code as it is, `[1 + n]` of variant n."""

    inputs: tuple[Literal["failing", "passing"], ...] = ()
    """In which kind of test the input, or the one it was made from, was seen."""
    outcomes: tuple[tuple[int | None, ...], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """One variant against the original."""

    visible: bool
    """It changes an outcome of an input seen in a failing test."""
    compared: int
    changed: int
    """Outcomes it changes of inputs that passing tests gave or that were made from these."""
    altered: int
    """Outcomes it changes in all: a condition dropped alters fewer than the same one negated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Variants by behaviour: `groups` are indices, alike ones together, in order."""

    groups: tuple[tuple[int, ...], ...]
    behaviours: tuple[Behaviour | None, ...]
    inputs: int = 0
    why: str = ""
    """Why nothing could be said; every variant is then a group of its own."""


def variant_of(original: bytes, candidate: Candidate, content: bytes) -> Variant | None:
    """None when the change is not within the body of one outermost function."""
    before, after = _parse(original), _parse(content)
    if before is None or after is None:
        return None
    old, new = dict(_functions(before)), dict(_functions(after))
    inside = [
        (name, node)
        for name, node in old.items()
        if _first(node) <= candidate.line and candidate.end_line <= (node.end_lineno or 0)
    ]
    if len(inside) != 1:
        return None
    name, node = inside[0]
    if name not in new or _outside(before, name) != _outside(after, name):
        return None
    return Variant(path=candidate.path, name=name, first=_first(node), content=content)


def compare(probed: Probed, count: int) -> Comparison:
    """Group `count` variants that had equal outcomes wherever both were judged. Pure."""
    alone = tuple((n,) for n in range(count))
    if probed.why or len(probed.outcomes) != count + 1:
        return Comparison(
            groups=alone, behaviours=(None,) * count, why=probed.why or "the probe said nothing"
        )
    original, rows = probed.outcomes[0], probed.outcomes[1:]
    behaviours = tuple(_behaviour(probed.inputs, original, row) for row in rows)
    groups: list[list[int]] = []
    for n in range(count):
        for group in groups:
            if all(_alike(behaviours, original, rows, n, m) for m in group):
                group.append(n)
                break
        else:
            groups.append([n])
    return Comparison(
        groups=tuple(map(tuple, groups)), behaviours=behaviours, inputs=len(probed.inputs)
    )


def _behaviour(
    inputs: Sequence[str], original: Sequence[int | None], row: Sequence[int | None]
) -> Behaviour | None:
    if not row:
        return None
    both = [
        (kind, a != b)
        for kind, a, b in zip(inputs, original, row, strict=False)
        if a is not None and b is not None
    ]
    return Behaviour(
        visible=any(changed for kind, changed in both if kind == "failing"),
        compared=len(both),
        changed=sum(changed for kind, changed in both if kind == "passing"),
        altered=sum(changed for _, changed in both),
    )


def _alike(
    behaviours: Sequence[Behaviour | None],
    original: Sequence[int | None],
    rows: Sequence[Sequence[int | None]],
    one: int,
    two: int,
) -> bool:
    a, b = behaviours[one], behaviours[two]
    if a is None or b is None or not (a.visible and b.visible):
        return False
    # Outcomes of the original that vary from run to run say nothing about any variant.
    pairs = [
        (x, y)
        for o, x, y in zip(original, rows[one], rows[two], strict=False)
        if o is not None and x is not None and y is not None
    ]
    return len(pairs) >= LEAST_INPUTS and all(x == y for x, y in pairs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ForkProbe:
    """Runs `tools/probe.py` where `server` would try candidates."""

    server: ForkServer
    seconds: float = 3.0
    """For one variant."""
    most: int = MOST_INPUTS
    environ: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        root: Path,
        variants: Sequence[Variant],
        *,
        failing: Sequence[str],
        passing: Sequence[str],
    ) -> Probed:
        """SandboxError and TestCommandError pass through. `root` may be spoilt."""
        if self.server.command.kind == "command":
            return Probed(why="only pytest and unittest can be probed")
        places = list(dict.fromkeys((v.path, v.name, v.first) for v in variants))
        extra: dict[str, object] = {
            "failing": list(failing),
            "functions": [{"path": p, "name": n, "first": f} for p, n, f in places],
            "variants": [
                {
                    "path": v.path,
                    "content": base64.b64encode(v.content).decode(),
                    "function": places.index((v.path, v.name, v.first)),
                }
                for v in variants
            ],
            "seconds": self.seconds,
            "most": self.most,
        }
        with tempfile.TemporaryDirectory(prefix="pointsman-probe-") as scratch:
            stdout, stderr = self.server.script(
                "probe.py",
                root.resolve(),
                Path(scratch).resolve(),
                (*failing, *passing),
                extra,
                wall_s=20.0 + (len(variants) + 2) * (self.seconds + 1),
            )
        return _parsed(stdout, stderr)


def _parsed(stdout: bytes, stderr: bytes) -> Probed:
    line = next((x for x in stdout.splitlines() if x.startswith(_PREFIX)), b"")
    try:
        said = json.loads(line.removeprefix(_PREFIX))
    except ValueError:
        tail = stderr.decode(errors="replace").strip()[-200:]
        return Probed(why=f"the probe ended early: {tail}")
    if "why" in said:
        return Probed(why=str(said["why"]))
    return Probed(
        inputs=tuple("failing" if k == "failing" else "passing" for _, k in said["inputs"]),
        outcomes=tuple(tuple(row) if row else () for row in said["outcomes"]),
    )


def _parse(source: bytes) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError):
        return None


def _functions(tree: ast.Module) -> list[tuple[str, _FunctionNode]]:
    """Outermost functions and methods by qualified name; the last of a name wins."""
    found: list[tuple[str, _FunctionNode]] = []

    def visit(body: Sequence[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, _FunctionNode):
                found.append((f"{prefix}{node.name}", node))
            elif isinstance(node, ast.ClassDef):
                visit(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.If | ast.Try | ast.With):
                visit(node.body, prefix)

    visit(tree.body, "")
    return found


def _first(node: _FunctionNode) -> int:
    return min([node.lineno, *(d.lineno for d in node.decorator_list)])


def _outside(tree: ast.Module, name: str) -> str:
    """The module without that function's body."""
    node = dict(_functions(tree))[name]
    kept, node.body = node.body, []
    try:
        return ast.dump(tree)
    finally:
        node.body = kept
